// A node whose uplinks have no addresses, under two routers: found by router advertisements, both families over link-local
// addresses, one session with a password; traffic, a killed agent, a router that is started again, a link that goes down.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { families, hostPrefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { type EngineKind, GobgpSidecar } from '#lab/gobgp-sidecar.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { bgpConfiguration, bgpPeer, node as nodeManifest, passwords } from '#lab/manifests.ts';
import { NodeAgent } from '#lab/node-agent.ts';
import type { LabRouter, RouterKind } from '#lab/routers/router.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import { address, asn, cannotRun, established, makeRouter, prefixes } from './two-routers.ts';

const nodeAddresses = [address('10.255.0.1'), address('fd00:255::1')] as const;
const leaves = [
  { name: 'first', asn: asn(65101), loopback: [address('10.255.0.101'), address('fd00:255::101')] },
  { name: 'second', asn: asn(65102), loopback: [address('10.255.0.102'), address('fd00:255::102')] },
] as const;
const password = 'fe80';
/** What both leaves announce. */
const fabric = prefixes('10.9.0.0/16', 'fd09::/32');
const pods = prefixes('10.60.1.0/26', 'fd60:1::/122');
const holdTimeSeconds = 9;

/** GoBGP as the engine, too: it takes the addresses that flatroute found. */
const trials: readonly { readonly kind: RouterKind; readonly engine: EngineKind }[] = [
  { kind: 'frr', engine: 'embedded' },
  { kind: 'bird', engine: 'embedded' },
  { kind: 'frr', engine: 'gobgp' },
];

for (const { kind, engine } of trials) {
  describe(`an unnumbered node under two routers (${kind}, ${engine})`, {
    skip: cannotRun(kind),
    concurrency: false,
  }, () => {
    let lab: Lab;
    // GoBGP 3 has no password for a neighbour on an interface.
    const hasPassword = (name: string): boolean => name === 'second' && engine === 'embedded';
    let host: Host;
    let agent: NodeAgent;
    let routers: LabRouter[];

    before(async () => {
      lab = await Lab.create('unnumbered');
      host = await lab.addHost('node', { forwarding: true, loopback: nodeAddresses });
      const above = await Promise.all(
        leaves.map((it) => lab.addHost(it.name, { forwarding: true, loopback: it.loopback })),
      );
      for (const leaf of above) await lab.link({ a: host, b: leaf, addresses: [] });
      routers = above.map((leaf, i) => {
        const it = leaves[i] as (typeof leaves)[number];
        return makeRouter(kind, leaf, {
          asn: it.asn,
          routerId: it.loopback[0],
          announce: [...fabric, ...it.loopback.map(hostPrefix)],
          holdTimeSeconds,
          multipath: true,
          peers: [
            {
              name: 'node',
              address: address('::'),
              interface: 'node',
              asn: asn(64601),
              families,
              ...(hasPassword(it.name) && { password }),
            },
          ],
        });
      });
      agent = new NodeAgent(host, askByAdminApi);
      const peers = leaves.map((it) => [
        `peer-${it.name}.yaml`,
        bgpPeer({
          name: it.name,
          address: address('::'),
          interface: it.name,
          // GoBGP takes whatever AS number the peer says, so the driver wants it named.
          asn: engine === 'gobgp' ? it.asn : 'External',
          families,
          holdTimeSeconds,
          options: ['importPolicy: All'],
          ...(hasPassword(it.name) && { passwordKey: it.name }),
        }),
      ]);
      await agent.write({
        'bgp.yaml': bgpConfiguration({
          asn: asn(64601),
          importPolicy: 'All',
          nodeAddresses: true,
          ...(engine === 'gobgp' && { gobgp: GobgpSidecar.address }),
        }),
        'node.yaml': nodeManifest({ name: 'node', addresses: nodeAddresses, podCIDRs: pods }),
        'passwords.yaml': passwords({ second: password }),
        ...Object.fromEntries(peers),
      });
      if (engine === 'gobgp') await new GobgpSidecar(host).start();
      await Promise.all([agent.start(), ...routers.map((router) => router.start())]);
    });
    after(async () => await lab?.dispose());

    const linkLocal = async (of: Host, name: string): Promise<string> => {
      const [link] = JSON.parse(await of.run(['ip', '-j', '-6', 'address', 'show', 'dev', name])) as {
        addr_info: { local: string; scope: string }[];
      }[];
      return link?.addr_info.find(({ scope }) => scope === 'link')?.local ?? '?';
    };
    const upstream = async (...names: string[]): Promise<string[]> =>
      (
        await Promise.all(routers.filter((it) => names.includes(it.host.name)).map((it) => linkLocal(it.host, 'node')))
      ).sort();

    /** Next hops of these prefixes in a host's kernel, until they are these. */
    const expectRoutes = async (of: Host, wanted: readonly string[], hops: readonly string[]): Promise<void> => {
      await waitFor(
        `routes to ${wanted.join(' and ')} on ${of.name} by ${hops.join(' and ')}`,
        async () => {
          const routes = (await of.routes()).filter(({ prefix }) => wanted.includes(prefix));
          const right = wanted.every((prefix) =>
            routes.some((route) => route.prefix === prefix && route.nextHops.join() === hops.join()),
          );
          return right ? found(undefined) : notYet(JSON.stringify(routes));
        },
        { deadline: seconds(60) },
      );
    };
    const sessionsUp = async (count: number): Promise<void> => {
      await waitFor(
        `${count} sessions of the node`,
        async () => {
          const peers = await agent.questions.peers();
          const up = peers.filter(({ state }) => state === 'Established').length;
          return up === count ? found(undefined) : notYet(JSON.stringify(peers));
        },
        { deadline: seconds(60) },
      );
    };
    const ping = async (from: Host, source: string, to: string): Promise<void> => {
      await waitFor(
        `an answer of ${to} to ${source}`,
        async () => {
          const result = await from.exec(['ping', '-c1', '-W1', '-I', source, to]);
          return result.code === 0 ? found(undefined) : notYet(result.stdout);
        },
        { deadline: seconds(60) },
      );
    };

    test('both neighbours are found, and both families go by their link-local addresses', async () => {
      await established(...routers);
      await sessionsUp(2);
      const hops = await upstream('first', 'second');
      await expectRoutes(host, fabric, hops);
      const peers = await agent.questions.peers();
      assert.deepEqual(
        peers.map(({ name, address: text, asn: number }) => [name, text, number]),
        await Promise.all(
          leaves.map(async (it) => [it.name, `${(await upstream(it.name)).join()}%${it.name}`, it.asn]),
        ),
      );
      for (const router of routers)
        await expectRoutes(
          router.host,
          [...pods, ...nodeAddresses.map(hostPrefix)],
          [await linkLocal(host, router.host.name)],
        );
    });

    test("packets go both ways between the routers' addresses and the node's, which is the preferred source", async () => {
      for (const [i, family] of families.entries()) {
        const routes = (await host.routes()).filter(({ prefix }) => prefix === fabric[i]);
        assert.deepEqual(
          routes.map(({ preferredSource }) => preferredSource),
          [nodeAddresses[i]],
          family,
        );
        for (const [at, router] of routers.entries()) {
          const its = leaves[at]?.loopback[i] ?? '';
          await ping(host, nodeAddresses[i] ?? '', its);
          await ping(router.host, its, nodeAddresses[i] ?? '');
        }
      }
    });

    test('a link that goes down is no next hop any more, and is one again', async () => {
      await host.run(['ip', 'link', 'set', 'dev', 'first', 'down']);
      await expectRoutes(host, fabric, await upstream('second'));
      await host.run(['ip', 'link', 'set', 'dev', 'first', 'up']);
      await expectRoutes(host, fabric, await upstream('first', 'second'));
    });

    test('a router that is started again is found again', async () => {
      const [first] = routers as [LabRouter];
      await first.stop('SIGKILL');
      await first.start();
      await established(first);
      await expectRoutes(host, fabric, await upstream('first', 'second'));
      await expectRoutes(first.host, pods, [await linkLocal(host, 'first')]);
    });

    test('an agent that is killed comes back to routers that kept its routes', async () => {
      const [, second] = routers as [LabRouter, LabRouter];
      const monitor = await second.host.spawn(['ip', 'monitor', 'route'], { log: 'monitor.log' });
      await waitFor(
        'the monitor to see routes come and go',
        async () => {
          await second.host.ip(['route add blackhole 192.0.2.77', 'route del blackhole 192.0.2.77']);
          return (await monitor.log()).includes('Deleted blackhole 192.0.2.77') ? found(undefined) : notYet('nothing');
        },
        { deadline: seconds(60) },
      );
      await agent.stop('SIGKILL');
      await agent.start();
      await sessionsUp(2);
      await established(...routers);
      await expectRoutes(second.host, pods, [await linkLocal(host, 'second')]);
      await expectRoutes(host, fabric, await upstream('first', 'second'));
      monitor.kill('SIGKILL');
      await monitor.exited;
      assert.doesNotMatch(await monitor.log(), /Deleted.* (10\.60|fd60)/);
    });
  });
}
