/**
 * A fake of the few requests of the Kubernetes API that Multus makes for one pod: its pod, its network attachment
 * definitions, the annotation with the status, events. It is no API server: it knows no authentication, no versions and no
 * watches, and what Multus does with a real one is not shown by it.
 *
 *   kube-fake.ts PORT FILE      FILE holds Objects as JSON and is read anew for each request; FILE.status is written
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

export interface Objects {
  /** Annotations of each pod, by its name. */
  readonly pods: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** `spec.config` of each network attachment definition, by its name. */
  readonly networks: Readonly<Record<string, object>>;
}

export const STATUS_ANNOTATION = 'k8s.v1.cni.cncf.io/network-status';

const [port = '', file = ''] = process.argv.slice(2);
const statusFile = `${file}.status`;

const readJson = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
const statuses = (): Record<string, string> =>
  existsSync(statusFile) ? (readJson(statusFile) as Record<string, string>) : {};

/**
 * The value of an annotation in the protobuf of a pod: a map entry is the key (field 1) and the value (field 2), each with
 * its length before it. https://protobuf.dev/programming-guides/encoding/
 */
export function annotationIn(body: Buffer, key: string): string | undefined {
  let at = body.indexOf(key);
  if (at < 0) return undefined;
  at += Buffer.byteLength(key);
  if (body[at] !== 0x12) return undefined;
  let length = 0;
  for (let shift = 0; ; shift += 7) {
    at += 1;
    const byte = body[at] ?? 0;
    length |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return body.toString('utf8', at + 1, at + 1 + length);
}

function answer(method: string, path: string, body: Buffer): object | undefined {
  const objects = readJson(file) as Objects;
  const [, namespace = '', kind = '', name = '', part = ''] =
    /^\/apis?(?:\/[^/]+)?\/v1\/namespaces\/([^/]+)\/([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(path) ?? [];
  const metadata = { name, namespace, uid: `uid-${name}`, resourceVersion: '1' };
  if (kind === 'events' && method === 'POST') return { apiVersion: 'v1', kind: 'Event', metadata };
  if (kind === 'network-attachment-definitions') {
    const config = objects.networks[name];
    if (config === undefined) return undefined;
    return {
      apiVersion: 'k8s.cni.cncf.io/v1',
      kind: 'NetworkAttachmentDefinition',
      metadata,
      spec: { config: JSON.stringify(config) },
    };
  }
  const annotations = objects.pods[name];
  if (kind !== 'pods' || annotations === undefined) return undefined;
  if (method === 'PUT' && part === 'status') {
    const status = annotationIn(body, STATUS_ANNOTATION);
    if (status !== undefined) writeFileSync(statusFile, JSON.stringify({ ...statuses(), [name]: status }));
  }
  const status = statuses()[name];
  const written = status === undefined ? {} : { [STATUS_ANNOTATION]: status };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { ...metadata, annotations: { ...annotations, ...written } },
    spec: {},
  };
}

createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    const { method = 'GET', url = '' } = request;
    const path = url.split('?')[0] ?? '';
    const found = answer(method, path, Buffer.concat(chunks));
    console.log(`${method} ${path} ${found === undefined ? 404 : 200}`);
    response.writeHead(found === undefined ? 404 : 200, { 'content-type': 'application/json' });
    const missing = { apiVersion: 'v1', kind: 'Status', status: 'Failure', reason: 'NotFound', code: 404 };
    response.end(JSON.stringify(found ?? missing));
  });
}).listen(Number(port), '127.0.0.1', () => console.log('listening'));
