// Where pods get their addresses from, and where a router finds them: two agents under BIRD, pods by the real plugin.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { families, hostPrefix } from '#lib/ip.ts';
import type { IpAddress } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { bgpConfiguration, bgpPeer, node } from '#lab/manifests.ts';
import { Lab } from '#lab/lab.ts';
import type { LabRouter } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { blockName } from '#resources/ip-block.ts';
import type { ConditionAnswer } from '#status/answers.ts';
import {
  address,
  asn,
  description,
  established,
  linkAddress,
  linkHosts,
  makeRouter,
  peerOf,
  prefixes,
} from '../interop/two-routers.ts';
import { ANNOTATIONS_CAPABILITY } from '#cni/config.ts';
import { CniHost, type TestPod } from '../support/cni-host.ts';
import { call } from '../support/pod-calls.ts';
import { own } from '../support/resources.ts';

const fixed = ['10.62.0.7', 'fd62::7'].map(address);
const asksFixed = { 'flatroute.io/ip-addresses': fixed.join(',') };
const pools = [
  own('IPPool', 'general', 'cidr: 10.61.0.0/24, blockSize: 28'),
  own('IPPool', 'general6', 'cidr: "fd61::/112"'),
  own('IPPool', 'shop', `cidr: 10.64.0.0/24, blockSize: 30, namespaceSelector: "team == 'shop'"`),
  own('IPPool', 'vip', 'cidr: 10.62.0.0/24, assignmentMode: Manual'),
  own('IPPool', 'vip6', 'cidr: "fd62::/112", assignmentMode: Manual'),
].join('');
const blocks = (...rows: readonly (readonly [cidr: string, node: string])[]): string =>
  rows
    .map(([cidr, owner]) => {
      const [prefix = assert.fail(cidr)] = prefixes(cidr);
      return own('IPBlock', blockName(prefix), `cidr: "${cidr}", node: ${owner}`);
    })
    .join('');
const namespace = (name: string, labels = ''): string =>
  `{apiVersion: v1, kind: Namespace, metadata: {name: ${name}, labels: {${labels}}}}\n---\n`;

describe('addresses', { timeout: 600_000 }, () => {
  let lab: Lab;
  let router: LabRouter;
  let one: CniHost;
  let two: CniHost;

  /** Both nodes read the same objects. */
  const write = async (files: Readonly<Record<string, string | undefined>>): Promise<void> => {
    await Promise.all([one, two].map((it) => it.agent.write(files)));
  };

  const table = async (): Promise<Readonly<Record<string, string>>> => {
    const rows = (await Promise.all(families.map((family) => router.table(family)))).flat();
    return Object.fromEntries(rows.map((row) => [row.prefix, row.nextHops.join(' ')]));
  };
  const via = (n: 1 | 2): readonly string[] => families.map((family) => linkAddress(n, 1, family));
  /** Prefixes and the node that the router must have them from; `undefined`: nobody. */
  const announced = async (what: string, expected: Readonly<Record<string, 1 | 2 | undefined>>): Promise<void> => {
    await waitFor(
      what,
      async () => {
        const seen = await table();
        const wrong = Object.entries(expected).filter(([prefix, n]) => {
          const hop = seen[prefix];
          return n === undefined ? hop !== undefined : hop === undefined || !via(n).includes(hop);
        });
        return wrong.length === 0 ? found(undefined) : notYet(JSON.stringify(seen));
      },
      { deadline: seconds(60) },
    );
  };
  const condition = async (at: CniHost, object: string, type: string, reason: string): Promise<ConditionAnswer> =>
    await waitFor(
      `condition ${type} of ${object} to be ${reason}`,
      async () => {
        const all = (await at.ask((client) => client.conditions())).filter((it) => it.object === object);
        const it = all.find((one) => one.type === type);
        return it?.reason === reason ? found(it) : notYet(JSON.stringify(all));
      },
      { deadline: seconds(60) },
    );
  const reached = async (...addresses: readonly string[]): Promise<void> => {
    for (const target of addresses)
      await waitFor(
        `the router to reach ${target}`,
        async () => {
          const ping = await router.host.exec(['ping', '-c', '1', '-W', '1', target]);
          return ping.code === 0 ? found(undefined) : notYet(ping.stdout);
        },
        { deadline: seconds(60) },
      );
  };
  const added = async (at: CniHost, pod: TestPod, ...more: readonly [string, object?]): Promise<readonly string[]> => {
    const answer = await at.add(pod, more[0], { ...more[1] });
    assert.equal(answer.code, 0, answer.stdout);
    return answer.addresses;
  };

  before(async () => {
    lab = await Lab.create('addresses');
    const [tor, ...hosts] = await Promise.all([
      lab.addHost('tor', { forwarding: true }),
      lab.addHost('node-1', { forwarding: true }),
      lab.addHost('node-2', { forwarding: true }),
    ]);
    for (const [i, host] of hosts.entries()) await linkHosts(lab, i + 1, host, tor);
    [one, two] = hosts.map((host) => new CniHost(host)) as [CniHost, CniHost];
    const speaker = { asn: asn(65100), routerId: address('10.255.0.100'), announce: [] };
    // What a restarted agent announced before stays for so long.
    const keeps = { gracefulRestart: { restartTimeSeconds: 30 } };
    const peers = hosts.map((host, i) => peerOf(i + 1, 1, host.name, asn(65001), keeps));
    router = makeRouter('bird', tor, description(speaker, peers));
    await write({
      'bgp.yaml': bgpConfiguration({ asn: asn(65001), importPolicy: 'All' }).replace(
        'spec:',
        'spec:\n  addressSource: IPPools',
      ),
      'nodes.yaml': hosts
        .map((host, i) =>
          node({
            name: host.name,
            addresses: families.map((family) => linkAddress(i + 1, 1, family)),
            podCIDRs: [],
          }),
        )
        .join('---\n'),
      'peers.yaml': hosts
        .map((host, i) =>
          bgpPeer({
            name: `tor-${i + 1}`,
            address: linkAddress(i + 1, 2),
            asn: asn(65100),
            families,
            holdTimeSeconds: 30,
            options: [`node: ${host.name}`],
          }),
        )
        .join('---\n'),
      'pools.yaml': pools,
      'blocks-1.yaml': blocks(
        ['10.61.0.0/28', 'node-1'],
        ['10.61.0.32/28', 'node-1'],
        ['fd61::/122', 'node-1'],
        ['10.64.0.0/30', 'node-1'],
      ),
      'blocks-2.yaml': blocks(['10.61.0.16/28', 'node-2'], ['fd61::40/122', 'node-2']),
      'fixed.yaml': blocks(...fixed.map((it) => [hostPrefix(it), 'node-1'] as const)),
      'namespaces.yaml': namespace('shop', 'team: shop') + namespace('other'),
      'reservation.yaml': own('IPReservation', 'printer', 'reservedCIDRs: [10.64.0.1/32]'),
    });
    await Promise.all([router.start(), one.agent.start(), two.agent.start()]);
    await established(router);
  });
  after(async () => await lab?.dispose());

  const [four = '', six = ''] = fixed.map((it: IpAddress): string => hostPrefix(it));

  test('every block of a node is announced, a fixed address that nobody has is not', async () => {
    await announced('the blocks', {
      '10.61.0.0/28': 1,
      '10.61.0.32/28': 1,
      'fd61::/122': 1,
      '10.61.0.16/28': 2,
      'fd61::40/122': 2,
      [four]: undefined,
      [six]: undefined,
    });
  });

  test('a fixed address is announced from where its pod runs, also through a crash of the agent, and withdrawn with it', async () => {
    const pod = await one.pod('vip');
    const config = { requireAnnouncement: true, runtimeConfig: { [ANNOTATIONS_CAPABILITY]: asksFixed } };
    const answer = await one.add(pod, 'other', {}, { config });
    assert.equal(answer.code, 0, answer.stdout);
    assert.deepEqual(answer.addresses, fixed);
    await announced('the fixed addresses', { [four]: 1, [six]: 1 });
    await reached(...fixed);
    const taken = await one.add(await one.pod('vip-again'), 'other', asksFixed);
    assert.equal(taken.error.code, 7, taken.stdout);

    const pinging = fixed.map((it) => router.host.exec(['ping', '-i', '0.05', '-c', '100', '-W', '1', it]));
    await one.agent.stop('SIGKILL');
    await one.agent.start();
    await established(router);
    for (const ping of pinging) assert.match((await ping).stdout, / 100 received/);
    await announced('the fixed addresses after the crash', { [four]: 1, [six]: 1 });

    assert.equal((await one.del(pod)).code, 0);
    await announced('nobody to have the fixed addresses', { [four]: undefined, [six]: undefined, '10.61.0.0/28': 1 });
  });

  test('a pod that moves takes its address along; a block that is moved under it takes the announcement', async () => {
    await write({ 'fixed.yaml': blocks([four, 'node-2'], [six, 'node-2']) });
    await condition(two, `blocks/${blockName(prefixes(four)[0] ?? assert.fail())}`, 'Accepted', 'Accepted');
    await waitFor(
      'the first node to know that the block is no longer its own',
      async () => {
        const own = (await one.ask((client) => client.blocks())).map(({ cidr }) => cidr);
        return own.includes(four) ? notYet(own.join(' ')) : found(undefined);
      },
      { deadline: seconds(60) },
    );
    const pod = await two.pod('vip');
    assert.deepEqual(await added(two, pod, 'other', asksFixed), fixed);
    await announced('the fixed addresses from the other node', { [four]: 2, [six]: 2 });
    await reached(...fixed);
    const elsewhere = await one.add(await one.pod('vip-late'), 'other', asksFixed);
    assert.equal(elsewhere.error.code, 7, elsewhere.stdout);

    await write({ 'fixed.yaml': blocks([four, 'node-1'], [six, 'node-1']) });
    await announced('no wrong announcement', { [four]: undefined, [six]: undefined });
    const { message } = await condition(two, 'node/node-2', 'PodsAnnounced', 'PodsInForeignBlocks');
    assert.match(message, /10\.62\.0\.7 \(node-1\)/);
    await write({ 'fixed.yaml': blocks([four, 'node-2'], [six, 'node-2']) });
    await announced('the announcement to be back', { [four]: 2, [six]: 2 });
    await condition(two, 'node/node-2', 'PodsAnnounced', 'PodsInBlocks');
    await two.del(pod);
  });

  test('a namespace has the pools that select it, others have the rest, an unknown one waits for its Namespace', async () => {
    const [mine, other, unknown] = [await one.pod('shop-1'), await one.pod('other-1'), await one.pod('new-1')];
    const [shop = '', shop6 = ''] = await added(one, mine, 'shop');
    // The other address of the /30 is reserved.
    assert.equal(shop, '10.64.0.2');
    assert.match(shop6, /^fd61::/);
    assert.match((await added(one, other, 'other'))[0] ?? '', /^10\.61\.0\./);
    const early = await one.add(unknown, 'new');
    assert.equal(early.error.code, 11, early.stdout);
    assert.match(early.error.msg, /namespace new/);
    await write({ 'new.yaml': namespace('new', 'team: other') });
    await waitFor(
      'the namespace to be known',
      async () => {
        const answer = await one.add(unknown, 'new');
        return answer.code === 0 ? found(undefined) : notYet(answer.stdout);
      },
      { deadline: seconds(60) },
    );
    await reached(shop, shop6);
    for (const pod of [other, unknown]) await one.del(pod);
  });

  test('a full pool is an error, a count and a condition, and STATUS stays fine; all of it passes', async () => {
    const next = await one.pod('shop-2');
    const full = await one.add(next, 'shop');
    assert.equal(full.error.code, 100, full.stdout);
    assert.match(full.error.msg, /no free IPv4 address in shop: none of 1 is free/);
    const { message, severity } = await condition(one, 'pools/shop', 'AddressesAvailable', 'AddressesExhausted');
    assert.match(message, /^0 of 1 addresses on node-1 are free: new pods fail\. Give the node another block/);
    assert.equal(severity, 'error');
    assert.equal((await call(one, 'STATUS', undefined)).code, 0);
    await waitFor(
      'the pool to be shown as full, with its refusal',
      async () => {
        const row = (await one.ask((client) => client.pools())).find((it) => it.pool === 'shop');
        const seen = [row?.capacity, row?.used, row?.free, row?.refused].join(' ');
        return seen === '1 1 0 1' ? found(undefined) : notYet(seen);
      },
      { deadline: seconds(60) },
    );
    await one.del({ name: 'shop-1', path: '/run/netns/shop-1' });
    // Until the veth is gone the answer is 11: try again.
    const again = await waitFor(
      'the address to be free',
      async () => {
        const answer = await one.add(next, 'shop');
        return answer.code === 0 ? found(answer) : notYet(answer.stdout);
      },
      { deadline: seconds(60) },
    );
    assert.equal(again.addresses[0], '10.64.0.2');
    await write({ 'reservation.yaml': undefined });
    await condition(one, 'pools/shop', 'AddressesAvailable', 'AddressesAvailable');
    await one.del(next);
  });

  test('pods of a block that is taken away are announced one by one until they are gone', async () => {
    const pod = await one.pod('stray');
    const [four = '', six = ''] = await added(one, pod, 'other');
    const block = ['10.61.0.0/28', '10.61.0.32/28'].find(
      (it) => it.startsWith('10.61.0.0') === Number(four.split('.')[3]) < 16,
    );
    assert.ok(block !== undefined);
    await write({ 'blocks-1.yaml': blocks(['10.64.0.0/30', 'node-1']) });
    await announced('single addresses', {
      [block]: undefined,
      'fd61::/122': undefined,
      [`${four}/32`]: 1,
      [`${six}/128`]: 1,
    });
    await reached(four, six);
    await condition(one, 'node/node-1', 'PodsAnnounced', 'PodsOutsideBlocks');
    await one.del(pod);
    await announced('nothing', { [`${four}/32`]: undefined, [`${six}/128`]: undefined });
    await waitFor(
      'no blackhole but that of the block that stays',
      async () => {
        const left = (await one.host.run(['ip', 'route', 'show', 'proto', '179', 'type', 'blackhole'])).trim();
        return left === 'blackhole 10.64.0.0/30 metric 4294967294' ? found(undefined) : notYet(left);
      },
      { deadline: seconds(60) },
    );
  });
});
