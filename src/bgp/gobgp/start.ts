/** BGP in GoBGP is started as it is wanted; other people's sessions are not ended for that. In: calls; out: calls. */
import { AppError } from '#lib/result.ts';
import { globalOf, nameOf } from './desired.ts';
import type { GobgpClient } from './io/client.ts';
import { readGlobal, readPeers } from './io/observe.ts';
import type { GlobalMessage } from './messages.ts';
import type { Shared } from './modules.ts';
import { foreignOf } from './reconcile.ts';

/** `asked`: what was asked for last time; GoBGP does not say by which rules it chooses a path. */
export async function start(
  client: GobgpClient,
  shared: Shared,
  asked: GlobalMessage | undefined,
): Promise<{ readonly asked: GlobalMessage; readonly fresh: boolean }> {
  const intent = shared.intent();
  const global = globalOf(intent);
  const observed = await readGlobal(client);
  const isAsAsked = asked === undefined || JSON.stringify(asked) === JSON.stringify(global);
  if (observed !== undefined && isAsAsked && sameGlobal(observed, global)) return { asked: global, fresh: false };
  if (observed !== undefined) {
    const others = (await readPeers(client)).some((peer) => nameOf(peer) === undefined);
    if (others && foreignOf(intent) === 'Keep')
      throw new AppError(
        'GOBGP_OTHER_SETTINGS',
        `GoBGP speaks BGP as AS ${observed.asn}, ${observed.routerId}, port ${observed.listenPort}, and has peers of somebody else; wanted are AS ${global.asn}, ${global.routerId}, port ${global.listenPort}. Start it without a configuration, or make the two agree.`,
        { retry: 'backoff' },
      );
    await client.call('StopBgp', {});
  }
  await client.call('StartBgp', { global });
  shared.modules.outputs.event('info', 'gobgp.started', { asn: global.asn, routerId: global.routerId });
  return { asked: global, fresh: true };
}

const sameGlobal = (a: GlobalMessage, b: GlobalMessage): boolean =>
  a.asn === b.asn &&
  a.routerId === b.routerId &&
  a.listenPort === b.listenPort &&
  a.useMultiplePaths === b.useMultiplePaths;
