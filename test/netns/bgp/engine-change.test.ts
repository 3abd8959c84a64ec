// The engine of a running node is changed, and changed back: a real gobgpd beside the agent, and BIRD as its router.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type AgentClient, connectAgent } from '#cli/client.ts';
import { askByAdminApi } from '#cli/demo/ask.ts';
import { GobgpSidecar } from '#lab/gobgp-sidecar.ts';
import type { Host } from '#lab/host.ts';
import { Lab } from '#lab/lab.ts';
import { bgpConfiguration, bgpPeer, node } from '#lab/manifests.ts';
import { ADMIN_SOCKET, NodeAgent } from '#lab/node-agent.ts';
import { BirdRouter } from '#lab/routers/bird.ts';
import type { PeerAnswer } from '#status/answers.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import { families } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { milliseconds, seconds } from '#lib/time.ts';
import {
  addRouterHost,
  description,
  left,
  linkAddress,
  linkHosts,
  peerOf,
  prefixes,
  right,
} from '../../interop/two-routers.ts';

const blocks = prefixes('10.60.1.0/26', 'fd60:1::/112');

const configuration = (engine: 'embedded' | 'gobgp'): Readonly<Record<string, string>> => ({
  'bgp.yaml': bgpConfiguration({
    asn: left.asn,
    importPolicy: 'All',
    ...(engine === 'gobgp' ? { gobgp: GobgpSidecar.address } : {}),
  }),
});

/** Who listens for BGP, by name. */
async function listeners(host: Host): Promise<readonly string[]> {
  const rows = (await host.run(['ss', '-Hltnp', 'sport', '=', '179'])).split('\n').filter((row) => row !== '');
  return [...new Set(rows.map((row) => /\(\("([^"]+)",pid=(\d+)/.exec(row)?.[1] ?? row))];
}

describe('the engine of a running node is changed', { timeout: 600_000 }, () => {
  let lab: Lab | undefined;
  let host: Host;
  let routerHost: Host;
  let agent: NodeAgent;
  let router: BirdRouter;
  let sidecar: GobgpSidecar;

  const asked = async <T>(question: (client: AgentClient) => Promise<T>): Promise<T> => {
    const client = await connectAgent(host.path(ADMIN_SOCKET));
    try {
      return await question(client);
    } finally {
      client.close();
    }
  };

  /** Conditions of the node, by type. */
  const conditions = async (): Promise<ReadonlyMap<string, string>> => {
    const all = await asked((client) => client.conditions());
    const ofNode = all.filter(({ object }) => object === `node/${host.name}`);
    return new Map(ofNode.map(({ type, status, reason }) => [type, `${status} ${reason}`]));
  };

  /** Looks until it is so. The peers are answered all the time, whoever speaks. */
  const until = async (what: string, isSo: (peer: PeerAnswer) => boolean | Promise<boolean>): Promise<void> => {
    await waitFor(
      what,
      async () => {
        const peers = await asked((client) => client.peers(undefined));
        const [peer] = peers;
        if (peer === undefined || peers.length !== 1)
          throw new AppError('BUG_PEERS', `peers: ${JSON.stringify(peers)}`, { retry: 'never' });
        return (await isSo(peer)) ? found(undefined) : notYet(JSON.stringify(peer));
      },
      { deadline: seconds(60), every: milliseconds(50) },
    );
  };

  let marks = 0;
  /** Prefixes that left the kernel of a host until now, in order: what is told after a mark has all before it. */
  const deletions = async (of: Host): Promise<readonly string[]> => {
    marks += 1;
    const mark = `203.0.113.${marks}`;
    return await waitFor(
      `the kernel of ${of.name} to be heard`,
      async () => {
        await of.ip([`route add ${mark} dev lo`, `route del ${mark} dev lo`]);
        const gone = [...(await of.readFile('/run/log/routes.log')).matchAll(/^Deleted (\S+)/gm)].map(
          (row) => row[1] ?? '',
        );
        return gone.includes(mark)
          ? found(gone.filter((prefix) => !prefix.startsWith('203.0.113.')))
          : notYet('nothing');
      },
      { deadline: seconds(60) },
    );
  };

  /** How many routes the router was told, of each family; a route that is told anew is not stale any more. */
  const told = async (): Promise<readonly number[]> =>
    [...(await router.about(linkAddress(1, 1))).matchAll(/Import updates: +(\d+)/g)].map((row) => Number(row[1]));

  const hasAll = async (before: readonly number[]): Promise<boolean> => {
    const learned = (await host.routes()).map(({ prefix }) => prefix);
    const atRouter = (await routerHost.routes()).map(({ prefix }) => prefix);
    const counts = await told();
    return (
      right.announce.every((prefix) => learned.includes(prefix)) &&
      blocks.every((prefix) => atRouter.includes(prefix)) &&
      counts.length === families.length &&
      counts.every((count, i) => count > (before[i] ?? 0))
    );
  };

  const sessionSince = async (): Promise<string | undefined> =>
    (await asked((client) => client.peers(undefined)))[0]?.since;

  /** Changes the engine and waits until the new one has the session, and both sides have told each other everything. */
  const changeTo = async (engine: 'embedded' | 'gobgp'): Promise<void> => {
    // A Cease, which GoBGP 3 says as it leaves, makes the router count anew.
    const isGraceful = engine === 'gobgp' || (await conditions()).get('EngineReady') !== 'True EngineReady';
    const before = isGraceful ? await told() : [];
    const since = await sessionSince();
    await agent.write(configuration(engine));
    const ready = engine === 'gobgp' ? 'True EngineReady' : undefined;
    await until(`${engine} is said to speak`, async () => (await conditions()).get('EngineReady') === ready);
    await until(
      `a session of ${engine}`,
      async (peer) =>
        peer.state === 'Established' &&
        peer.since !== since &&
        peer.nextRestart?.hitless === true &&
        (await hasAll(before)),
    );
  };

  /** BGP does not run in gobgpd; version 4 does not begin it again in the same process. */
  const state = async (): Promise<'runs' | 'stopped' | 'stopped for good'> => {
    const { stdout, stderr } = await host.exec(['gobgp', '--target', GobgpSidecar.address, 'global']);
    if (`${stdout}${stderr}`.includes('server stopped')) return 'stopped for good';
    return /^AS: +0$/m.test(stdout) ? 'stopped' : 'runs';
  };
  const isStopped = async (): Promise<boolean> => (await state()) !== 'runs';

  before(async () => {
    lab = await Lab.create('engine-change');
    [host, routerHost] = await Promise.all([addRouterHost(lab, 'node-1', left), addRouterHost(lab, 'router', right)]);
    await linkHosts(lab, 1, host, routerHost);
    const gracefulRestart = { restartTimeSeconds: 60 };
    router = new BirdRouter(routerHost, description(right, [peerOf(1, 1, 'node', left.asn, { gracefulRestart })], 90));
    agent = new NodeAgent(host, askByAdminApi);
    sidecar = new GobgpSidecar(host);
    const addresses = [left.routerId, linkAddress(1, 1, 'ipv6')];
    await agent.write({
      ...configuration('embedded'),
      'node.yaml': node({ name: host.name, addresses, podCIDRs: blocks }),
      'peer.yaml': bgpPeer({
        name: 'router',
        address: linkAddress(1, 2),
        asn: right.asn,
        families,
        holdTimeSeconds: 90,
      }),
    });
    await Promise.all([router.start(), agent.start(), sidecar.start()]);
    await until('a session', async (peer) => peer.nextRestart?.hitless === true && (await hasAll([])));
    for (const it of [host, routerHost]) {
      await it.spawn(['ip', 'monitor', 'route'], { log: 'routes.log' });
      await deletions(it);
    }
  });
  after(async () => {
    await lab?.dispose();
  });

  test('to GoBGP: it has the session, the port and the routes', async () => {
    await changeTo('gobgp');
    assert.deepEqual(await listeners(host), ['gobgpd']);
  });

  test('back while gobgpd is away: the router keeps what it has', async () => {
    const before = await deletions(routerHost);
    await sidecar.stop('SIGKILL');
    await changeTo('embedded');
    await until('the port', async () => (await conditions()).get('Listening') === 'True Listening');
    assert.deepEqual(await listeners(host), ['node-MainThread']);
    assert.deepEqual(await deletions(routerHost), before);
  });

  test('back before gobgpd has ever answered: the router keeps what it has', async () => {
    const before = await deletions(routerHost);
    await agent.write(configuration('gobgp'));
    await until('its absence', async () => (await conditions()).get('EngineReady') === 'False EngineProblem');
    await changeTo('embedded');
    assert.deepEqual(await deletions(routerHost), before);
  });

  test('back while gobgpd hangs: it holds the port, which is said, and ends as soon as it answers', async () => {
    await sidecar.start();
    await changeTo('gobgp');
    sidecar.process.kill('SIGSTOP');
    try {
      await changeTo('embedded');
      await until('that it has the port', async () => (await conditions()).get('Listening') === 'False ListenFailed');
    } finally {
      sidecar.process.kill('SIGCONT');
    }
    await until('its end', isStopped);
    await until('still the session', (peer) => peer.state === 'Established');
  });

  test('to GoBGP and back, both there', async () => {
    if ((await state()) === 'stopped for good') {
      await sidecar.stop('SIGTERM');
      await sidecar.start();
    }
    await changeTo('gobgp');
    assert.deepEqual(await listeners(host), ['gobgpd']);
    await changeTo('embedded');
    await until('the port', async () => (await conditions()).get('Listening') === 'True Listening');
    assert.deepEqual(await listeners(host), ['node-MainThread']);
    assert.equal(await isStopped(), true);
  });

  test('through all of it no learned route left the kernel', async () => {
    assert.deepEqual(
      (await deletions(host)).filter((prefix) => right.announce.some((it) => it === prefix)),
      [],
    );
  });
});
