// The real agent on two nodes of a lab: what it serves, what it does to the kernel, how it ends.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { LabProcess } from '#lab/process.ts';
import type { Lab } from '#lab/lab.ts';
import { flatroute } from '#lab/program.ts';
import type { BlockAnswer, DriftAnswer, PeerAnswer, RoutesAnswer } from '#status/answers.ts';
import {
  ask,
  established,
  fetchMetrics,
  json,
  makeNodes,
  manifests,
  ourRoutes,
  peerManifest,
  running,
  startAgent,
  type TestNode,
  untilStatus,
  writeFiles,
} from '../support/agent-lab.ts';
import { eventually } from '../support/netns.ts';

/** Every change of routes on a node from now on, as the kernel tells it. */
async function watchRoutes(node: TestNode): Promise<{ readonly deleted: () => Promise<readonly string[]> }> {
  const name = `routes-${performance.now().toFixed(0)}.log`;
  const monitor = await node.host.spawn(['ip', 'monitor', 'route'], { log: name });
  await eventually('the monitor sees changes', async () => {
    await node.host.run(['ip', 'route', 'replace', '198.51.100.0/24', 'dev', 'lo']);
    await node.host.run(['ip', 'route', 'del', '198.51.100.0/24', 'dev', 'lo']);
    return (await node.host.readFile(`/run/log/${name}`)).includes('198.51.100.0');
  });
  return {
    deleted: async () => {
      monitor.kill('SIGKILL');
      await monitor.exited;
      const lines = (await node.host.readFile(`/run/log/${name}`)).split('\n');
      return lines.filter((line) => line.startsWith('Deleted') && !line.includes('198.51.100.0'));
    },
  };
}

/** What a reset or a restart of the test before has moved is in both kernels again. */
async function wholeAgain(nodes: readonly TestNode[]): Promise<void> {
  for (const node of nodes) {
    const other = 3 - node.number;
    await untilStatus(node, 'the session is established', established);
    await eventually('the routes of the other node', async () => {
      const lines = (await ourRoutes(node)).filter((line) => line.includes(' nhid '));
      return [`10.60.${other}.0/26`, `fd60:${other}::/112`].every((it) => lines.some((line) => line.startsWith(it)));
    });
  }
}

/** A program that has the port, and closes every connection. */
async function squat({ host }: TestNode, port: number, address: string): Promise<LabProcess> {
  const code = `require('net').createServer((s) => s.destroy()).listen(${port}, '${address}', () => console.log('here'))`;
  const squatter = await host.spawn([process.execPath, '-e', code], { log: `squatter-${port}.log` });
  await eventually('the port is taken', async () => (await squatter.log()).includes('here'));
  return squatter;
}

describe('two agents that peer with each other', { timeout: 600_000 }, () => {
  let lab: Lab | undefined;
  let nodes: readonly [TestNode, TestNode];
  const agents: LabProcess[] = [];

  before(async () => {
    const made = await makeNodes('agent');
    lab = made.lab;
    nodes = made.nodes;
    for (const node of nodes) agents.push(await startAgent(node, '--record', '/run/record'));
    for (const node of nodes) await untilStatus(node, 'the session is established', established);
  });
  after(async () => {
    await lab?.dispose();
  });

  test('each learns the blocks of the other into its kernel, in both families, and holds its own by blackholes', async () => {
    for (const node of nodes) {
      const other = 3 - node.number;
      const routes = await eventually('routes of the other node and its own in the kernel', async () => {
        const found = await ourRoutes(node);
        return (
          found.filter((line) => line.includes(`10.60.${other}.`) || line.includes(`fd60:${other}:`)).length === 2 &&
          found.some((line) => line.startsWith(`blackhole 10.60.${node.number}.0/26`)) &&
          found
        );
      });
      assert.ok(
        routes.some((line) => line.startsWith(`10.60.${other}.0/26 nhid `)),
        routes.join('\n'),
      );
    }
  });

  test('peers, blocks and routes answer what is so', async () => {
    const [node] = nodes;
    const { peers } = await json<{ peers: readonly PeerAnswer[] }>(node, 'peers');
    assert.deepEqual(
      peers.map((p) => [p.name, p.address, p.asn, p.state]),
      [['node-2', '192.0.2.2', 65002, 'Established']],
    );
    await eventually('both blocks are known as announced', async () => {
      const { blocks } = await json<{ blocks: readonly BlockAnswer[] }>(node, 'blocks');
      const said = blocks.map((b) => `${b.cidr} ${b.blackhole} ${b.announcedTo.join()}`).sort();
      return said.join('; ') === '10.60.1.0/26 true node-2; fd60:1::/112 true node-2';
    });
    const best = await json<RoutesAnswer>(node, 'routes');
    assert.deepEqual(best.routes.map((r) => `${r.prefix} ${r.peer}`).sort(), [
      '10.60.1.0/26 ',
      '10.60.2.0/26 node-2',
      'fd60:1::/112 ',
      'fd60:2::/112 node-2',
    ]);
    const announced = await json<RoutesAnswer>(node, 'routes', '--announced');
    assert.deepEqual(announced.routes.map((r) => r.prefix).sort(), ['10.60.1.0/26', 'fd60:1::/112']);
  });

  test('a destination is explained down to the kernel', async () => {
    const [node] = nodes;
    const { stdout, code } = await ask(node, 'routes', '10.60.2.7');
    assert.equal(code, 0, stdout);
    assert.match(stdout, /10\.60\.2\.0\/26 {2}best of 1, in the kernel as group \d+/);
    assert.match(stdout, /✔ via 192\.0\.2\.2 {2}node-2 {2}AS path 65002/);
    assert.match(
      stdout,
      /kernel: 10\.60\.2\.0\/26 nhid \d+ proto 179 metric 20 · packets to 10\.60\.2\.7 leave by node-2/,
    );
    const nowhere = await ask(node, 'routes', '10.99.0.1');
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.stdout, /no peer has announced/);
  });

  test('metrics and health are served', async () => {
    const [node] = nodes;
    assert.equal((await fetchMetrics(node, '/healthz')).trim(), '200 ok');
    assert.equal((await fetchMetrics(node, '/readyz')).trim(), '200 ok');
    for (const line of [
      'flatroute_bgp_session_up{peer="node-2"} 1',
      'flatroute_bgp_routes{peer="node-2",family="ipv4",stage="accepted"} 1',
      'flatroute_kernel_learned_routes{family="ipv6"} 1',
      'flatroute_event_loop_delay_seconds{thread="bgp",statistic="p99"}',
    ])
      await eventually(line, async () => (await fetchMetrics(node, '/metrics')).includes(line));
    assert.match(await fetchMetrics(node, '/etc/passwd'), /^404 /);
  });

  test('a second agent in the same namespace is refused and told who is there', async () => {
    const [node] = nodes;
    const { code, stderr } = await ask(node, 'agent', '--resources', '/etc/flatroute/resources', '--node', 'node-1');
    assert.equal(code, 1);
    assert.match(
      stderr,
      /an agent already runs here: pid \d+ \(.*agent --resources .*\) holds the lock @flatroute-agent/,
    );
    await untilStatus(node, 'the first agent still answers', established);
  });

  test('a route that somebody deletes or changes comes back, and the repair is counted', async () => {
    const [node] = nodes;
    const repairs = async (): Promise<number> =>
      Object.values((await json<DriftAnswer>(node, 'drift')).repairs).reduce((sum, n) => sum + n, 0);
    const before = await repairs();
    await node.host.run(['ip', 'route', 'del', '10.60.2.0/26']);
    await node.host.run(['ip', 'route', 'del', 'blackhole', '10.60.1.0/26']);
    await eventually('both routes are back', async () => {
      const routes = (await ourRoutes(node)).join('\n');
      return routes.includes('10.60.2.0/26 nhid') && routes.includes('blackhole 10.60.1.0/26');
    });
    await eventually('the repairs are counted', async () => (await repairs()) >= before + 2);
  });

  test('a file with an error is named with its line, the last good state holds, and the rest goes on', async () => {
    const [node] = nodes;
    await writeFiles(node.host, { 'peer.yaml': peerManifest(2).replace('asNumber: 65002', 'asNumber: 0') });
    const status = await untilStatus(node, 'the error is reported', (s) =>
      s.problems.some((p) => p.object.startsWith('peer.yaml:')),
    );
    const problem = status.problems.find((p) => p.object.startsWith('peer.yaml:'));
    assert.equal(problem?.object, 'peer.yaml:6');
    assert.match(problem.message, /asNumber/);
    assert.equal(status.bgp.established, 1, 'the session keeps its last good settings');
    const { code, stdout } = await ask(node, 'status');
    assert.equal(code, 1);
    assert.match(stdout, /✘ peer\.yaml:6/);
    await writeFiles(node.host, { 'peer.yaml': peerManifest(2) });
    await untilStatus(node, 'the error is gone', (s) => !s.problems.some((p) => p.object.startsWith('peer.yaml')));
  });

  test('a peer that is removed goes with its routes, and comes back with them', async () => {
    const [node] = nodes;
    await writeFiles(node.host, { 'peer.yaml': undefined });
    await untilStatus(node, 'no peer is left', (s) => s.bgp.peers === 0);
    await eventually(
      'its routes left the kernel',
      async () => !(await ourRoutes(node)).some((line) => line.includes('10.60.2.0')),
    );
    await writeFiles(node.host, { 'peer.yaml': peerManifest(2) });
    await untilStatus(node, 'the session is back', established);
    await eventually('its routes are back', async () =>
      (await ourRoutes(node)).some((line) => line.startsWith('10.60.2.0')),
    );
  });

  test('a reset session comes back; an unknown peer is refused with the names there are', async () => {
    const [node] = nodes;
    const flaps = async (): Promise<number> =>
      (await json<{ peers: readonly PeerAnswer[] }>(node, 'peers')).peers[0]?.flaps ?? 0;
    const before = await flaps();
    assert.equal((await ask(node, 'reset', 'node-2')).code, 0);
    await eventually('the session went down once', async () => (await flaps()) > before);
    await untilStatus(node, 'the session is back', established);
    const unknown = await ask(node, 'reset', 'nobody');
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /no peer is called nobody; there are node-2/);
  });

  test('the life of a session is written down, for root alone, and can be played again', async () => {
    const [node] = nodes;
    const { stdout } = await node.host.exec(['stat', '-c', '%a', '/run/record', '/run/record/node-2.jsonl']);
    assert.equal(stdout, '700\n600\n');
    const played = await eventually('the record has the session', async () => {
      const answer = await ask(node, 'replay', '/run/record/node-2.jsonl');
      return answer.stdout.includes('OpenConfirm → Established') && answer;
    });
    assert.equal(played.code, 0, played.stdout);
    assert.match(played.stdout, /receives OPEN: AS 65002/);
    assert.match(played.stdout, /UPDATE: announces 10\.60\.2\.0\/26 via 192\.0\.2\.2, path 65002/);
    assert.match(played.stderr, /steps, each as it was recorded/);
    const nothing = await ask(node, 'replay', '/run/record/none.jsonl');
    assert.equal(nothing.code, 1);
    assert.match(nothing.stderr, /none\.jsonl cannot be read/);
  });

  test('the event stream says what happens', async () => {
    const [node] = nodes;
    const events = await node.host.spawn(flatroute('events'), { log: 'events.log' });
    try {
      await eventually('a soft reset is told', async () => {
        await ask(node, 'reset', '--soft', 'node-2');
        return (await node.host.readFile('/run/log/events.log')).includes('"event":"peer.reset"');
      });
    } finally {
      events.kill('SIGTERM');
      await events.exited;
    }
  });

  test('SIGTERM ends the agent in time with 0; kernel routes stay here and at the peer', async () => {
    const [node, other] = nodes;
    const [agent] = agents;
    assert.ok(agent !== undefined);
    await wholeAgain(nodes);
    const routes = await ourRoutes(node);
    const watched = await watchRoutes(other);
    agent.kill('SIGTERM');
    const { code, signal } = await agent.exited;
    // One whose threads do not end in 2.3 s kills itself.
    assert.deepEqual([code, signal], [0, null], await agent.log());
    assert.deepEqual(await ourRoutes(node), routes);
    assert.ok(
      (await ourRoutes(other)).some((line) => line.startsWith('10.60.1.0/26')),
      'the peer keeps our routes: graceful restart',
    );
    const { code: down, stderr } = await ask(node, 'status');
    assert.equal(down, 1);
    assert.match(stderr, /no agent at \/run\/flatroute\/admin\.sock: .*start one with `flatroute agent/);
    agents[0] = await startAgent(node);
    await untilStatus(node, 'the session is back', established);
    assert.deepEqual(await ourRoutes(node), routes, 'the same routes by the same groups');
    assert.deepEqual(await watched.deleted(), [], 'the peer never deleted a route of ours, not even for a moment');
  });

  test('kill -9 and a new start lose no route, and the first start after it finds the socket and the lock free', async () => {
    const [node, other] = nodes;
    const [agent] = agents;
    assert.ok(agent !== undefined);
    await wholeAgain(nodes);
    const routes = await ourRoutes(node);
    const watched = [await watchRoutes(node), await watchRoutes(other)];
    agent.kill('SIGKILL');
    await agent.exited;
    assert.deepEqual(await ourRoutes(node), routes);
    const dead = await ask(node, 'peers');
    assert.equal(dead.code, 1);
    assert.match(dead.stderr, /nobody listens on it/);
    agents[0] = await startAgent(node);
    await untilStatus(node, 'the session is back', established);
    assert.ok((await ourRoutes(other)).some((line) => line.startsWith('10.60.1.0/26')));
    assert.deepEqual(
      (await ourRoutes(node)).map((line) => line.replace(/nhid \d+ /, '')),
      routes.map((line) => line.replace(/nhid \d+ /, '')),
    );
    for (const { deleted } of watched) assert.deepEqual(await deleted(), [], 'no route went, not even for a moment');
  });

  test('--withdraw-on-stop takes our routes from the peer', async () => {
    const [node, other] = nodes;
    agents[0]?.kill('SIGTERM');
    await agents[0]?.exited;
    const agent = await startAgent(node, '--withdraw-on-stop');
    await untilStatus(node, 'the session is back', established);
    await eventually('the peer has our route', async () =>
      (await ourRoutes(other)).some((line) => line.startsWith('10.60.1.0/26')),
    );
    agent.kill('SIGTERM');
    assert.equal((await agent.exited).code, 0);
    await eventually(
      'the peer lost our route',
      async () => !(await ourRoutes(other)).some((line) => line.startsWith('10.60.1.0/26')),
    );
  });
});

describe('an agent on a node where something is wrong', { timeout: 600_000 }, () => {
  let lab: Lab | undefined;
  let nodes: readonly [TestNode, TestNode];

  before(async () => {
    const made = await makeNodes('agent-wrong');
    lab = made.lab;
    nodes = made.nodes;
  });
  after(async () => {
    await lab?.dispose();
  });

  test('port 179 taken: the session comes up all the same, and the condition says so', async () => {
    const [node, other] = nodes;
    const squatter = await squat(node, 179, '::');
    const agent = await startAgent(node);
    const peer = await startAgent(other);
    try {
      const status = await untilStatus(node, 'active only', (s) => running(s) && s.bgp.listenError !== undefined);
      assert.match(status.bgp.listenError ?? '', /179/);
      await untilStatus(node, 'the session is established', established);
    } finally {
      for (const process of [agent, peer, squatter]) {
        process.kill('SIGTERM');
        await process.exited;
      }
    }
  });

  test('a node that learns nothing is missed by nobody while its agent is killed and started again', async () => {
    const [node, other] = nodes;
    const bgp = manifests(1)['bgp.yaml'] ?? '';
    let agent = await startAgent(node);
    const peer = await startAgent(other);
    try {
      await untilStatus(node, 'the session is established', established);
      await eventually('the peer has our block', async () =>
        (await ourRoutes(other)).some((line) => line.startsWith('10.60.1.0/26')),
      );
      const hasLearned = async (): Promise<boolean> =>
        (await ourRoutes(node)).some((line) => /^(10\.60\.2\.|fd60:2:)/.test(line));
      await eventually('routes were learned', hasLearned);
      const watched = await watchRoutes(other);
      await writeFiles(node.host, { 'bgp.yaml': bgp.replace('importPolicy: All', 'importPolicy: None') });
      await eventually('nothing is learned any more', async () => !(await hasLearned()));
      agent.kill('SIGKILL');
      await agent.exited;
      agent = await startAgent(node);
      await untilStatus(node, 'the session is back', established);
      await eventually(
        'the peer heard End-of-RIB',
        async () => (await json<{ peers: readonly PeerAnswer[] }>(other, 'peers')).peers[0]?.received.ipv6 === 1,
      );
      assert.deepEqual(await watched.deleted(), []);
    } finally {
      for (const process of [agent, peer]) {
        process.kill('SIGTERM');
        await process.exited;
      }
    }
  });

  test('a directory that is not there is a problem that the status names, and its files count once they come', async () => {
    const [node] = nodes;
    await node.host.run(['rm', '-rf', '/etc/flatroute/resources']);
    const agent = await startAgent(node);
    try {
      const status = await untilStatus(node, 'the missing directory', (s) => s.problems.length > 0 && running(s));
      assert.ok(
        status.problems.some((p) => p.message.includes('/etc/flatroute/resources')),
        JSON.stringify(status.problems),
      );
      await writeFiles(node.host, manifests(1));
      await untilStatus(node, 'the peer of the new files', (s) => s.bgp.peers === 1);
    } finally {
      agent.kill('SIGTERM');
      assert.equal((await agent.exited).code, 0, await agent.log());
    }
  });

  test('an address for metrics that is taken ends the start with a sentence and leaves nothing', async () => {
    const [node] = nodes;
    const squatter = await squat(node, 9179, '127.0.0.1');
    // Agents of one node write into one log.
    const before = (await node.host.readFile('/run/log/agent.log')).length;
    const agent = await startAgent(node);
    const { code, signal } = await agent.exited;
    const log = (await agent.log()).slice(before);
    // Threads that have no time to end are cut short, and that is said.
    assert.deepEqual([code, signal], log.includes('"agent.killed"') ? [null, 'SIGKILL'] : [1, null], log);
    assert.match(log, /cannot serve metrics on 127\.0\.0\.1 port 9179: EADDRINUSE; choose another with --metrics/);
    squatter.kill('SIGKILL');
    await squatter.exited;
  });

  test('no socket: the command says what to do and ends with 1', async () => {
    const [node] = nodes;
    const { code, stderr } = await ask(node, 'status', '--socket', '/run/nowhere.sock');
    assert.equal(code, 1);
    assert.equal(
      stderr.trim(),
      'flatroute: no agent at /run/nowhere.sock: there is no such socket; start one with `flatroute agent --resources DIR --node NAME` (in a cluster DaemonSet flatroute-agent does), or name its socket with --socket PATH',
    );
  });

  test('SIGTERM while it still starts ends it too', async () => {
    const [node] = nodes;
    for (const wait of [0, 150, 300, 400, 500, 600, 800]) {
      const agent = await startAgent(node);
      await new Promise((resolve) => setTimeout(resolve, wait));
      agent.kill('SIGTERM');
      await agent.exited;
      const left = (await node.host.processes()).filter((line) => line.includes(' agent '));
      assert.deepEqual(left, [], `after ${wait} ms`);
    }
  });
});
