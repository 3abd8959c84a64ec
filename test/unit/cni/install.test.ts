import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { install, uninstall } from '#cni/install.ts';
import { pluginPath } from '../../support/pod-node.ts';

test('install() writes plugin and list by a rename in the same directory, again over a running one, and uninstall() takes them away', () => {
  const directory = mkdtempSync(join(tmpdir(), 'frt-pods-install-'));
  try {
    const options = {
      pluginSource: pluginPath,
      binaryDirectory: join(directory, 'bin'),
      configDirectory: join(directory, 'net.d'),
    };
    const first = install(options);
    const inode = statSync(first.binary).ino;
    install({ ...options, mtu: 9000 });
    assert.notEqual(statSync(first.binary).ino, inode);
    assert.equal(statSync(first.binary).mode & 0o777, 0o755);
    assert.deepEqual(readFileSync(first.binary), readFileSync(pluginPath));
    assert.deepEqual(readdirSync(options.configDirectory), ['05-flatroute.conflist']);
    const list = JSON.parse(readFileSync(first.config ?? '', 'utf8')) as {
      cniVersion: string;
      plugins: { type: string; mtu?: number }[];
    };
    assert.equal(list.cniVersion, '1.0.0');
    assert.deepEqual(
      list.plugins.map((plugin) => [plugin.type, plugin.mtu]),
      [
        ['flatroute', 9000],
        ['portmap', undefined],
      ],
    );
    uninstall(options);
    uninstall(options);
    assert.deepEqual([readdirSync(options.binaryDirectory), readdirSync(options.configDirectory)], [[], []]);
    assert.throws(() => install({ ...options, pluginSource: join(directory, 'none') }), { code: 'CNI_INSTALL' });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
