// flatroute's speaker beside real routers: each scenario is a topology and the tables that every program must end up with.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seconds } from '#lib/time.ts';
import { FlatrouteRouter } from '#lab/routers/flatroute.ts';
import { askByCommandLine } from '#lab/node-agent.ts';
import { found, notYet, waitFor } from '#lab/wait.ts';
import {
  asn,
  cannotRun,
  established,
  expectKernel,
  expectTable,
  left,
  linkAddress,
  pairs,
  prefixes,
  right,
  sessionDown,
  SHORT_HOLD_SECONDS,
  twoRouters,
  withPeer,
} from './two-routers.ts';
import type { TwoRouters } from './two-routers.ts';

/** Both sides know both families over the one IPv4 session. */
async function expectEverythingLearned(routers: TwoRouters): Promise<void> {
  await expectTable(routers.left, 'ipv4', { '10.1.0.0/24': ['local'], '10.2.0.0/24': [linkAddress(1, 2)] });
  await expectTable(routers.right, 'ipv4', { '10.1.0.0/24': [linkAddress(1, 1)], '10.2.0.0/24': ['local'] });
  await expectTable(routers.left, 'ipv6', { 'fd01::/64': ['local'], 'fd02::/64': [linkAddress(1, 2, 'ipv6')] });
  await expectTable(routers.right, 'ipv6', { 'fd01::/64': [linkAddress(1, 1, 'ipv6')], 'fd02::/64': ['local'] });
}

async function expectOnlyOwn(routers: TwoRouters): Promise<void> {
  await expectTable(routers.left, 'ipv4', { '10.1.0.0/24': ['local'] });
  await expectTable(routers.left, 'ipv6', { 'fd01::/64': ['local'] });
}

for (const kinds of pairs) {
  describe(`${kinds[0]} with ${kinds[1]}`, { skip: cannotRun(...kinds), concurrency: 2 }, () => {
    test('carries both families over one session, into table and kernel', async (t) => {
      // Beside the first daemon by what `flatroute peers -o json` and `flatroute routes -o json` print, a process for each look.
      const routers = await twoRouters(t, kinds, kinds === pairs[0] ? { asking: askByCommandLine } : {});
      await established(routers.left, routers.right);
      await expectEverythingLearned(routers);
      await expectKernel(routers.left, 'ipv4', { '10.2.0.0/24': [linkAddress(1, 2)] });
      if (kinds[0] !== 'flatroute') return;
      await expectKernel(routers.left, 'ipv6', { 'fd02::/64': [linkAddress(1, 2, 'ipv6')] });
    });

    test('a withdrawn route leaves table and kernel, a new one comes, the rest stays', async (t) => {
      const routers = await twoRouters(t, kinds);
      await established(routers.left, routers.right);
      await expectEverythingLearned(routers);
      const announce = prefixes('10.3.0.0/24', 'fd02::/64');
      await routers.right.reconfigure({ ...routers.right.description, announce });
      await expectTable(routers.left, 'ipv4', { '10.1.0.0/24': ['local'], '10.3.0.0/24': [linkAddress(1, 2)] });
      await expectTable(routers.left, 'ipv6', { 'fd01::/64': ['local'], 'fd02::/64': [linkAddress(1, 2, 'ipv6')] });
      await expectKernel(routers.left, 'ipv4', { '10.3.0.0/24': [linkAddress(1, 2)] });
      await routers.left.reconfigure({ ...routers.left.description, announce: prefixes('fd01::/64') });
      await expectTable(routers.right, 'ipv4', { '10.3.0.0/24': ['local'] });
      await expectTable(routers.right, 'ipv6', { 'fd01::/64': [linkAddress(1, 1, 'ipv6')], 'fd02::/64': ['local'] });
    });

    for (const side of ['left', 'right'] as const) {
      test(`a reset by ${side} ends the session, and it comes back with all routes`, async (t) => {
        const routers = await twoRouters(t, kinds);
        await established(routers.left, routers.right);
        await expectEverythingLearned(routers);
        await routers[side].resetSession(linkAddress(1, side === 'left' ? 2 : 1));
        await established(routers.left, routers.right);
        await expectEverythingLearned(routers);
      });
    }

    test('the same MD5 password on both ends opens the session', async (t) => {
      const routers = await twoRouters(t, kinds, { left: { password: 'same' }, right: { password: 'same' } });
      await established(routers.left, routers.right);
      await expectEverythingLearned(routers);
    });

    test('a wrong MD5 password keeps the session down until both ends are given a new one', async (t) => {
      const routers = await twoRouters(t, kinds, { left: { password: 'one' }, right: { password: 'other' } });
      await neverEstablished(routers, 3);
      await routers.left.reconfigure(withPeer(routers.left, { password: 'rotated' }));
      await routers.right.reconfigure(withPeer(routers.right, { password: 'rotated' }));
      await established(routers.left, routers.right);
      await expectEverythingLearned(routers);
    });

    test('a password on one end only keeps the session down', async (t) => {
      const routers = await twoRouters(t, kinds, { left: { password: 'one' } });
      await neverEstablished(routers, 3);
    });

    test('a peer with another AS than configured is refused', async (t) => {
      const routers = await twoRouters(t, kinds, { left: { asn: asn(65009) } });
      const { left: refused } = routers;
      if (refused instanceof FlatrouteRouter)
        await waitFor(
          'the other AS to be told',
          async () => {
            const [peer] = await refused.agent.questions.peers();
            const { code, text = '' } = peer?.lastError ?? {};
            const isTold = code === 'SESSION_BAD_PEER_AS' && text.includes(`${right.asn}`);
            return isTold ? found(undefined) : notYet(JSON.stringify(peer));
          },
          { deadline: seconds(60) },
        );
      await neverEstablished(routers, 3);
      await routers.left.reconfigure(withPeer(routers.left, { asn: right.asn }));
      await established(routers.left, routers.right);
      await expectEverythingLearned(routers);
    });

    test('only what the peer may announce is accepted', async (t) => {
      const routers = await twoRouters(t, kinds, {
        left: { accept: prefixes('10.2.0.0/16', 'fd02::/32') },
        right: { accept: prefixes('fd01::/64') },
      });
      await established(routers.left, routers.right);
      const announce = prefixes('10.2.0.0/24', '10.2.128.0/17', '10.9.0.0/24', 'fd02::/64', 'fd09::/64');
      await routers.right.reconfigure({ ...routers.right.description, announce });
      await expectTable(routers.left, 'ipv4', {
        '10.1.0.0/24': ['local'],
        '10.2.0.0/24': [linkAddress(1, 2)],
        '10.2.128.0/17': [linkAddress(1, 2)],
      });
      await expectTable(routers.left, 'ipv6', { 'fd01::/64': ['local'], 'fd02::/64': [linkAddress(1, 2, 'ipv6')] });
      await expectTable(routers.right, 'ipv6', {
        'fd01::/64': [linkAddress(1, 1, 'ipv6')],
        'fd02::/64': ['local'],
        'fd09::/64': ['local'],
      });
    });

    test('more prefixes than the limit end the session', async (t) => {
      const routers = await twoRouters(t, kinds, { left: { maxPrefixes: 4 } });
      await established(routers.left, routers.right);
      await expectEverythingLearned(routers);
      const announce = prefixes('10.2.0.0/24', '10.3.0.0/24', '10.4.0.0/24', '10.5.0.0/24', '10.6.0.0/24');
      await routers.right.reconfigure({ ...routers.right.description, announce });
      await sessionDown(routers.left);
      await expectOnlyOwn(routers);
      const { left: limited } = routers;
      if (!(limited instanceof FlatrouteRouter)) return;
      await waitFor(
        'the limit to be named',
        async () => {
          const [peer] = await limited.agent.questions.peers();
          const isNamed = peer?.lastError?.code === 'SESSION_MAXIMUM_PREFIXES';
          return isNamed ? found(undefined) : notYet(JSON.stringify(peer));
        },
        { deadline: seconds(60) },
      );
    });

    test('a daemon that is frozen loses its session by the hold timer, and is taken back', async (t) => {
      const routers = await twoRouters(t, kinds, { holdTimeSeconds: SHORT_HOLD_SECONDS });
      await established(routers.left, routers.right);
      await expectEverythingLearned(routers);
      await routers.right.signal('SIGSTOP');
      const state = await sessionDown(routers.left);
      // By its word, not by the time that it took: on a busy machine the last KEEPALIVE may have come long before. BIRD has none
      // where it keeps the routes.
      if (kinds[0] === 'flatroute') assert.match(state, /SESSION_HOLD_TIMER_EXPIRED/);
      // BIRD keeps the routes of a peer that offered graceful restart even when the hold timer has expired.
      if (kinds[0] !== 'bird') await expectOnlyOwn(routers);
      await routers.right.signal('SIGCONT');
      await established(routers.left, routers.right);
      await expectEverythingLearned(routers);
    });
  });
}

/** Looks for so long and fails when either end gets there; both must have tried. */
async function neverEstablished(routers: TwoRouters, forSeconds: number): Promise<void> {
  const until = performance.now() + seconds(forSeconds);
  await waitFor(
    'the time to be over without a session',
    async () => {
      for (const router of [routers.left, routers.right]) {
        const rows = await router.sessions();
        assert.equal(rows.length, 1);
        if (rows.some((row) => row.established)) return found(`${router.host.name} is established`);
      }
      return performance.now() >= until ? found('') : notYet('still looking');
    },
    { deadline: seconds(forSeconds + 60), every: seconds(0.2) },
  ).then((broken) => assert.equal(broken, ''));
  assert.notDeepEqual(routers.left.description.peers, []);
  await expectTable(routers.left, 'ipv4', { [left.announce[0] ?? '']: ['local'] });
}
