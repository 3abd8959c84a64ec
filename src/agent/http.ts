/** /metrics, /healthz and /readyz on an address of the user's choice. Nothing else, and nothing secret. */
import { createServer, type Server, type ServerResponse } from 'node:http';
import { AppError } from '#lib/result.ts';
import type { Health } from '#status/health.ts';

export interface HttpModules {
  readonly metrics: { readonly contentType: string; readonly text: () => Promise<string> };
  readonly health: () => Health;
  readonly readiness: () => Health;
}

export interface HttpServer {
  readonly close: () => Promise<void>;
}

export interface Endpoint {
  readonly host: string | undefined;
  readonly port: number;
}

/** Throws AppError AGENT_METRICS_ADDRESS when the address cannot be listened on. */
export async function serveHttp(endpoint: Endpoint, modules: HttpModules): Promise<HttpServer> {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, (request, response) => {
    // A request without Host or with a path of its own making gets an answer, not an exception.
    const path = (request.url ?? '/').split('?')[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') answer(response, 405, 'GET only\n');
    else if (path === '/metrics') void metrics(response, modules);
    else if (path === '/healthz') healthAnswer(response, modules.health());
    else if (path === '/readyz') healthAnswer(response, modules.readiness());
    else answer(response, 404, 'there are /metrics, /healthz and /readyz\n');
  });
  await listen(server, endpoint);
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, { host, port }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new AppError(
          'AGENT_METRICS_ADDRESS',
          `cannot serve metrics on ${host ?? 'all addresses'} port ${port}: ${error.code ?? error.message}; choose another with --metrics`,
          { cause: error },
        ),
      ),
    );
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => resolve());
  });
}

async function metrics(response: ServerResponse, { metrics: { contentType, text } }: HttpModules): Promise<void> {
  answer(response, 200, await text(), contentType);
}

function healthAnswer(response: ServerResponse, { fine, problems }: Health): void {
  answer(response, fine ? 200 : 503, fine ? 'ok\n' : `${problems.join('\n')}\n`);
}

function answer(
  response: ServerResponse,
  status: number,
  body: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
