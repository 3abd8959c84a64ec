// The source on real temporary directories: every way in which files change under it.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { DirectorySource } from '#sources/directory/directory-source.ts';
import type { DirectorySourceOptions } from '#sources/directory/directory-source.ts';
import type { ResourceProblem, ResourceSet } from '#resources/resource-set.ts';

const peer = (name: string, asNumber: number): string =>
  `apiVersion: flatroute.io/v1alpha1\nkind: BGPPeer\nmetadata: {name: ${name}}\nspec: {peerIP: 192.0.2.1, asNumber: ${asNumber}}\n---\n`;

/** Longest wait for anything; far above what is measured, so that only a fault reaches it. */
const deadlineMilliseconds = 60_000;

class Observed {
  calls = 0;
  resources: ResourceSet | undefined;
  problems: readonly ResourceProblem[] = [];
  #wake: (() => void) | undefined;

  readonly onChange = (resources: ResourceSet, problems: readonly ResourceProblem[]): void => {
    this.calls++;
    this.resources = resources;
    this.problems = problems;
    this.#wake?.();
  };

  get peers(): string {
    return (this.resources?.bgpPeers ?? []).map((it) => `${it.metadata.name}=${it.spec.asNumber}`).join(' ');
  }

  get codes(): string {
    return this.problems.map((it) => it.code).join(' ');
  }

  /** Waits until what was seen is this. */
  async until(expected: { readonly peers?: string; readonly codes?: string }): Promise<void> {
    const deadline = performance.now() + deadlineMilliseconds;
    const differs = (): boolean =>
      (expected.peers !== undefined && expected.peers !== this.peers) ||
      (expected.codes !== undefined && expected.codes !== this.codes);
    while (differs() && performance.now() < deadline) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, deadline - performance.now());
      await promise;
      clearTimeout(timer);
    }
    if (expected.peers !== undefined) assert.equal(this.peers, expected.peers);
    if (expected.codes !== undefined) assert.equal(this.codes, expected.codes);
  }
}

describe('a directory of resources', () => {
  let base = '';
  let root = '';
  let source: DirectorySource | undefined;
  let seen = new Observed();

  beforeEach(async () => {
    base = await mkdtemp(join(tmpdir(), 'flatroute-source-'));
    root = join(base, 'resources');
    await mkdir(root);
    seen = new Observed();
  });
  afterEach(async () => {
    await source?.stop();
    source = undefined;
    await rm(base, { recursive: true, force: true });
  });

  const start = async (options: Partial<DirectorySourceOptions> = {}): Promise<void> => {
    // Notification alone must do: looking again from time to time is off unless a test wants it.
    source = new DirectorySource({ directory: root, quietMilliseconds: 20, rescanMilliseconds: 600_000, ...options });
    await source.start(seen.onChange);
  };
  const write = async (file: string, text: string): Promise<void> => {
    await mkdir(dirname(join(root, file)), { recursive: true });
    await writeFile(join(root, file), text);
  };

  test('is read at the start: YAML, JSON, directories below, nothing else', async () => {
    await write('b.yml', peer('b', 2));
    await write('peers/a.yaml', peer('a', 1));
    await write(
      'c.json',
      JSON.stringify({
        apiVersion: 'flatroute.io/v1alpha1',
        kind: 'BGPPeer',
        metadata: { name: 'c' },
        spec: { peerIP: '192.0.2.3', asNumber: 3 },
      }),
    );
    await write('.hidden.yaml', peer('hidden', 1));
    await write('a.yaml~', peer('backup', 1));
    await write('.git/x.yaml', peer('git', 1));
    await write('README.md', '# hello');
    await start();
    assert.equal(seen.calls, 1);
    assert.equal(seen.peers, 'a=1 b=2 c=3');
    assert.equal(seen.codes, '');
  });

  test('an empty directory is an empty set', async () => {
    await start();
    assert.equal(seen.peers, '');
    assert.equal(seen.codes, '');
  });

  test('a file written, changed, and deleted', async () => {
    await start();
    await write('a.yaml', peer('a', 1));
    await seen.until({ peers: 'a=1' });
    await write('a.yaml', peer('a', 2));
    await seen.until({ peers: 'a=2' });
    await rm(join(root, 'a.yaml'));
    await seen.until({ peers: '' });
  });

  test('a file replaced as editors do, by a rename', async () => {
    await write('a.yaml', peer('a', 1));
    await start();
    for (const asNumber of [2, 3]) {
      await write('.a.yaml.swp', peer('a', asNumber));
      await rename(join(root, '.a.yaml.swp'), join(root, 'a.yaml'));
      await seen.until({ peers: `a=${asNumber}` });
    }
  });

  test('a file that goes wrong keeps its objects, says so, and is mended', async () => {
    await write('a.yaml', peer('a', 1));
    await write('b.yaml', peer('b', 1));
    await start();
    await write('a.yaml', peer('a', 0));
    await seen.until({ codes: 'CONFIG_INVALID_VALUE', peers: 'a=1 b=1' });
    await write('a.yaml', 'kind: [');
    await seen.until({ codes: 'CONFIG_YAML_SYNTAX', peers: 'a=1 b=1' });
    await write('a.yaml', '');
    await seen.until({ codes: 'CONFIG_FILE_EMPTY', peers: 'a=1 b=1' });
    await write('a.yaml', peer('a', 4));
    await seen.until({ codes: '', peers: 'a=4 b=1' });
  });

  test('a mounted ConfigMap, whose links are swapped', async () => {
    await mkdir(join(root, '..v1'));
    await writeFile(join(root, '..v1', 'a.yaml'), peer('a', 1));
    await symlink('..v1', join(root, '..data'));
    await symlink('..data/a.yaml', join(root, 'a.yaml'));
    await start();
    assert.equal(seen.peers, 'a=1');
    for (const asNumber of [2, 3]) {
      const version = `..v${asNumber}`;
      await mkdir(join(root, version));
      await writeFile(join(root, version, 'a.yaml'), peer('a', asNumber));
      await symlink(version, join(root, '..data_tmp'));
      await rename(join(root, '..data_tmp'), join(root, '..data'));
      await rm(join(root, `..v${asNumber - 1}`), { recursive: true });
      await seen.until({ peers: `a=${asNumber}`, codes: '' });
    }
  });

  test('a directory made later, filled later, and removed', async () => {
    await start();
    await mkdir(join(root, 'peers'));
    await write('peers/deep/a.yaml', peer('a', 1));
    await seen.until({ peers: 'a=1' });
    await write('peers/deep/b.yaml', peer('b', 1));
    await seen.until({ peers: 'a=1 b=1' });
    await rm(join(root, 'peers'), { recursive: true });
    await seen.until({ peers: '', codes: '' });
  });

  test('the directory vanishes: everything stays in force; it comes back', async () => {
    await write('a.yaml', peer('a', 1));
    await start();
    await rename(root, join(base, 'aside'));
    await seen.until({ codes: 'CONFIG_DIRECTORY_UNREADABLE', peers: 'a=1' });
    assert.match(
      seen.problems[0]?.message ?? '',
      /cannot be read: it does not exist\. What was last read from it stays in force\.$/,
    );
    await mkdir(join(base, 'other'));
    await writeFile(join(base, 'other', 'b.yaml'), peer('b', 2));
    await rename(join(base, 'other'), root);
    await seen.until({ codes: '', peers: 'b=2' });
    // The watch is on the new directory, not on the one that was moved away.
    await write('c.yaml', peer('c', 3));
    await seen.until({ peers: 'b=2 c=3' });
  });

  test('a directory that is not there at the start is waited for', async () => {
    await rm(root, { recursive: true });
    await start({ unwatchedRescanMilliseconds: 50 });
    assert.equal(seen.codes, 'CONFIG_DIRECTORY_UNREADABLE');
    assert.match(seen.problems[0]?.message ?? '', /does not exist\. Nothing is in force\.$/);
    await write('a.yaml', peer('a', 1));
    await seen.until({ peers: 'a=1', codes: '' });
  });

  test('what notification cannot see is found by looking again', async () => {
    const elsewhere = join(base, 'elsewhere.yaml');
    await writeFile(elsewhere, peer('a', 1));
    await symlink(elsewhere, join(root, 'a.yaml'));
    await start({ rescanMilliseconds: 50 });
    assert.equal(seen.peers, 'a=1');
    await writeFile(elsewhere, peer('a', 2));
    await seen.until({ peers: 'a=2' });
  });

  test('a huge file is refused unread', async () => {
    await write('a.yaml', peer('a', 1));
    await start();
    await write('a.yaml', `${peer('a', 2)}# ${'x'.repeat(1_048_576)}\n`);
    await seen.until({ codes: 'CONFIG_FILE_TOO_LARGE', peers: 'a=1' });
    assert.match(
      seen.problems[0]?.message ?? '',
      /^a\.yaml: the file has \d+ bytes; at most 1048576 are allowed, split it\. The object last read/,
    );
  });

  test('too many files and too many bytes are bounded, in order of name', async () => {
    for (const name of ['a', 'b', 'c']) await write(`${name}.yaml`, peer(name, 1));
    await start({ limits: { files: 2 } });
    assert.equal(seen.peers, 'a=1 b=1');
    assert.match(
      seen.problems.map((it) => it.message).join(),
      /^c\.yaml: more than 2 files; this one, by order of name, is not read/,
    );
    await source?.stop();
    await start({ limits: { totalBytes: 2 * peer('a', 1).length } });
    assert.equal(seen.peers, 'a=1 b=1');
    assert.equal(seen.codes, 'CONFIG_TOO_MANY_FILES');
  });

  test('directories nested too deeply, and links in a circle, end', async () => {
    await write('d/d/d/d/a.yaml', peer('a', 1));
    await symlink('..', join(root, 'd', 'up'));
    await start({ limits: { depth: 3 } });
    assert.equal(seen.peers, '');
    assert.equal(seen.codes, 'CONFIG_DIRECTORY_UNREADABLE');
    assert.match(seen.problems[0]?.message ?? '', /^directory d\/d\/d is deeper than 3 levels/);
  });

  test('what is no text and no file is refused, and nothing waits for it', async () => {
    await writeFile(join(root, 'a.yaml'), Buffer.from([0x6b, 0xff, 0xfe]));
    execFileSync('mkfifo', [join(root, 'b.yaml')]);
    await symlink('nowhere', join(root, 'c.yaml'));
    await write('d.yaml', peer('d', 1));
    await start();
    assert.equal(seen.peers, 'd=1');
    assert.deepEqual(
      seen.problems.map((it) => it.message),
      [
        'a.yaml: the file is not UTF-8 text. It adds nothing to what is in force.',
        'b.yaml: it is not a regular file. It adds nothing to what is in force.',
        'c.yaml: the file cannot be read: it does not exist. It adds nothing to what is in force.',
      ],
    );
  });

  const isRoot = process.getuid?.() === 0;
  test('a file that may not be read keeps its objects', { skip: isRoot ? false : 'needs root' }, async () => {
    await chmod(base, 0o755);
    await write('a.yaml', peer('a', 1));
    await chmod(join(root, 'a.yaml'), 0o644);
    // Root may read everything: for the length of this test the process is nobody.
    process.seteuid?.(65534);
    try {
      await start();
      assert.equal(seen.peers, 'a=1');
      process.seteuid?.(0);
      await chmod(join(root, 'a.yaml'), 0o000);
      process.seteuid?.(65534);
      await seen.until({ codes: 'CONFIG_FILE_UNREADABLE', peers: 'a=1' });
      assert.match(seen.problems[0]?.message ?? '', /permission is denied/);
    } finally {
      process.seteuid?.(0);
    }
  });

  test('the same content again is no change', async () => {
    await write('a.yaml', peer('a', 1));
    await start();
    // In one step: a file that is empty while it is written anew would be a change, on a machine that is busy just then.
    for (const name of ['a', 'b']) {
      await writeFile(join(base, name), peer(name, 1));
      await rename(join(base, name), join(root, `${name}.yaml`));
    }
    await seen.until({ peers: 'a=1 b=1' });
    assert.equal(seen.calls, 2);
  });

  test('nothing is called after stop', async () => {
    await start();
    await source?.stop();
    const { calls } = seen;
    await write('a.yaml', peer('a', 1));
    const again = new Observed();
    const second = new DirectorySource({ directory: root });
    await second.start(again.onChange);
    await second.stop();
    assert.equal(again.peers, 'a=1');
    assert.equal(seen.calls, calls);
  });
});
