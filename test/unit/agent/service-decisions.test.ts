// What became of an address, since when, and what it was before: the memory behind `flatroute services`.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ServiceDecisions } from '#agent/service-decisions.ts';
import { showServices } from '#cli/show/services.ts';
import { compile } from '#intent/compile.ts';
import type { Compiled, Facts } from '#intent/node-intent.ts';
import type { Prefix } from '#lib/ip.ts';
import { seconds } from '#lib/time.ts';
import type { ServiceView } from '#resources/service-view.ts';
import { serviceAnswers } from '#status/services.ts';
import { manualClock } from '../../support/manual-clock.ts';
import { nodeYaml, own, resources } from '../../support/resources.ts';
import { snapshot } from '../../support/snapshot.ts';

const set = resources(
  nodeYaml('node-1', '192.0.2.11', '10.60.1.0/26'),
  own(
    'BGPConfiguration',
    'default',
    'serviceLoadBalancerIPs: [{cidr: 198.51.100.0/24}], serviceLoadBalancerAggregation: Disabled',
  ),
);

const web = (n: number, here: number): ServiceView => ({
  service: `shop/web-${n}`,
  addresses: [
    {
      prefix: `198.51.100.${n}/32` as Prefix,
      use: 'LoadBalancer',
      range: '198.51.100.0/24' as Prefix,
      policy: 'Local',
    },
  ],
  endpoints: { ipv4: here > 0 ? 'here' : 'elsewhere', ipv6: 'none' },
});
const compiled = (...views: readonly ServiceView[]): Compiled => compile(set, 'node-1', { services: views });

function world() {
  const clock = manualClock();
  const lines: string[] = [];
  let again = 0;
  const decisions = new ServiceDecisions({
    clock,
    log: (event, { prefix = '', reason = '', count = '' }) =>
      void lines.push(`${event} ${String(prefix)}${String(count)} ${String(reason)}`.trim()),
    again: () => (again += 1),
  });
  return { clock, lines, decisions, again: () => again };
}

const healthy: Facts = { proxy: { healthy: true, problem: undefined } };
const dead: Facts = { proxy: { healthy: false, problem: 'nobody answers' } };

describe('decisions about Services', () => {
  test('each change is a line of the log, and what waits is decided again when its time has come', () => {
    const { clock, lines, decisions, again } = world();
    const [with1, without] = [compiled(web(7, 1)), compiled(web(7, 0))];
    assert.equal(decisions.decide(with1, healthy).size, 0);
    decisions.decide(without, healthy);
    clock.advance(seconds(1));
    assert.deepEqual([...decisions.decide(with1, healthy).keys()], ['198.51.100.7/32']);
    clock.advance(seconds(5));
    assert.equal(again(), 1);
    assert.equal(decisions.decide(with1, healthy).size, 0);
    decisions.decide(with1, dead);
    decisions.decide(compiled(), dead);
    assert.deepEqual(lines, [
      'service.announced 198.51.100.7/32',
      'service.withdrawn 198.51.100.7/32 NoEndpointsHere',
      'service.announced 198.51.100.7/32',
      'service.withdrawn 198.51.100.7/32 ProxyNotHealthy',
    ]);
    assert.equal(decisions.withdrawals, 2);
    decisions.stop();
  });
  test('a Service that is deleted is withdrawn; of very many changes some are lines', () => {
    const { lines, decisions } = world();
    const many = Array.from({ length: 30 }, (_, i) => web(i, 1));
    decisions.decide(compiled(...many), healthy);
    decisions.decide(compiled(...many.slice(1)), healthy);
    assert.deepEqual(lines.slice(20), ['service.more-changes 10', 'service.withdrawn 198.51.100.0/32 Gone']);
  });
  test('the same decision again costs nothing and says nothing', () => {
    const { lines, decisions } = world();
    const one = compiled(web(7, 1));
    const first = decisions.decide(one, healthy);
    assert.equal(decisions.decide(one, { ...healthy }), first);
    assert.equal(lines.length, 1);
  });
  test('nor does it while something waits, until its time has come', () => {
    const { clock, decisions } = world();
    const one = compiled(web(7, 1));
    for (const state of [one, compiled(web(7, 0))]) decisions.decide(state, healthy);
    const waiting = decisions.decide(one, healthy);
    assert.equal(waiting.size, 1);
    clock.advance(seconds(1));
    assert.equal(decisions.decide(one, { ...healthy }), waiting);
    clock.advance(seconds(4));
    assert.equal(decisions.decide(one, healthy).size, 0);
    decisions.stop();
  });
});

describe('flatroute services', () => {
  const shown = (facts: Facts, ...views: readonly ServiceView[]): string => {
    const { decisions } = world();
    decisions.decide(compiled(web(7, 1)), healthy);
    decisions.decide(compiled(...views), facts);
    const now = { ...snapshot(), services: { rows: decisions.rows, withdrawals: 0, proxy: facts.proxy } };
    return showServices(serviceAnswers(now), undefined, Date.now(), { width: undefined, colour: false }).join('\n');
  };
  test('says why an address is announced and to whom, or why not and what was before', () => {
    assert.match(
      shown(healthy, web(7, 1)),
      /198\.51\.100\.7\/32 +shop\/web-7 .* nobody .*\n.*a usable endpoint on this node/,
    );
    assert.match(shown(healthy, web(7, 0)), / no .*\n.*no usable endpoint is on this node; before: announced since 20/);
    assert.match(shown(dead, web(7, 1)), /the proxy of this node does not work: nobody answers; before: announced/);
  });
  test('of nothing it says where ranges are configured', () => {
    assert.match(shown(healthy), /no address of a Service is in a range that this node announces/);
  });
});
