// What an agent says to its peer after its death: R and F of graceful restart (RFC 4724 §3) as the peer receives them, what the
// peer keeps by them, and when.
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parseLine } from '#bgp/session/record.ts';
import type { RecordStep } from '#bgp/session/record.ts';
import { findCapability } from '#bgp/wire/capabilities.ts';
import { familyOfAfi } from '#bgp/wire/codes.ts';
import type { Lab } from '#lab/lab.ts';
import type { LabProcess } from '#lab/process.ts';
import { flatroute } from '#lab/program.ts';
import type { PeerAnswer } from '#status/answers.ts';
import {
  agentWords,
  established,
  json,
  makeNodes,
  manifests,
  ourRoutes,
  startAgent,
  type TestNode,
  untilStatus,
  writeFiles,
} from '../support/agent-lab.ts';
import { eventually } from '../support/netns.ts';

/** What node 2 wrote down of its session with node 1. */
async function recorded({ host }: TestNode): Promise<readonly RecordStep[]> {
  // There is none before the first step of the session is written down.
  const text = await host.readFile('/run/record/node-1.jsonl').catch(() => '');
  return text.split('\n').flatMap((row) => {
    const line = parseLine(row);
    return line.ok && line.value.kind === 'step' ? [line.value] : [];
  });
}

/** R, and F by family, of the last OPEN. */
async function lastRestart(node: TestNode): Promise<unknown> {
  const open = (await recorded(node)).map(({ event }) => event).findLast((event) => event.kind === 'openReceived');
  const said = findCapability(open?.open.capabilities ?? [], 'gracefulRestart');
  return (
    said && {
      R: said.restarted,
      F: Object.fromEntries(said.families.map(({ afi, safi, forwarding }) => [familyOfAfi(afi, safi), forwarding])),
    }
  );
}

const opens = (steps: readonly RecordStep[]): number =>
  steps.filter(({ event }) => event.kind === 'openReceived').length;

/** An UPDATE of nothing withdrawn, no attributes and no routes (RFC 4724 §2). */
const isEndOfRib = ({ event }: RecordStep): boolean =>
  event.kind === 'updateReceived' && event.body.length === 4 && event.body.every((octet) => octet === 0);

/** Node 1 has a block and learns in IPv4; in IPv6 it only announces its own address, and nothing of it is in its kernel. */
const files = (number: number): Readonly<Record<string, string>> => {
  const { 'node.yaml': node = '', 'bgp.yaml': bgp = '', ...rest } = manifests(number);
  return {
    ...rest,
    'node.yaml': node.replace(/, "fd60:\d::\/112"/, ''),
    'bgp.yaml': number === 1 ? `${bgp}  advertise: { nodeAddresses: true }\n` : bgp,
  };
};

describe('an agent that died', { timeout: 600_000 }, () => {
  let lab: Lab | undefined;
  let node: TestNode;
  let other: TestNode;
  let agent: LabProcess;

  const kill = async (): Promise<void> => {
    agent.kill('SIGKILL');
    await agent.exited;
  };

  const restarted = async (): Promise<void> => {
    const before = opens(await recorded(other));
    agent = await startAgent(node);
    await untilStatus(node, 'the session is back', established);
    await eventually('the record has its OPEN', async () => opens(await recorded(other)) > before);
  };

  const hasBoth = async (): Promise<boolean> => {
    const routes = (await ourRoutes(other)).join('\n');
    return routes.includes('10.60.1.0/26 nhid') && routes.includes('2001:db8::1 nhid');
  };

  before(async () => {
    const made = await makeNodes('agent-restart');
    lab = made.lab;
    [node, other] = made.nodes;
    for (const it of made.nodes) await writeFiles(it.host, files(it.number));
    agent = await startAgent(node);
    await startAgent(other, '--record', '/run/record');
    for (const it of made.nodes) await untilStatus(it, 'the session is established', established);
    await eventually('node 2 has both', hasBoth);
    await eventually('the record has the OPEN', async () => opens(await recorded(other)) > 0);
    await eventually('node 1 has learned', async () =>
      (await ourRoutes(node)).some((line) => line.includes('10.60.2.0')),
    );
  });
  after(async () => {
    await lab?.dispose();
  });

  test('the first start of a boot says R=0 and F=0', async () => {
    assert.deepEqual(await lastRestart(other), { R: false, F: { ipv4: false, ipv6: false } });
  });

  test('killed with -9 it says R=1 and F=1, for a family of which the kernel held nothing too, as was foretold', async () => {
    await eventually('no loss is foretold', async () => {
      const { peers } = await json<{ peers: readonly PeerAnswer[] }>(node, 'peers');
      return peers[0]?.nextRestart?.hitless;
    });
    assert.deepEqual(
      (await ourRoutes(node)).filter((line) => line.includes(':')),
      [],
      'nothing of IPv6 is in the kernel',
    );
    const monitor = await other.host.spawn(['ip', '-6', 'monitor', 'route'], { log: 'routes.log' });
    await kill();
    await restarted();
    assert.deepEqual(await lastRestart(other), { R: true, F: { ipv4: true, ipv6: true } });
    await eventually('End-of-RIB has come in this session', async () => {
      const steps = await recorded(other);
      return steps.findLastIndex(isEndOfRib) > steps.findLastIndex(({ event }) => event.kind === 'openReceived');
    });
    monitor.kill('SIGKILL');
    await monitor.exited;
    assert.doesNotMatch(await other.host.readFile('/run/log/routes.log'), /Deleted 2001:db8::1/);
    assert.ok(await hasBoth());
  });

  test('learned routes that somebody took away meanwhile are not claimed: F=0 for that family', async () => {
    await kill();
    await node.host.run(['ip', 'route', 'del', '10.60.2.0/26']);
    await restarted();
    assert.deepEqual(await lastRestart(other), { R: true, F: { ipv4: false, ipv6: true } });
    await eventually('all is there again', hasBoth);
  });

  test('End-of-RIB, the OPEN even, waits until the kernel was read back', async () => {
    await eventually('node 1 has learned', async () =>
      (await ourRoutes(node)).some((line) => line.includes('10.60.2.0')),
    );
    await kill();
    await node.host.writeFile('/run/hold', '');
    const [program = '', ...words] = flatroute(...agentWords(node));
    const preload = ['--import', resolve('test/support/hold-read-back.ts')];
    agent = await node.host.spawn([program, ...preload, ...words], { log: 'agent.log' });
    await eventually(
      'the kernel is to be read back',
      async () => (await node.host.exec(['test', '-e', '/run/held'])).code === 0,
    );
    const before = (await recorded(other)).length;
    await eventually(
      'the peer has tried twice in vain',
      async () => (await recorded(other)).slice(before).filter(({ event }) => event.kind === 'tcpFails').length >= 2,
    );
    const waited = (await recorded(other)).slice(before);
    assert.equal(opens(waited), 0);
    assert.ok(await hasBoth(), 'the peer keeps its routes meanwhile');
    await node.host.run(['rm', '/run/hold']);
    await untilStatus(node, 'the session is back', established);
    const steps = await eventually('End-of-RIB has come', async () => {
      const now = (await recorded(other)).slice(before + waited.length);
      return now.some(isEndOfRib) && now;
    });
    const announced = steps.findIndex(({ event }) => event.kind === 'updateReceived' && event.body.length > 4);
    assert.ok(announced >= 0 && announced < steps.findIndex(isEndOfRib), 'and what it announces is before it');
    assert.deepEqual(await lastRestart(other), { R: true, F: { ipv4: true, ipv6: true } });
  });

  test('after a reboot it says R=0 and F=0, whatever its run directory and its kernel still have', async () => {
    await kill();
    const [, learned = ''] = (await node.host.readFile('/run/flatroute/boot')).split('\n');
    assert.equal(learned, 'ipv4');
    await node.host.writeFile('/run/flatroute/boot', `11111111-2222-3333-4444-555555555555 1\n${learned}\n`);
    await restarted();
    assert.deepEqual(await lastRestart(other), { R: false, F: { ipv4: false, ipv6: false } });
    await eventually('all is there again', hasBoth);
  });
});
