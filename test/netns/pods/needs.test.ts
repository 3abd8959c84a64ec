// What pods need of their node, tried by real agents, real packets and forged ones, in one lab.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Pod } from '#lab/pod.ts';
import { routerAdvertisement } from '../../support/frames.ts';
import { PodLab } from '../../support/pod-lab.ts';
import { paths } from './paths.ts';
import { serviceAddresses } from './services.ts';
import { settings } from './settings.ts';
import { spoofing } from './spoofing.ts';
import { untilSaid, type World } from './world.ts';

describe('a pod on its node', { timeout: 300_000 }, () => {
  let lab: PodLab | undefined;
  let world: World | undefined;
  const get = (): World => world ?? assert.fail('no lab');

  /** A router on the link ra0 says that it is there. */
  const advertise = (from: string): Promise<void> =>
    lab?.send(lab.tor, 'node-1-ra0', [
      routerAdvertisement({ fromMac: '02:00:00:00:00:77', toMac: '33:33:00:00:00:01', from, to: 'ff02::1' }),
    ]) ?? Promise.resolve();
  const learned = async (): Promise<string> =>
    (await lab?.nodes[0].run(['ip', '-6', 'route', 'show', 'default', 'proto', 'ra'])) ?? '';

  before(async () => {
    lab = await PodLab.create();
    const [one] = lab.nodes;
    await one.run(['sysctl', '-qw', 'net.ipv6.conf.ra0.accept_ra=1']);
    await advertise('fe80::77');
    await untilSaid('the default by advertisement', learned, /via fe80::77 /);
    await Promise.all(lab.agents.map((agent) => agent.start()));
    const [a, b, c, e] = await Promise.all([
      Pod.attach(lab.runner(0), 'a'),
      Pod.attach(lab.runner(0), 'b'),
      Pod.attach(lab.runner(1), 'c'),
      Pod.attach(lab.egressRunner(), 'e'),
    ]);
    world = { lab, a, b, c, e };
  });
  after(async () => {
    await lab?.[Symbol.asyncDispose]();
  });

  test('an IPv6 default that came by router advertisement stays when forwarding goes on, and advertisements are still heard', async () => {
    const [one] = get().lab.nodes;
    assert.equal(
      await one.run(['sysctl', '-n', 'net.ipv6.conf.all.forwarding', 'net.ipv6.conf.ra0.accept_ra']),
      '1\n2\n',
    );
    assert.match(await learned(), /via fe80::77 /);
    await advertise('fe80::78');
    await untilSaid('the second router', learned, /via fe80::78 |fe80::78/);
  });

  paths(get);
  serviceAddresses(get);
  spoofing(get);
  settings(get);
});
