import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { IpAddress } from '#lib/ip.ts';
import { AppError } from '#lib/result.ts';
import { seconds } from '#lib/time.ts';
import { createDiscovery } from '#bgp/discovery/io/discovery.ts';
import type { Icmp6Datagram } from '#bgp/discovery/io/icmp6-port.ts';
import { advertisement } from '#bgp/discovery/messages.ts';
import { kernelView } from '../speaker/network.ts';
import { manualClock } from '../../../support/manual-clock.ts';

const { interfaces } = kernelView([['fe80::1/64', '192.0.2.1/24'], ['fe80::2/64']]);

function discovery() {
  const clock = manualClock();
  const state = { changes: 0, opens: 0, open: true, sendError: undefined as AppError | undefined };
  const calls: string[] = [];
  let received: ((datagram: Icmp6Datagram) => void) | undefined;
  const it = createDiscovery(
    { clock, random: () => 0.5, isEstablished: () => false, changed: () => void state.changes++ },
    (callback) => {
      state.opens++;
      if (!state.open) throw new AppError('OS_EPERM', 'socket raw ICMPv6 failed with EPERM (errno 1)');
      received = callback;
      return {
        join: (index) => void calls.push(`join ${index}`),
        leave: (index) => void calls.push(`leave ${index}`),
        send: (bytes, to, index) => {
          if (state.sendError !== undefined) throw state.sendError;
          calls.push(`${bytes[0]} to ${to} on ${index}`);
        },
        close: () => void calls.push('close'),
      };
    },
  );
  const hear = (source: string, name: string): void =>
    received?.({ bytes: advertisement, source: source as IpAddress, interface: name });
  return { clock, state, calls, it, hear };
}

test('a wanted link is joined, advertised on and asked; an unwanted one is left, and the last one takes the socket along', () => {
  const { clock, calls, it } = discovery();
  it.want(new Set(['eth0']), interfaces);
  it.want(new Set(['eth0']), interfaces);
  clock.advance(seconds(1));
  assert.deepEqual(calls.splice(0), ['join 1', '133 to routers on 1', '134 to nodes on 1']);
  it.want(new Set(['eth1']), interfaces);
  assert.deepEqual(calls.splice(0), ['leave 1', 'join 2', '133 to routers on 2']);
  it.want(new Set(), interfaces);
  assert.deepEqual(calls.splice(0), ['leave 2', 'close']);
  clock.advance(seconds(60));
  assert.deepEqual(calls, []);
  assert.deepEqual(clock.armed, []);
});

test('what is heard counts on its own link, and our own voice does not', () => {
  const { clock, it, hear } = discovery();
  it.want(new Set(['eth0', 'eth1']), interfaces);
  hear('fe80::1', 'eth0');
  hear('fe80::9', 'eth1');
  hear('fe80::9', 'eth7');
  clock.advance(seconds(1));
  assert.deepEqual([it.neighbour('eth0').state, it.neighbour('eth1').address], ['searching', 'fe80::9']);
});

test('without the right to a raw socket it says so and tries again', () => {
  const { clock, state, it, hear } = discovery();
  state.open = false;
  it.want(new Set(['eth0']), interfaces);
  it.want(new Set(['eth0']), interfaces);
  const { state: seen, problem } = it.neighbour('eth0');
  assert.equal(seen, 'noSocket');
  assert.match(problem ?? '', /neither be heard nor sent: .*EPERM/);
  assert.equal(state.opens, 1);
  clock.advance(seconds(4));
  state.open = true;
  clock.advance(seconds(1));
  hear('fe80::9', 'eth0');
  clock.advance(seconds(1));
  assert.deepEqual([state.opens, it.neighbour('eth0').state, it.neighbour('eth0').problem], [2, 'found', undefined]);
});

test('a link that takes nothing is said, and forgotten when it does', () => {
  const { clock, state, it } = discovery();
  state.sendError = new AppError('OS_ENOBUFS', 'sendto ff02::2 on interface 1 failed with ENOBUFS (errno 105)');
  it.want(new Set(['eth0']), interfaces);
  assert.match(it.neighbour('eth0').problem ?? '', /ENOBUFS/);
  assert.equal(state.changes, 0, 'nobody is called while asking');
  state.sendError = undefined;
  clock.advance(seconds(4));
  assert.equal(it.neighbour('eth0').problem, undefined);
  assert.equal(state.changes, 1);
});
