// A TCP proxy between a client and the API server that loses what it is told to lose.
import { connect, createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';

export interface TcpProxy {
  readonly port: number;
  /** The next answer on a connection that is open ends that connection instead of arriving. */
  loseNextAnswer(): void;
  /** Ends all connections. */
  cut(): void;
  /** Ends all connections and takes no new ones for now. */
  close(): void;
  open(): void;
  /** Bytes are swallowed in both directions, and nobody is told. */
  swallow(on: boolean): void;
  stop(): Promise<void>;
}

export async function tcpProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let losing = false;
  let closed = false;
  let swallowing = false;
  const server = createServer((inner) => {
    if (closed) {
      inner.destroy();
      return;
    }
    const outer = connect(target);
    const pair = [inner, outer] as const;
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      inner.destroy();
      outer.destroy();
    };
    for (const socket of pair) {
      socket.on('error', end);
      socket.on('close', end);
    }
    inner.on('data', (bytes) => {
      if (!swallowing) outer.write(bytes);
    });
    outer.on('data', (bytes) => {
      if (losing) {
        losing = false;
        end();
      } else if (!swallowing) inner.write(bytes);
    });
  });
  const cut = (): void => {
    for (const [inner, outer] of pairs) {
      inner.destroy();
      outer.destroy();
    }
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    loseNextAnswer: () => (losing = true),
    cut,
    close() {
      closed = true;
      cut();
    },
    open: () => (closed = false),
    swallow: (on) => (swallowing = on),
    stop() {
      cut();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
