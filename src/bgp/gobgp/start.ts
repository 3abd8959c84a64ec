/** BGP in GoBGP is started as it is wanted; other people's sessions are not ended for that. In: calls; out: calls. */
import { AppError } from '#lib/result.ts';
import { globalOf, nameOf } from './desired.ts';
import type { GobgpClient } from './io/client.ts';
import { readGlobal, readPeers, readSets } from './io/observe.ts';
import type { GlobalMessage } from './messages.ts';
import type { Shared } from './modules.ts';
import { nameOfContent, policyMarks } from './policies.ts';
import { foreignOf } from './reconcile.ts';

export interface Started {
  readonly asked: GlobalMessage;
  /** BGP began just now. */
  readonly fresh: boolean;
  /** It goes on by other rules than are wanted. */
  readonly problem: string | undefined;
}

/** `asked`: what was asked for last time on this connection. */
export async function start(client: GobgpClient, shared: Shared, asked: GlobalMessage | undefined): Promise<Started> {
  const intent = shared.intent();
  const { dialect } = client;
  const global = globalOf(intent);
  const mark = choiceMark(global);
  const observed = await readGlobal(client);
  if (observed !== undefined) {
    // GoBGP does not say by which rules it chooses a path: a set that nobody uses says it in its name.
    const marks = (await readSets(client, dialect.setType.community))
      .map(({ name }) => name)
      .filter((name) => name.startsWith(policyMarks.started));
    const isChosen =
      (marks.length === 0 ? asked === undefined || choiceMark(asked) === mark : marks.includes(mark)) &&
      observed.useMultiplePaths === global.useMultiplePaths;
    const isSpeaker =
      observed.asn === global.asn && observed.routerId === global.routerId && observed.listenPort === global.listenPort;
    if (isChosen && isSpeaker) return { asked: global, fresh: false, problem: undefined };
    const others = (await readPeers(client)).some((peer) => nameOf(peer) === undefined);
    const why =
      others && foreignOf(intent) === 'Keep'
        ? 'it has peers of somebody else, whose sessions would end. Start it without a configuration, or make the two agree.'
        : dialect.startsAgain
          ? undefined
          : `version ${dialect.version} of GoBGP begins to speak BGP only once. Start gobgpd anew.`;
    if (why !== undefined) {
      if (isSpeaker)
        return {
          asked: global,
          fresh: false,
          problem: `GoBGP chooses paths by other rules than bestPath and multipath of BGPConfiguration say, and ${why}`,
        };
      throw new AppError(
        'GOBGP_OTHER_SETTINGS',
        `GoBGP speaks BGP as AS ${observed.asn}, ${observed.routerId}, port ${observed.listenPort}; wanted are AS ${global.asn}, ${global.routerId}, port ${global.listenPort}, and ${why}`,
        { retry: 'backoff' },
      );
    }
    await client.call('StopBgp', {});
  }
  await client.call('StartBgp', { global });
  const definedSet = { definedType: dialect.setType.community, name: mark, list: ['0:0'], prefixes: [] };
  await client.call('AddDefinedSet', { definedSet });
  shared.modules.outputs.event('info', 'gobgp.started', { asn: global.asn, routerId: global.routerId });
  return { asked: global, fresh: true, problem: undefined };
}

const choiceMark = ({ routeSelectionOptions }: GlobalMessage): string =>
  nameOfContent(policyMarks.started, routeSelectionOptions);
