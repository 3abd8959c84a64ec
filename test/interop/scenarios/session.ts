/** Sessions: who connects, how long they live, how they are ended. */
import assert from 'node:assert/strict';
import { expectKernel, expectTable, linkAddress, prefixes, right, sessionDown } from '../two-routers.ts';
import { judgeAddress, nodeAddress } from './rack.ts';
import type { Scenario } from './scenario.ts';

export const sessionScenarios: readonly Scenario[] = [
  {
    name: 'both families over one session, into tables and kernel; one prefix goes, one comes, the rest stays',
    judges: ['RFC 4271', 'RFC 4760', 'RFC 2545', 'RFC 5492'],
    quick: true,
    play: async (rack) => {
      await rack.setup();
      await rack.expectPlainTables();
      await expectKernel(rack.node, 'ipv6', {
        'fd02::/64': [linkAddress(1, 2, 'ipv6')],
        'fd03::/64': [linkAddress(2, 2, 'ipv6')],
      });
      await rack.setup({ judge: { announce: prefixes('10.4.0.0/24', 'fd02::/64') } });
      await expectTable(rack.node, 'ipv4', {
        '10.1.0.0/24': ['local'],
        '10.3.0.0/24': [linkAddress(2, 2)],
        '10.4.0.0/24': [judgeAddress],
      });
      await expectKernel(rack.node, 'ipv4', { '10.3.0.0/24': [linkAddress(2, 2)], '10.4.0.0/24': [judgeAddress] });
      await rack.setup({ node: { announce: prefixes('fd01::/64') } });
      await expectTable(rack.judge, 'ipv4', { '10.2.0.0/24': ['local'], '10.3.0.0/24': [nodeAddress] });
      await expectTable(rack.judge, 'ipv6', {
        'fd01::/64': [linkAddress(1, 1, 'ipv6')],
        'fd02::/64': ['local'],
        'fd03::/64': [linkAddress(1, 1, 'ipv6')],
      });
    },
  },
  {
    name: 'the node connects, the daemon connects, or both at once',
    judges: ['RFC 4271'],
    play: async (rack) => {
      await rack.setup({ toNode: { passive: true } });
      await rack.setup({ toJudge: { passive: true } });
      await rack.setup();
      await rack.expectPlainTables();
      const { holdTimeSeconds } = await rack.session();
      assert.equal(holdTimeSeconds, 9);
    },
  },
  {
    name: 'a frozen daemon loses its session by the hold timer and is taken back with all routes',
    judges: ['RFC 4271'],
    play: async (rack) => {
      await rack.setup({ holdTime: 3 });
      await rack.expectPlainTables();
      await rack.judge.signal('SIGSTOP');
      await sessionDown(rack.node);
      await rack.endedBy(({ code }) => code === 'SESSION_HOLD_TIMER_EXPIRED', /hold timer expired/);
      await rack.judge.signal('SIGCONT');
      await rack.up();
      await rack.expectPlainTables();
    },
  },
  {
    name: 'without a hold time nobody watches the other, and the session is up all the same',
    judges: ['RFC 4271'],
    except: { gobgp: 'its writes have the hold time as their deadline, so its first one ends the session' },
    exceptEngine: {
      gobgp: {
        why: 'it offers 90 s, and the condition of the peer names the field holdTime',
        says: { field: 'holdTime', setup: { node: { holdTimeSeconds: 0 } } },
      },
    },
    play: async (rack) => {
      // What the daemon offers is more than 0; the smaller one counts.
      await rack.setup({ node: { holdTimeSeconds: 0 }, judge: { holdTimeSeconds: 8 } });
      await rack.expectPlainTables();
      assert.equal((await rack.session()).holdTimeSeconds, 0);
    },
  },
  {
    name: 'an OPEN in the long form is read, by a node whose own one is short',
    judges: ['RFC 9072'],
    exceptEngine: { gobgp: { why: 'nothing shows what it has read before there is a session' } },
    play: async (rack) => {
      // FRR that sends the long form takes no other, so there is no session.
      await rack.setup({ toNode: { extendedParameters: true }, up: false });
      await rack.judgeSays(/"extendedOptionalParametersLength":true/);
      const offered = (await rack.nextOpen()).map(({ kind }) => kind);
      assert.deepEqual(offered.filter((kind) => kind === 'multiprotocol').length, 2, offered.join());
    },
  },
  {
    name: 'a shutdown says why, to the node and to the daemon',
    judges: ['RFC 9003', 'RFC 4486'],
    play: async (rack) => {
      await rack.setup();
      await rack.judge.shutDown(nodeAddress, 'maintenance until noon');
      await rack.endedBy(
        ({ text }) => /Administrative (Shutdown|Reset): "maintenance until noon"/.test(text),
        /maintenance until noon/,
      );
      await rack.restartJudge();
      await expectTable(rack.judge, 'ipv6', {
        [right.announce[1] ?? '']: ['local'],
        'fd01::/64': [linkAddress(1, 1, 'ipv6')],
        'fd03::/64': [linkAddress(1, 1, 'ipv6')],
      });
      await rack.node.shutDown(judgeAddress, 'the rack moves');
      await rack.judgeSays(/the rack moves/);
      await rack.node.bringUp(judgeAddress);
      await rack.up();
    },
  },
];
