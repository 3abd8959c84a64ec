// The bundle of `npm run build` is the same program: it runs the agent with all its threads, and the command line.
import assert from 'node:assert/strict';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { agentWords, established, makeNodes, ourRoutes, startAgent, untilStatus } from '../support/agent-lab.ts';
import { eventually, execute } from '../support/netns.ts';

test('the bundle stands alone: agent, threads, admin API and command line', { timeout: 600_000 }, async () => {
  const dist = mkdtempSync(join(tmpdir(), 'flatroute-dist-'));
  try {
    const built = await execute([process.execPath, resolve('scripts/build.mjs'), dist]);
    assert.equal(built.code, 0, built.stderr);
    // Of the Kubernetes client only the reading of credentials: its models would take 20 MiB of every agent.
    for (const file of globSync(join(dist, '*.js')))
      assert.doesNotMatch(readFileSync(file, 'utf8'), /attributeTypeMap/);
    const program = [process.execPath, join(dist, 'main.js')];
    const { lab, nodes } = await makeNodes('bundle');
    try {
      const [node, other] = nodes;
      const agent = await node.host.spawn([...program, ...agentWords(node)], { log: 'agent.log' });
      await startAgent(other);
      await untilStatus(node, 'the session is established', established);
      // What the session carries comes a moment after it, and is missed until then.
      await eventually('a status without a problem', async () => {
        const status = await node.host.exec([...program, 'status']);
        return status.code === 0;
      });
      await eventually('the route of the other node', async () =>
        (await ourRoutes(node)).some((line) => line.startsWith('10.60.2.0/26 nhid')),
      );
      const installed = await node.host.exec([
        ...program,
        'cni',
        'install',
        '--bin-dir',
        '/run/bin',
        '--conf-dir',
        '/run/net.d',
        '--plugin',
        '/bin/true',
      ]);
      assert.equal(installed.code, 0, installed.stderr);
      const demo = await node.host.exec([...program, 'demo']);
      assert.equal(demo.code, 2);
      assert.match(demo.stderr, /npm run demo/);
      agent.kill('SIGTERM');
      assert.equal((await agent.exited).code, 0, await agent.log());
    } finally {
      await lab.dispose();
    }
    assert.match(readFileSync(join(dist, 'package.json'), 'utf8'), /"version"/);
  } finally {
    rmSync(dist, { recursive: true });
  }
});
