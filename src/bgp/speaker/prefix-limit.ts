/**
 * How much one peer may announce. In: what it has announced and its intent; out: a warning once a session and family, and
 * the NOTIFICATION that ends a session with too much (RFC 4486 §4). Counted before any policy.
 */
import type { Family } from '#lib/ip.ts';
import { families } from '#lib/ip.ts';
import { type PeerIntent, isNearLimit } from '../engine.ts';
import type { Adjacency } from '../rib/adjacency.ts';
import { CEASE } from '../wire/codes.ts';
import type { Reset } from '../wire/messages.ts';
import { cease, tooManyPrefixes } from '../wire/notification.ts';
import type { PeerNews } from './peer-news.ts';

/**
 * Octets of path attributes that one peer may make us hold. Real tables have about 100 a prefix; with extended messages a
 * peer can make it 65,000, and ten thousand prefixes would take the memory of the whole agent.
 */
const attributeOctetsPerPrefix = 1024;
const leastAttributeOctets = 16 * 1024 * 1024;

export class PrefixLimit {
  /** The session was ended for it. */
  exceeded = false;
  readonly #news: PeerNews;
  readonly #warned = new Set<Family>();

  constructor(news: PeerNews) {
    this.#news = news;
  }

  sessionBegins(): void {
    this.exceeded = false;
    this.#warned.clear();
  }

  /** The NOTIFICATION for a peer whose prefixes, or whose path attributes, are too many. */
  check({ received, attributeOctets }: Adjacency, intent: PeerIntent): Reset | undefined {
    const limit = intent.maxPrefixes;
    const octets = Math.max(leastAttributeOctets, attributeOctetsPerPrefix * limit);
    const family = families.find((it) => received[it] > limit);
    if (family === undefined && attributeOctets <= octets) {
      for (const it of families) this.#warn(it, received[it], intent);
      return undefined;
    }
    this.exceeded = true;
    if (family !== undefined) {
      this.#news.event('warn', 'session.maximumPrefixes', { family, received: received[family], limit });
      return tooManyPrefixes(family, received[family], limit);
    }
    this.#news.event('warn', 'session.attributeMemory', { received: attributeOctets, limit: octets });
    const text = `path attributes of ${attributeOctets} octets received, ${octets} allowed`;
    return cease(CEASE.outOfResources, text);
  }

  #warn(family: Family, received: number, intent: PeerIntent): void {
    if (this.#warned.has(family) || !isNearLimit(received, intent)) return;
    this.#warned.add(family);
    this.#news.event('warn', 'session.nearMaximumPrefixes', { family, received, limit: intent.maxPrefixes });
  }
}
