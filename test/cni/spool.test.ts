// What may lie in the spool, and what may be wrong with its disk: nothing of it stops the agent or is lost without a word.
import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { bootMilliseconds } from '#linux/boot-clock.ts';
import { encodeRecord, PROTOCOL_VERSION } from '#cni/protocol.ts';
import { writeFileSync } from 'node:fs';
import { createNamespace, eventually, type TestNamespace } from '../support/netns.ts';
import { call } from '../support/pod-calls.ts';
import { PodNode } from '../support/pod-node.ts';

const SPOOL = '/run/flatroute/spool';
let node: PodNode;
let pod: TestNamespace;

const told = (name: string): string[] => node.events.filter((event) => event.name === name).map((event) => event.text);
const shell = async (script: string): Promise<string> => await node.run(['sh', '-c', script]);

before(async () => {
  node = await PodNode.create();
  pod = await createNamespace('frt-pods');
});
beforeEach(async () => {
  node.events.length = 0;
  await node.startAgent();
});
afterEach(async () => {
  await call(node, 'DEL', undefined);
  await node.nothingLeft();
  await node.killAgent();
});
after(async () => {
  await node.dispose();
  await pod.dispose();
});

test('what is no record is put aside, each with its reason, and the record among them is done', async () => {
  await call(node, 'ADD', pod);
  await node.killAgent();
  await call(node, 'DEL', undefined);
  const environment = new Map([
    ['CNI_COMMAND', 'ADD'],
    ['CNI_CONTAINERID', 'container-1'],
    ['CNI_IFNAME', 'eth0'],
  ]);
  const request = { version: PROTOCOL_VERSION, environment, stdin: Buffer.from('{}') };
  const add = encodeRecord({ bootMilliseconds: bootMilliseconds(), request });
  writeFileSync(node.path(`${SPOOL}/00-add`), add);
  writeFileSync(node.path(`${SPOOL}/01-cut`), add.subarray(0, add.length - 1));
  writeFileSync(node.path(`${SPOOL}/02-long`), Buffer.concat([add, Buffer.from('x')]));
  writeFileSync(node.path(`${SPOOL}/03-newer`), Buffer.concat([Buffer.from('FRSP\0\u0009\0\0'), add.subarray(8)]));
  await shell(
    `cd ${SPOOL}; : > 04-empty; head -c 4M /dev/zero > 05-huge; mkdir 06-directory; mkfifo 07-pipe; ln -s /dev/zero 08-link`,
  );
  await node.startAgent();
  await eventually('the deletion is done', async () => (await node.rows()).length === 0);
  assert.deepEqual(
    told('spool_unreadable').map((text) => text.replace(/^spool record (\S+): (.*); it is put aside$/, '$1: $2')),
    [
      '00-add: it is no deletion',
      '01-cut: the record is cut short',
      '02-long: bytes after the record',
      '03-newer: spool record of version 9',
      '04-empty: not a spool record',
      '05-huge: larger than any record',
      '06-directory: not a file',
      '07-pipe: not a file',
      '08-link: not a file',
    ],
  );
  assert.equal((await shell(`ls ${SPOOL}`)).trim(), '');
  await shell(`rm -r ${SPOOL}/.unreadable-*`);
});

test('a full disk: the plugin says so and the runtime may ask again; the agent needs no room there', async () => {
  await call(node, 'ADD', pod);
  await node.killAgent();
  await shell(`mount -t tmpfs -o size=8k,mode=700 tiny ${SPOOL}; cat /dev/zero > ${SPOOL}/.filler 2>/dev/null || true`);
  try {
    const refused = await call(node, 'DEL', undefined);
    assert.equal(refused.error.code, 11, refused.stdout);
    assert.match(`${refused.error.msg} ${refused.error.details}`, /cannot be written.*No space left/);
    assert.equal((await shell(`ls -A ${SPOOL}`)).trim(), '.filler', 'no half of a record is left');
    await node.startAgent();
    assert.equal((await node.rows()).length, 1);
    assert.equal((await call(node, 'DEL', undefined)).code, 0);
    await shell(`rm ${SPOOL}/.filler`);
    await node.nothingLeft();
  } finally {
    await shell(`umount ${SPOOL}`);
  }
});

test('a directory that cannot be made is told, calls are served, and it is used as soon as it can be', async () => {
  await node.killAgent();
  await shell(`rm -rf ${SPOOL}; echo > ${SPOOL}`);
  await node.startAgent();
  assert.match(told('spool_unusable').join(), /EEXIST|ENOTDIR/);
  assert.equal((await call(node, 'ADD', pod)).code, 0);
  await shell(`rm ${SPOOL}`);
  await node.tell({ do: 'lookAgain' });
  await eventually('the directory is there', async () => (await node.exec(['test', '-d', SPOOL])).code === 0);
  assert.equal(told('spool_unusable').length, 1);
});

test('a record that cannot be taken away is told, and the agent lives', async () => {
  await node.killAgent();
  await shell(`mount -t tmpfs -o mode=700 tiny ${SPOOL}`);
  await call(node, 'DEL', undefined);
  await shell(`echo garbage > ${SPOOL}/00-garbage; mount -o remount,ro ${SPOOL}`);
  try {
    await node.startAgent();
    assert.match(told('spool_unusable').join(), /EROFS/);
    assert.equal((await call(node, 'ADD', pod)).code, 0);
  } finally {
    await shell(`umount ${SPOOL}`);
  }
});
