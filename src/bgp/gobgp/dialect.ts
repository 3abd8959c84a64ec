/**
 * The two interfaces that GoBGP has had: `apipb.GobgpApi` of version 3 and `api.GoBgpService` of version 4. Messages and field
 * numbers are the same but for NLRI and attributes; version 4 begins most enumerations with a value that says nothing, so that
 * the numbers behind it are one more.
 */
export interface Dialect {
  readonly version: 3 | 4;
  /** Full name of the service, as in proto/gobgp. */
  readonly service: 'apipb.GobgpApi' | 'api.GoBgpService';
  /** BGP that was stopped can be started again in the same process. */
  readonly startsAgain: boolean;
  readonly table: { readonly global: number; readonly adjIn: number; readonly adjOut: number };
  readonly watchBest: number;
  readonly lookup: { readonly exact: number; readonly longer: number; readonly shorter: number };
  readonly softReset: { readonly in: number; readonly out: number; readonly both: number };
  readonly adminState: { readonly up: number; readonly down: number; readonly prefixLimit: number };
  readonly setType: {
    readonly prefix: number;
    readonly neighbor: number;
    readonly asPath: number;
    readonly community: number;
    readonly extCommunity: number;
    readonly largeCommunity: number;
  };
  readonly match: { readonly any: number; readonly all: number; readonly invert: number };
  readonly communityAction: { readonly add: number; readonly remove: number; readonly replace: number };
  readonly replaceMed: number;
}

const dialect = (version: Dialect['version'], service: Dialect['service'], first: 0 | 1): Dialect => ({
  version,
  service,
  startsAgain: version === 3,
  table: { global: first, adjIn: first + 2, adjOut: first + 3 },
  watchBest: first,
  lookup: { exact: first, longer: first + 1, shorter: first + 2 },
  softReset: { in: first, out: first + 1, both: first + 2 },
  adminState: { up: first, down: first + 1, prefixLimit: first + 2 },
  setType: {
    prefix: first,
    neighbor: first + 1,
    asPath: first + 3,
    community: first + 4,
    extCommunity: first + 5,
    largeCommunity: first + 6,
  },
  match: { any: first, all: first + 1, invert: first + 2 },
  communityAction: { add: first, remove: first + 1, replace: first + 2 },
  replaceMed: first + 1,
});

/** Version 4 first: it is the one that is still changed. */
export const dialects: readonly Dialect[] = [dialect(4, 'api.GoBgpService', 1), dialect(3, 'apipb.GobgpApi', 0)];

/** Of the numbers that both have alike. */
export const established = 6;
export const peerEvent = { endOfInit: 2 } as const;
