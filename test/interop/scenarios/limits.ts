/** Limits and locks: prefixes, passwords, time-to-live. */
import { expectTable, linkAddress, prefixes } from '../two-routers.ts';
import { expectPaths } from './rack.ts';
import type { Scenario } from './scenario.ts';

export const limitScenarios: readonly Scenario[] = [
  {
    name: 'too many prefixes of the daemon end the session',
    judges: ['RFC 4486'],
    play: async (rack) => {
      await rack.setup({ toJudge: { maxPrefixes: 4 } });
      await rack.setup({
        toJudge: { maxPrefixes: 4 },
        judge: { announce: prefixes('10.2.0.0/24', '10.4.0.0/24', '10.5.0.0/24', '10.6.0.0/24', '10.7.0.0/24') },
        up: false,
      });
      await rack.sessionIs('the limit', ({ lastError }) => lastError?.code === 'SESSION_MAXIMUM_PREFIXES');
    },
  },
  {
    name: 'too many prefixes for the daemon end the session, and flatroute shows why',
    judges: ['RFC 4486'],
    except: { bird: 'it resets the connection right behind its Cease, which is then not always heard' },
    play: async (rack) => {
      // FRR notices one prefix late.
      const announce = prefixes('10.1.0.0/24', '10.11.0.0/24', '10.12.0.0/24', '10.13.0.0/24');
      await rack.setup({ toNode: { maxPrefixes: 1 }, node: { announce }, up: false });
      await rack.speakerLogs(
        /NOTIFICATION 6\/1: Cease \/ Maximum Number of Prefixes Reached|received notification.*Code=6.*Subcode=1/,
      );
    },
  },
  {
    name: 'the same MD5 password on both ends opens the session, over IPv4 and with both families in it',
    judges: ['RFC 2385'],
    play: async (rack) => {
      await rack.setup({ both: { password: 'same' } });
      await rack.expectPlainTables();
    },
  },
  {
    name: 'another MD5 password keeps the session down, and is told from a daemon that does not answer',
    judges: ['RFC 2385'],
    play: async (rack) => {
      await rack.setup({ toJudge: { password: 'one' }, toNode: { password: 'other' }, up: false });
      await rack.endedBy(({ code }) => code === 'SESSION_PASSWORD_MISMATCH', 'TCPMD5Failure');
    },
  },
  {
    name: 'a neighbour that may be a router further away is heard',
    judges: ['RFC 5082'],
    play: async (rack) => {
      await rack.setup({ both: { ttlSecurity: 2, families: ['ipv4'] } });
      await expectPaths(rack.judge, '10.1.0.0/24', [{ path: '65001' }]);
    },
  },
  {
    name: 'a neighbour that is no hop away is heard with a TTL of 255',
    judges: ['RFC 5082'],
    play: async (rack) => {
      await rack.setup({ both: { ttlSecurity: 1, families: ['ipv4'] } });
      await expectTable(rack.judge, 'ipv4', {
        '10.1.0.0/24': [linkAddress(1, 1)],
        '10.2.0.0/24': ['local'],
        '10.3.0.0/24': [linkAddress(1, 1)],
      });
    },
  },
  {
    name: 'a neighbour whose packets have a lower TTL than 255 is not heard where that is asked for',
    judges: ['RFC 5082'],
    except: { gobgp: 'the first packets of its connections have a TTL of 255, whatever is configured' },
    play: async (rack) => {
      await rack.setup({ both: { families: ['ipv4'] }, toJudge: { ttlSecurity: 1 }, up: false });
      await rack.endedBy(({ code }) => code === 'SESSION_TTL_TOO_LOW', 'TCPMinTTLDrop');
      await expectTable(rack.node, 'ipv4', { '10.1.0.0/24': ['local'], '10.3.0.0/24': [linkAddress(2, 2)] });
    },
  },
];
