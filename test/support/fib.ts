/** Rows for the FIB writer, and a node with two uplinks for it to write into. */
import { type IpAddress, type Prefix, prefixParts } from '#lib/ip.ts';
import { systemClock } from '#lib/time.ts';
import { NetlinkSocket } from '#netlink/io/socket.ts';
import { FibWriter, type FibFacts } from '#dataplane/fib/fib-writer.ts';
import { fibRowBytes, type FibUpdate, type NextHopGroup } from '#dataplane/fib/route.ts';
import { createNamespace, eventually, execute, type TestNamespace } from './netns.ts';

export function fibRows(rows: readonly (readonly [prefix: string, group: number])[]): {
  prefixes: Uint8Array;
  groupIds: Uint32Array;
} {
  const prefixes = new Uint8Array(rows.length * fibRowBytes);
  const groupIds = new Uint32Array(rows.length);
  rows.forEach(([prefix, group], i) => {
    const { bytes, length, family } = prefixParts(prefix as Prefix);
    prefixes[i * fibRowBytes] = family === 'ipv4' ? 4 : 6;
    prefixes[i * fibRowBytes + 1] = length;
    prefixes.set(bytes, i * fibRowBytes + 2);
    groupIds[i] = group;
  });
  return { prefixes, groupIds };
}

export const hop = (gateway: string, interfaceIndex: number): NextHopGroup['members'][number] => ({
  gateway: gateway as IpAddress,
  interfaceIndex,
});

export function fibUpdate(
  sequence: number,
  rows: readonly (readonly [prefix: string, group: number])[],
  more: Partial<Pick<FibUpdate, 'groups' | 'releasedGroups' | 'complete'>> = {},
): FibUpdate {
  return { sequence, groups: [], releasedGroups: [], complete: false, ...fibRows(rows), ...more };
}

export interface FibNode {
  readonly ns: TestNamespace;
  readonly socket: NetlinkSocket;
  /** Interface indexes of up0 (10.0.0.1/24, fd00::1/64) and up1 (10.0.1.1/24, fd00:1::1/64), each with a peer of the same name. */
  readonly up: readonly [number, number];
  readonly peer: TestNamespace;
  dispose(): Promise<void>;
}

export async function createFibNode(prefix: string): Promise<FibNode> {
  const ns = await createNamespace(prefix);
  const peer = await createNamespace(prefix);
  await ns.run(['sysctl', '-qw', 'net.ipv6.conf.default.accept_dad=0']);
  const up: number[] = [];
  for (const i of [0, 1]) {
    const name = `up${i}`;
    await must(['ip', '-n', ns.name, 'link', 'add', name, 'type', 'veth', 'peer', 'name', name, 'netns', peer.name]);
    const v6 = i === 0 ? 'fd00' : 'fd00:1';
    await must(['ip', '-n', ns.name, 'address', 'add', `10.0.${i}.1/24`, 'dev', name]);
    await must(['ip', '-n', ns.name, 'address', 'add', `${v6}::1/64`, 'dev', name, 'nodad']);
    await must(['ip', '-n', peer.name, 'link', 'set', name, 'up']);
    await must(['ip', '-n', ns.name, 'link', 'set', name, 'up']);
    up.push(Number(await ns.run(['cat', `/sys/class/net/${name}/ifindex`])));
  }
  // The kernel has carrier and a link-local address in its own time; nothing of that is to come during a test.
  for (const name of ['up0', 'up1'])
    await eventually(`${name} to be settled`, async () => {
      const words = ['ip', '-6', '-o', 'address', 'show', 'dev', name, 'scope', 'link', '-tentative'];
      return (await ns.run(words)).includes('fe80');
    });
  const socket = NetlinkSocket.open({ namespace: ns.path });
  return {
    ns,
    peer,
    socket,
    up: [up[0] ?? 0, up[1] ?? 0],
    async dispose() {
      socket.close();
      await ns.dispose();
      await peer.dispose();
    },
  };
}

async function must(argv: readonly string[]): Promise<void> {
  const { code, stderr } = await execute(argv);
  if (code !== 0) throw new Error(`${argv.join(' ')}: ${stderr}`);
}

/** A writer whose progress can be waited for. */
export interface WatchedWriter {
  readonly writer: FibWriter;
  readonly socket: NetlinkSocket;
  /** Families whose last routes were about to be deleted, each with the number of routes in the kernel at that moment. */
  readonly emptying: readonly string[];
  /** Resolves when this update, or a later one, is applied. */
  applied(sequence: number): Promise<void>;
  /** Resolves as soon as the facts fulfil the condition. */
  until(what: string, condition: (facts: FibFacts) => boolean): Promise<FibFacts>;
  close(): void;
}

export function watchedWriter(
  namespace: string,
  options: ConstructorParameters<typeof FibWriter>[0] = {},
): WatchedWriter {
  const socket = NetlinkSocket.open({ namespace });
  let last = 0;
  let failure: Error | undefined;
  const emptying: string[] = [];
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const look of [...waiting]) look();
  };
  const writer = new FibWriter(
    options,
    { socket, clock: systemClock },
    {
      applied(sequence) {
        last = sequence;
        wake();
      },
      changed: wake,
      emptying: (family) => emptying.push(`${family} ${writer.facts().learnedRoutes[family]}`),
      failed(error) {
        failure = error;
        wake();
      },
    },
  );
  const until = <T>(what: string, look: () => T | undefined): Promise<T> =>
    new Promise((resolve, reject) => {
      const deadline = setTimeout(() => {
        waiting.delete(check);
        reject(new Error(`not within 60 s: ${what}; facts ${JSON.stringify(writer.facts()).slice(0, 2000)}`));
      }, 60_000);
      const check = (): void => {
        const value = failure === undefined ? look() : undefined;
        if (value === undefined && failure === undefined) return;
        clearTimeout(deadline);
        waiting.delete(check);
        if (failure === undefined) resolve(value as T);
        else reject(failure);
      };
      waiting.add(check);
      check();
    });
  return {
    writer,
    socket,
    emptying,
    async applied(sequence) {
      await until(`update ${sequence} applied`, () => (last >= sequence ? true : undefined));
    },
    until: (what, condition) =>
      until(what, () => {
        const facts = writer.facts();
        return condition(facts) ? facts : undefined;
      }),
    close() {
      writer.close();
      socket.close();
    },
  };
}
