/** The standards that are judged, in the order of the printed table. */
export const standards = {
  'RFC 4271': 'BGP-4: either end connects, hold time or none, attributes, equal paths',
  'RFC 4760': 'both families over one session',
  'RFC 2545': 'IPv6 next hops',
  'RFC 5492': 'capabilities',
  'RFC 9072': 'OPENs with extended optional parameters',
  'RFC 7606': 'a malformed attribute costs its routes, not the session',
  'RFC 6793': 'AS numbers of four octets, and speakers that have two',
  'RFC 1997': 'communities',
  'RFC 4360': 'extended communities',
  'RFC 8092': 'large communities',
  'RFC 2918': 'route refresh',
  'RFC 7313': 'enhanced route refresh',
  'RFC 8654': 'messages of up to 65535 octets',
  'RFC 8326': 'GRACEFUL_SHUTDOWN, at a drain too',
  'RFC 2385': 'TCP MD5',
  'RFC 5082': 'GTSM',
  'RFC 4724': 'graceful restart, as the one that restarts and as the one that waits',
  'RFC 8538': 'graceful restart after a NOTIFICATION or an expired hold timer',
  'RFC 9494': 'long-lived graceful restart, both ways',
  'RFC 7911': 'add-path',
  'RFC 4456': 'route reflection',
  'RFC 9234': 'roles',
  'RFC 8950': 'IPv6 next hops for IPv4 routes',
  'RFC 4861': 'unnumbered: the neighbour on a link is found by its router advertisements',
  'listen range': 'dynamic neighbours: the daemon connects, and is not named',
  'RFC 4486': 'Cease subcodes',
  'RFC 9003': 'text of an administrative shutdown',
  'RFC 5880': 'BFD at 50 ms x 3: a frozen daemon is noticed at once, with Cease/10 (RFC 9384)',
} as const;

export type Standard = keyof typeof standards;
export const standardNames = Object.keys(standards) as readonly Standard[];
