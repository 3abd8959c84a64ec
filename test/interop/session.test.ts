// The session machine beside real routers: who connects, whose key, what each does when the other falls silent.
import assert from 'node:assert/strict';
import { type TestContext, describe, test } from 'node:test';
import { Lab } from '#lab/lab.ts';
import { makeRouter } from '#lab/routers/make.ts';
import type { LabRouter, RouterKind, RouterPeer } from '#lab/routers/router.ts';
import { type HostSession, startSession } from '../support/session-host.ts';
import type { SessionProcessOptions } from '../support/session-process.ts';
import {
  addRouterHost,
  cannotRun,
  established,
  left,
  linkAddress,
  linkHosts,
  peerOf,
  right,
  sessionDown,
} from './two-routers.ts';

interface Pair {
  readonly session: HostSession;
  readonly router: LabRouter;
}

async function pair(
  t: TestContext,
  kind: RouterKind,
  ours: Partial<SessionProcessOptions>,
  theirs: Partial<RouterPeer> = {},
): Promise<Pair> {
  const lab = await Lab.create('interop-session');
  t.after(async () => await lab.dispose());
  const [a, b] = await Promise.all([addRouterHost(lab, 'left', left), addRouterHost(lab, 'right', right)]);
  await linkHosts(lab, 1, a, b);
  const router = makeRouter(kind, b, {
    ...right,
    peers: [peerOf(1, 1, 'left', left.asn, theirs)],
    holdTimeSeconds: 9,
    multipath: false,
  });
  await router.start();
  const session = await startSession(a, {
    routerId: left.routerId,
    localAsn: left.asn,
    peerAsn: right.asn,
    address: linkAddress(1, 2),
    source: linkAddress(1, 1),
    listenPort: 179,
    holdTimeSeconds: 3,
    ...ours,
  });
  return { session, router };
}

const up = (session: HostSession) => session.reports('Established', ({ state }) => state === 'Established');

for (const kind of ['bird', 'frr'] as const) {
  describe(`a session with ${kind}`, { skip: cannotRun(kind), concurrency: false }, () => {
    for (const [name, password] of [
      ['', undefined],
      [' with MD5', 'a key of both'],
    ] as const) {
      const key = password === undefined ? {} : { password: password.replaceAll(' ', '-') };
      test(`we connect${name}`, async (t) => {
        const { session, router } = await pair(t, kind, key, { ...key, passive: true });
        await Promise.all([up(session), established(router)]);
      });

      test(`it connects${name}`, async (t) => {
        const { session, router } = await pair(t, kind, { ...key, passive: true }, key);
        await Promise.all([up(session), established(router)]);
      });

      test(`both connect${name}, and the session stays`, async (t) => {
        const { session, router } = await pair(t, kind, key, key);
        await Promise.all([up(session), established(router)]);
        const { received } = await up(session);
        // End-of-RIB of both families and route refresh are at most four messages; the rest are KEEPALIVEs, one a second.
        const report = await session.reports('KEEPALIVEs', (latest) => latest.received >= received + 7);
        assert.equal(report.state, 'Established');
      });
    }

    test('a router that is frozen is given up when the hold time is over', async (t) => {
      const { session, router } = await pair(t, kind, {});
      await up(session);
      const before = (await session.latest())?.downs.length ?? 0;
      await router.signal('SIGSTOP');
      const report = await session.reports('down', ({ downs }) => downs.length > before);
      await router.signal('SIGCONT');
      assert.equal(report.downs.at(-1), 'SESSION_HOLD_TIMER_EXPIRED');
      await session.reports('up again', ({ ups }) => ups > report.ups);
    });

    test('it gives us up when we are frozen, and takes us back', async (t) => {
      const { session, router } = await pair(t, kind, {});
      await Promise.all([up(session), established(router)]);
      const { ups } = await up(session);
      session.process.kill('SIGSTOP');
      await sessionDown(router);
      session.process.kill('SIGCONT');
      await session.reports('up again', (report) => report.ups > ups);
      await established(router);
    });

    test('a wrong key opens nothing', async (t) => {
      const { session } = await pair(t, kind, { password: 'ours' }, { password: 'theirs' });
      const report = await session.reports('a mismatch', ({ codes }) => codes.includes('SESSION_PASSWORD_MISMATCH'));
      assert.equal(report.ups, 0);
    });
  });
}
