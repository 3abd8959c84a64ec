/** What both versions of HTTP are to the client: a request goes out, the head of an answer comes back, then its body. */
import type { Readable } from 'node:stream';

export interface Outgoing {
  readonly server: URL;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly body: string | undefined;
  /** Ends the request, or the answer that is under way, with its reason. */
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly retryAfterSeconds: number | undefined;
  readonly stream: Readable;
  /** After the stream ended: the connection ended before the answer did. */
  cut(): boolean;
}

export interface Exchange {
  /** Rejects with what the system said. */
  readonly answer: Promise<Answer>;
  /** A part of the request may have reached the server. */
  sent(): boolean;
}

/** Connections with one TLS identity, by server. */
export interface Connections {
  exchange(outgoing: Outgoing): Exchange;
  /** Others take over: what runs may end, nothing begins. */
  retire(): void;
  /** Ends all at once. */
  close(): void;
}

/** The first probe of the kernel on a silent connection; Node's further ones follow each second, ten of them. */
export const keepAliveMilliseconds = 15_000;

export function retryAfterOf(header: string | undefined): number | undefined {
  const seconds = Number(header);
  return header !== undefined && Number.isFinite(seconds) && seconds >= 0 ? Math.min(seconds, 120) : undefined;
}

/** A host of a URL as sockets take it. */
export const hostOf = (server: URL): string => server.hostname.replace(/^\[(.*)\]$/, '$1');
