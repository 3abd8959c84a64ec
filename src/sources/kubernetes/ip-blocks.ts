/** IPBlocks as the API has them, for those who write them: the object beside what it says. */
import { parsePrefix, type Prefix } from '#lib/ip.ts';
import type { ApiObject } from '#kubernetes/store.ts';
import { ipBlock, type IPBlock } from '#resources/ip-block.ts';
import { typeOf } from './types.ts';

export const ipBlockType = typeOf(ipBlock);

type State = IPBlock['spec']['state'];

export interface LiveBlock {
  readonly name: string;
  readonly cidr: Prefix;
  readonly state: State;
  readonly node: string;
  /** `undefined`: made by hand. */
  readonly nodeUID: string | undefined;
  readonly machineID: string | undefined;
  readonly object: ApiObject;
}

const isState = (text: string): text is State => text === 'Pending' || text === 'Claimed' || text === 'Releasing';

/** `undefined` for what is no block, or in a state that this version does not know. */
export function liveBlock(object: ApiObject): LiveBlock | undefined {
  const spec: unknown = object['spec'];
  const field = (key: string): string | undefined => {
    const value: unknown = typeof spec === 'object' && spec !== null ? Reflect.get(spec, key) : undefined;
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const cidr = parsePrefix(field('cidr') ?? '');
  const state = field('state') ?? 'Claimed';
  const node = field('node');
  if (cidr === undefined || node === undefined || !isState(state)) return undefined;
  const { name } = object.metadata;
  return { name, cidr, state, node, nodeUID: field('nodeUID'), machineID: field('machineID'), object };
}

/** The object with other fields in its spec, under the same resourceVersion. */
export const withSpec = (object: ApiObject, fields: Readonly<Record<string, unknown>>): ApiObject => ({
  ...object,
  spec: { ...(object['spec'] as object), ...fields },
});
