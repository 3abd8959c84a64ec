/** Conditions of another program that speaks BGP for the node: whether it does what is wanted, and what it cannot do. PURE. */
import { unsupported, type Unsupported } from '#bgp/gobgp/capabilities.ts';
import type { Compiled, Condition, Facts } from './node-intent.ts';

const listed = 10;
const sentences = (all: readonly string[]): string =>
  `${all.slice(0, listed).join('; ')}${all.length > listed ? `; and ${all.length - listed} more` : ''}`;

/** Ends as a sentence does, with one mark. */
const sentence = (text: string): string => (/[.?!]$/.test(text) ? text : `${text}.`);

export function engineConditions({ intent, nodeName }: Compiled, { bgp }: Facts): Condition[] {
  const { bgp: wanted } = intent;
  if (wanted?.engine === undefined) return [];
  const node = { kind: 'Node', name: nodeName } as const;
  const facts = bgp?.engine;
  const found = unsupported(wanted, facts?.version);
  const byPeer = Map.groupBy(
    found.filter(({ kind }) => kind !== 'BGPConfiguration'),
    ({ peer }) => peer,
  );
  const ofNode = new Map(found.flatMap((it) => (it.kind === 'BGPConfiguration' ? [[it.field, it] as const] : [])));
  const { address } = wanted.engine;
  return [
    ready(node, address, facts?.problem, facts?.version),
    ...(facts === undefined || facts.drift.length === 0
      ? []
      : [
          {
            ...node,
            type: 'EngineManaged',
            status: 'False',
            reason: 'EngineDrift',
            message: `GoBGP has what flatroute did not give it: ${sentences(facts.drift)}. Take it away there, or set gobgp.foreign of BGPConfiguration to Remove.`,
          } as const,
        ]),
    ...(ofNode.size === 0 ? [] : [notSupported(node, [...ofNode.values()])]),
    ...[...byPeer].map(([name, fields]) => notSupported({ kind: 'BGPPeer', name }, fields)),
  ];
}

function ready(
  node: Pick<Condition, 'kind' | 'name'>,
  address: string,
  problem: string | undefined,
  version: number | undefined,
): Condition {
  const base = { ...node, type: 'EngineReady' } as const;
  if (problem !== undefined) return { ...base, status: 'False', reason: 'EngineProblem', message: sentence(problem) };
  return version === undefined
    ? { ...base, status: 'Unknown', reason: 'Pending', message: 'GoBGP has not answered yet.' }
    : { ...base, status: 'True', reason: 'EngineReady', message: `GoBGP at ${address} does what is wanted of it.` };
}

function notSupported(object: Pick<Condition, 'kind' | 'name'>, fields: readonly Unsupported[]): Condition {
  const held = fields.some((it) => it.held);
  const said = fields.map(({ kind, field, text }) => `${kind === 'BGPFilter' ? 'filters: ' : ''}${field}: ${text}`);
  const what = held
    ? 'The session stays closed, since it would be less than was asked for. Take the field out, or use engine embedded.'
    : 'The session is open all the same.';
  return {
    ...object,
    type: 'EngineSupports',
    status: 'False',
    reason: 'FieldNotSupported',
    message: `GoBGP does not do what is asked for: ${sentences(said)}. ${object.kind === 'BGPPeer' ? what : 'docs/engines.md has what it does instead.'}`,
  };
}
