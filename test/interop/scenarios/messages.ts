/** Messages: how long they may be, and asking for all of them again. */
import assert from 'node:assert/strict';
import type { Rack } from './rack.ts';
import { expectPaths, judgeAddress, nodeAddress } from './rack.ts';
import type { Scenario } from './scenario.ts';

/** About 6000 octets of attributes: 250 of each kind, so that no line of a configuration is longer than 4096. */
const many = Array.from({ length: 250 }, (_, n) => [`65100:${n}`, `65100:7:${n}`, `rt:65100:${n}`])
  .flat()
  .sort();

/** The daemon asks for everything; nothing changes and nobody goes down. */
async function judgeAsks(rack: Rack): Promise<void> {
  await rack.expectPlainTables();
  const { flaps } = await rack.session();
  // FRR asks for nothing while it still answers the node's own request.
  await rack.refreshRequested(async () => await rack.judge.refresh(nodeAddress));
  await rack.expectPlainTables();
  assert.equal((await rack.session()).flaps, flaps);
}

async function nodeAsks(rack: Rack): Promise<void> {
  await rack.expectPlainTables();
  const { flaps, messagesReceived } = await rack.session();
  await rack.node.refresh(judgeAddress);
  await rack.sessionIs('new messages', (peer) => peer.messagesReceived >= messagesReceived + 2);
  await rack.expectPlainTables();
  assert.equal((await rack.session()).flaps, flaps);
}

export const messageScenarios: readonly Scenario[] = [
  {
    name: 'the node asks for all routes again',
    judges: ['RFC 2918'],
    quick: true,
    play: async (rack) => {
      await rack.setup();
      await nodeAsks(rack);
    },
  },
  {
    name: 'the daemon asks for all routes again',
    judges: ['RFC 2918'],
    except: { gobgp: 'it keeps what came and never asks' },
    quick: true,
    play: async (rack) => {
      await rack.setup();
      await judgeAsks(rack);
    },
  },
  {
    name: 'a refresh has a beginning and an end that both know',
    judges: ['RFC 7313'],
    play: async (rack) => {
      await rack.setup({ toNode: { enhancedRefresh: true } });
      await rack.sessionIs('the capability', ({ capabilities }) => capabilities.includes('enhanced-route-refresh'));
      await rack.judgeSays(/enhanced.?(route.?)?refresh/i);
      await nodeAsks(rack);
      await judgeAsks(rack);
    },
  },
  {
    name: 'an UPDATE of 6000 octets goes both ways and passes through',
    judges: ['RFC 8654'],
    play: async (rack) => {
      await rack.setup({
        judge: { attributes: { communities: many } },
        far: { attributes: { communities: many } },
        toNode: { extendedMessages: true },
        toFar: { extendedMessages: true },
      });
      await expectPaths(rack.node, '10.2.0.0/24', [{ path: '65002', communities: many }]);
      // BIRD shows no more than a screenful of them.
      await expectPaths(rack.far, '10.2.0.0/24', [{ path: '65001 65002' }]);
      await expectPaths(rack.judge, 'fd03::/64', [{ path: '65001 65003' }]);
    },
  },
];
