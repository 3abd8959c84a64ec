import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Lab } from '#lab/lab.ts';
import { shieldKernelSettings } from '#lab/kubernetes/kernel-settings.ts';

const settings = ['vm/overcommit_memory', 'kernel/panic', 'kernel/panic_on_oops'];
const ofMachine = (): readonly string[] => settings.map((path) => readFileSync(`/proc/sys/${path}`, 'utf8').trim());

test('a host shows kubelet the settings of the machine that it wants, and what it writes there stays there', async () => {
  await using lab = await Lab.create('settings');
  const host = await lab.addHost('n1');
  const before = ofMachine();
  await shieldKernelSettings(host);
  const shown = async (): Promise<string> =>
    (await host.run(['cat', ...settings.map((path) => `/proc/sys/${path}`)])).trim();
  assert.equal(await shown(), '1\n10\n1');
  await host.run(['sh', '-c', 'echo 11 > /proc/sys/kernel/panic']);
  assert.equal(await shown(), '1\n11\n1');
  assert.deepEqual(ofMachine(), before);
});
