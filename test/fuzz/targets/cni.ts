/** CNI: the plugin's protocol and spool, the network configuration and the result of a plugin before us. */
import assert from 'node:assert/strict';
import { readCallArguments, readPodArguments } from '#cni/arguments.ts';
import { readAddOptions, readNetworkConfig, readValidAttachments } from '#cni/config.ts';
import {
  PROTOCOL_VERSION,
  decodeAnswer,
  decodeRecord,
  decodeRequest,
  encodeAnswer,
  encodeRecord,
  encodeRequest,
} from '#cni/protocol.ts';
import { readPreviousResult } from '#cni/result.ts';
import { bytesOfText, textOf } from '../target.ts';
import type { Target } from '../target.ts';

const config = {
  cniVersion: '1.1.0',
  name: 'pods',
  type: 'flatroute',
  mtu: 1450,
  ipam: { type: 'flatroute' },
  capabilities: { ips: true, mac: true },
  runtimeConfig: { ips: ['10.60.1.5/32', '2001:db8:60::5/128'], mac: '02:00:00:00:00:01' },
  args: { cni: { ips: ['10.60.1.6'] } },
  prevResult: {
    cniVersion: '1.1.0',
    interfaces: [
      { name: 'fr0', mac: '02:00:00:00:00:01' },
      { name: 'eth0', sandbox: '/var/run/netns/x' },
    ],
    ips: [{ address: '10.60.1.5/32', interface: 1 }],
    routes: [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }],
  },
  'cni.dev/valid-attachments': [{ containerID: 'c0ffee', ifname: 'eth0' }],
};

const environment = new Map([
  ['CNI_COMMAND', 'ADD'],
  ['CNI_CONTAINERID', 'c0ffee'],
  ['CNI_NETNS', '/var/run/netns/x'],
  ['CNI_IFNAME', 'eth0'],
  ['CNI_ARGS', 'K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;IP=10.60.1.9'],
  ['CNI_PATH', '/opt/cni/bin'],
]);
const request = { version: PROTOCOL_VERSION, environment, stdin: Buffer.from(JSON.stringify(config)) };

const protocol: Target = {
  name: 'cni-protocol',
  longest: 3000,
  seeds: () => [
    encodeRequest(request),
    encodeRecord({ bootMilliseconds: 12_345, request }),
    encodeAnswer({ version: 1, code: 0, stdout: Buffer.from('{}') }),
  ],
  run(input) {
    const bytes = Buffer.from(input);
    const decoded = decodeRequest(bytes);
    if (decoded.kind === 'complete') {
      assert.ok(decoded.length <= bytes.length);
      const args = readCallArguments(decoded.value.environment);
      if (args.ok) readPodArguments(decoded.value.environment);
    }
    decodeAnswer(bytes);
    decodeRecord(bytes);
  },
};

const networkConfig: Target = {
  name: 'cni-config',
  longest: 4000,
  seeds: () => [
    bytesOfText(JSON.stringify(config)),
    bytesOfText('{"cniVersion":"1.0.0","name":"a","type":"flatroute"}'),
  ],
  words: ['null', '[]', '{}', '-1', '1e999', '""', '"__proto__":{}', '"constructor":', 'true', '"0.4.0"'].map(
    bytesOfText,
  ),
  run(input) {
    const read = readNetworkConfig(Buffer.from(input));
    if (!read.ok) return;
    readAddOptions(read.value, 'eth0');
    readValidAttachments(read.value);
    readPreviousResult(read.value.json['prevResult'], 'eth0');
  },
};

const callArguments: Target = {
  name: 'cni-arguments',
  longest: 1000,
  seeds: () => [bytesOfText([...environment].map(([name, value]) => `${name}=${value}`).join('\0'))],
  run(input) {
    const pairs = textOf(input)
      .split('\0')
      .map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)] as const);
    const read = readCallArguments(new Map(pairs));
    if (!read.ok) assert.ok(read.error.msg.length > 0, 'an error without words');
  },
};

export const cniTargets: readonly Target[] = [protocol, networkConfig, callArguments];
