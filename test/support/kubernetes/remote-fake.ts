/** The fake API server in the namespace of a lab's host, as a test sees it from outside. */
import { request } from 'node:http';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { ApiObject } from '#kubernetes/store.ts';
import type { Host } from '#lab/host.ts';
import { eventually } from '../netns.ts';
import { API_PORT, type FakeOrder } from './fake-api-process.ts';

const SOCKET = '/run/fake-api.sock';
export const KUBECONFIG = '/run/kubeconfig';

export interface RemoteFake {
  /** Objects of YAML, made or replaced. */
  apply(yaml: string): Promise<void>;
  remove(kind: string, key: string): Promise<void>;
  objects(kind: string): Promise<readonly ApiObject[]>;
  /** Since the last time they were asked for, as `VERB plural`. */
  requests(): Promise<readonly string[]>;
  /** Nobody answers at the API's address any more. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Starts it, reachable there by KUBECONFIG. */
export async function fakeApiIn(host: Host): Promise<RemoteFake> {
  const kubeconfig = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'fake',
    contexts: [{ name: 'fake', context: { cluster: 'fake', user: 'agent' } }],
    clusters: [{ name: 'fake', cluster: { server: `http://127.0.0.1:${API_PORT}`, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'agent', user: { token: 'not for anybody' } }],
  };
  await host.writeFile(KUBECONFIG, JSON.stringify(kubeconfig), 0o600);
  const program = join(import.meta.dirname, 'fake-api-process.ts');
  await host.spawn([process.execPath, program, SOCKET], { log: 'fake-api.log' });
  const order = (what: FakeOrder): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const call = request({ socketPath: host.path(SOCKET), method: 'POST' }, (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (part: string) => (text += part));
        answer.on('end', () => {
          const { answer: said, error } = JSON.parse(text) as { answer?: unknown; error?: string };
          if (error === undefined) resolve(said);
          else reject(new Error(error));
        });
      });
      call.on('error', reject);
      call.end(JSON.stringify(what));
    });
  await eventually('the fake API server to listen', () =>
    order({ do: 'requests' }).then(
      () => true,
      () => undefined,
    ),
  );
  return {
    async apply(yaml) {
      for (const document of parseAllDocuments(yaml)) {
        const object = document.toJS() as ApiObject | null;
        if (object !== null) await order({ do: 'put', kind: object.kind ?? '', object });
      }
    },
    remove: async (kind, key) => void (await order({ do: 'remove', kind, key })),
    objects: async (kind) => (await order({ do: 'objects', kind })) as readonly ApiObject[],
    requests: async () => (await order({ do: 'requests' })) as readonly string[],
    stop: async () => void (await order({ do: 'stop' })),
    start: async () => void (await order({ do: 'start' })),
  };
}
