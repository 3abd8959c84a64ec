// The driver of GoBGP against the real gobgpd, with BIRD as the router.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { BgpIntent, FilterIntent, PeerIntent, RouteQuery } from '#bgp/engine.ts';
import { type Prefix, prefixLength } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import { Driver, GobgpLab, inGobgp } from '../../support/gobgp.ts';
import { eventually } from '../../support/netns.ts';
import { asn, intent, ip, kernelView, peerIntent, prefix } from '../../unit/bgp/speaker/network.ts';

const view = kernelView([['192.0.2.1/24', '2001:db8::1/64']]);
const bird = `
protocol static s4 { ipv4; route 198.51.100.0/24 blackhole; route 198.51.101.0/24 blackhole; route 10.60.1.0/28 blackhole; }
protocol static s6 { ipv6; route 2001:db8:100::/48 blackhole; }
protocol bgp node {
  local 192.0.2.2 as 65002;
  neighbor 192.0.2.1 as 65001;
  error wait time 1,2;
  connect delay time 1;
  password "correct horse";
  graceful restart on;
  ipv4 { import all; export where source = RTS_STATIC; };
  ipv6 { import all; export where source = RTS_STATIC; };
}
`;

const wanted = (lab: GobgpLab, peer: Partial<PeerIntent> = {}, overrides: Partial<BgpIntent> = {}): BgpIntent =>
  inGobgp(
    lab,
    intent({
      asn: asn(65001),
      peers: [
        peerIntent({
          name: 'bird',
          address: ip('192.0.2.2'),
          peerAsn: asn(65002),
          // A machine that stands still for a while ends no session here.
          holdTime: seconds(90),
          connectRetryTime: seconds(1),
          password: 'correct horse',
          sourceAddress: ip('192.0.2.1'),
          ...peer,
        }),
      ],
      announcements: [
        { prefix: prefix('10.60.1.0/26'), source: 'block' },
        { prefix: prefix('fd00:60:1::/64'), source: 'block' },
      ],
      ownPrefixes: [prefix('10.60.1.0/26')],
      ...overrides,
    }),
  );

const refusing = (cidr: Prefix): FilterIntent => {
  const match = { operator: 'Equal', cidr, minLength: prefixLength(cidr), maxLength: prefixLength(cidr) } as const;
  return {
    name: 'refusing',
    import: { ipv4: [], ipv6: [] },
    export: { ipv4: [{ action: 'Reject', match }], ipv6: [] },
    default: undefined,
  };
};

/** A BIRD, a driver that wants a session with it, and then gobgpd. */
async function begin(router: string, driver: Driver): Promise<{ readonly lab: GobgpLab; readonly driver: Driver }> {
  const lab = await GobgpLab.create();
  await lab.startBird(router);
  driver.engine.setKernelView(view);
  driver.engine.apply(wanted(lab), 1);
  lab.startGobgp();
  return { lab, driver };
}

describe('GoBGP as the engine, begun on a node that restarts', { timeout: 600_000 }, () => {
  let lab: GobgpLab;
  let driver: Driver;
  before(async () => {
    ({ lab, driver } = await begin(
      bird.replace('graceful restart on', 'graceful restart off'),
      new Driver({ restarted: true }),
    ));
  });
  after(async () => {
    await driver.engine.stop('silent');
    await lab.dispose();
  });
  const atBird = async (): Promise<boolean> => (await lab.learned('node')).join() === '10.60.1.0/26,fd00:60:1::/64';

  test('a router without graceful restart is sent our routes, and again when its peer changes', async () => {
    await eventually('the session', () => driver.isUp('bird'));
    await eventually('the routes at the router', atBird);
    // A peer that changes is added anew, and has not restarted.
    driver.engine.apply(wanted(lab, { holdTime: seconds(120) }), 2);
    await eventually(
      'the change',
      () => driver.facts?.generation === 2 && driver.peer('bird')?.holdTimeSeconds === 120,
    );
    await eventually('the routes at the router', atBird);
  });
});

describe('GoBGP as the engine', { timeout: 600_000 }, () => {
  let lab: GobgpLab;
  let driver: Driver;

  before(async () => {
    ({ lab, driver } = await begin(bird, new Driver()));
  });
  after(async () => {
    await driver.engine.stop('silent');
    await lab.dispose();
  });

  test('a session comes up, though gobgpd starts after the driver', async () => {
    await eventually('the session', () => driver.isUp('bird'));
    assert.deepEqual(driver.peer('bird')?.families, ['ipv4', 'ipv6']);
    assert.equal(driver.peer('bird')?.holdTimeSeconds, 90);
  });

  test('what the node announces is at the router, and the facts say so', async () => {
    await eventually('both blocks at BIRD', async () => (await lab.learned('node')).length === 2);
    assert.match(await lab.birdc('show', 'route', 'fd00:60:1::/64', 'all'), /next_hop: 2001:db8::1/);
    await eventually('the facts', () => {
      const { announced } = driver.peer('bird') ?? {};
      return announced?.ipv4 === 1 && announced.ipv6 === 1;
    });
    await eventually('who has them', () => driver.facts?.announced.every(({ peers }) => peers.includes('bird')));
  });

  test('what is learned goes to the kernel, with the router as its gateway', async () => {
    await eventually('a route', () => driver.kernel.has('198.51.100.0/24') && driver.kernel.has('2001:db8:100::/48'));
    assert.deepEqual(driver.kernel.get('198.51.100.0/24'), ['192.0.2.2']);
    assert.deepEqual(driver.kernel.get('2001:db8:100::/48'), ['2001:db8::2']);
    await eventually('the end of the beginning', () => driver.complete);
  });

  test('what lies in a block of the node stays out of the kernel', () => {
    assert.equal(driver.kernel.has('10.60.1.0/28'), false);
  });

  test('routes() answers from the tables of GoBGP', async () => {
    const ask = async (direction: RouteQuery['direction']): Promise<string[]> =>
      (await driver.engine.routes({ direction, family: 'ipv4', limit: 10 })).rows.map(
        ({ prefix: it, peer, accepted, nextHop }) => `${it} ${peer} ${accepted} ${nextHop}`,
      );
    assert.deepEqual(await ask('received'), [
      '10.60.1.0/28 bird false 192.0.2.2',
      '198.51.100.0/24 bird true 192.0.2.2',
      '198.51.101.0/24 bird true 192.0.2.2',
    ]);
    assert.deepEqual(await ask('accepted'), [
      '198.51.100.0/24 bird true 192.0.2.2',
      '198.51.101.0/24 bird true 192.0.2.2',
    ]);
    assert.deepEqual(await ask('announced'), ['10.60.1.0/26 bird true 192.0.2.1']);
    const covering = await driver.engine.routes({ direction: 'best', prefix: ip('198.51.100.7'), limit: 10 });
    assert.deepEqual(
      covering.rows.map((row) => [row.prefix, row.asPath, row.best]),
      [['198.51.100.0/24', '65002', true]],
    );
  });

  test('another import policy is in force without a new session', async () => {
    const since = driver.peer('bird')?.since;
    driver.engine.apply(wanted(lab, { importPolicy: 'None' }), 2);
    await eventually('an empty kernel', () => driver.kernel.size === 0);
    driver.engine.apply(wanted(lab), 3);
    await eventually('the routes again', () => driver.kernel.size === 3);
    assert.equal(driver.peer('bird')?.since, since);
  });

  test('what a filter or a drain refuses is withdrawn in the same session, and announced again afterwards', async () => {
    const since = driver.peer('bird')?.since;
    let generation = 10;
    const atBird = (peer: Partial<PeerIntent>, count: number, text: RegExp): Promise<unknown> => {
      driver.engine.apply(wanted(lab, peer), ++generation);
      return eventually(`${count} networks at BIRD with ${text}`, async () => {
        const found = await lab.birdc('show', 'route', 'protocol', 'node', 'all');
        return (await lab.learned('node')).length === count && (count === 0 || text.test(found));
      });
    };
    await atBird({ filters: [refusing(prefix('10.60.1.0/26'))] }, 1, /fd00:60:1::/);
    await atBird({}, 2, /10\.60\.1\.0/);
    await atBird({ drain: 'withdraw' }, 0, /./);
    await atBird({ drain: 'deprefer' }, 2, /\(65535,0\)/);
    await atBird({}, 2, /^(?!.*\(65535,0\))(?!.*1718383220)/s);
    assert.equal(driver.peer('bird')?.since, since);
    const policies = async (): Promise<number> => [...(await lab.gobgp('policy')).matchAll(/^Name /gm)].length;
    // One of all peers, and of each peer one for each direction.
    await eventually('no policy but those in force', async () => (await policies()) === 3);
    assert.deepEqual(
      driver.events.filter(({ event }) => event === 'gobgp.refused'),
      [],
    );
  });

  test('what GoBGP does not withdraw by itself is withdrawn by a new session', async () => {
    const since = driver.peer('bird')?.since ?? 0;
    await lab.gobgp('global', 'rib', 'add', '203.0.113.0/24');
    await eventually('three networks at BIRD', async () => (await lab.learned('node')).length === 3);
    driver.engine.apply(wanted(lab, { filters: [refusing(prefix('203.0.113.0/24'))] }), 20);
    await eventually('the new session', () => driver.isUp('bird') && (driver.peer('bird')?.since ?? 0) > since);
    await eventually('both blocks alone', async () => {
      const learned = await lab.learned('node');
      return learned.length === 2 && !learned.includes('203.0.113.0/24');
    });
    await lab.gobgp('global', 'rib', 'del', '203.0.113.0/24');
  });

  test('another choice of best paths is applied, with new sessions, and one made while the agent is away too', async () => {
    await eventually('a session', () => driver.isUp('bird'));
    const starts = (): number => driver.events.filter(({ event }) => event === 'gobgp.started').length;
    const choice = (preferOlder: boolean): Partial<BgpIntent> => ({
      bestPath: { alwaysCompareMed: false, missingMedAsWorst: false, preferOlder },
    });
    const begun = starts();
    driver.engine.apply(wanted(lab, {}, choice(true)), 30);
    if (driver.facts?.engine?.version === 4) {
      await eventually('the problem', () => driver.facts?.engine?.problem?.includes('Start gobgpd anew'));
      assert.equal(driver.isUp('bird'), true);
      return;
    }
    await eventually('one new start', () => starts() === begun + 1);
    await eventually('the session', () => driver.isUp('bird') && driver.facts?.generation === 30);
    await driver.engine.stop('silent');
    driver = new Driver({ restarted: true });
    driver.engine.setKernelView(view);
    driver.engine.apply(wanted(lab, {}, choice(false)), 31);
    await eventually('the session', () => driver.isUp('bird') && driver.facts?.generation === 31);
    assert.equal(starts(), 1);
  });

  test('another choice of best paths waits where somebody else has peers, and it is said', async () => {
    await lab.gobgp('neighbor', 'add', '192.0.2.99', 'as', '65099');
    const { since } = driver.peer('bird') ?? {};
    driver.engine.apply(wanted(lab, {}, { multipath: { maximumPaths: 1, relax: true } }), 40);
    await eventually('the problem', () => driver.facts?.engine?.problem?.includes('somebody else'));
    await eventually('the rest of it', () => driver.facts?.generation === 40);
    assert.equal(driver.peer('bird')?.since, since);
  });
});
