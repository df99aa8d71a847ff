/** A file server that misbehaves on demand, and a proxy. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** What the server does with one request; see `serve`. */
export interface Behaviour {
  /** Answers with this status instead. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Body instead of the file. */
  readonly body?: Buffer;
  /** Closes the connection after so many bytes of the body. */
  readonly cutAfter?: number;
  /** Sends pieces of so many bytes ... */
  readonly pieceBytes?: number;
  /** ... with so many milliseconds between them. */
  readonly pieceDelay?: number;
  /** Ignores Range. */
  readonly noRanges?: boolean;
  /** Neither ETag nor Last-Modified. */
  readonly noValidator?: boolean;
  /** Sends so many bytes more than there are. */
  readonly extraBytes?: number;
  /** No Content-Length. */
  readonly chunked?: boolean;
  /** Does not answer. */
  readonly silent?: boolean;
}

export interface Asked {
  readonly path: string;
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
}

export interface TestServer extends AsyncDisposable {
  readonly url: string;
  /** Requests so far. */
  readonly asked: Asked[];
  /** Bytes of bodies sent so far. */
  sent(): number;
}

/** Serves `file` at any path; the nth request gets the nth behaviour, later ones the last. */
export async function serve(file: Buffer, behaviours: readonly Behaviour[] = [{}]): Promise<TestServer> {
  const asked: Asked[] = [];
  let sent = 0;
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { range, 'if-range': ifRange } = request.headers;
    const behaviour = behaviours[Math.min(asked.length, behaviours.length - 1)]!;
    asked.push({ path: request.url ?? '', range, ifRange: typeof ifRange === 'string' ? ifRange : undefined });
    if (behaviour.silent) return;
    const whole = behaviour.body ?? file;
    const etag = `"${createHash('sha1').update(whole).digest('hex')}"`;
    const from = /^bytes=(\d+)-$/.exec(range ?? '')?.[1];
    const start =
      from === undefined || behaviour.noRanges || (ifRange !== undefined && ifRange !== etag) ? 0 : Number(from);
    const unsatisfiable = start > 0 && start >= whole.length;
    const status = behaviour.status ?? (unsatisfiable ? 416 : start > 0 ? 206 : 200);
    const body =
      status >= 300 && behaviour.body === undefined
        ? Buffer.alloc(0)
        : Buffer.concat([whole.subarray(start), Buffer.alloc(behaviour.extraBytes ?? 0)]);
    response.writeHead(status, {
      ...(!behaviour.chunked && { 'content-length': String(body.length) }),
      ...(!behaviour.noValidator && { etag }),
      ...(status === 206 && { 'content-range': `bytes ${start}-${whole.length - 1}/${whole.length}` }),
      ...behaviour.headers,
    });
    const limit = Math.min(behaviour.cutAfter ?? body.length, body.length);
    const piece = behaviour.pieceBytes ?? 65_536;
    for (let at = 0; at < limit && !response.destroyed; at += piece) {
      const bytes = body.subarray(at, Math.min(at + piece, limit));
      await new Promise((done) => response.write(bytes, done));
      sent += bytes.length;
      if (behaviour.pieceDelay !== undefined) await sleep(behaviour.pieceDelay);
    }
    if (limit === body.length) {
      response.end();
      return;
    }
    // Most of what has been sent has arrived by then.
    await sleep(100);
    response.destroy();
  };
  const server = createServer((request, response) => void answer(request, response));
  const port = await listen(server);
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    sent: () => sent,
    [Symbol.asyncDispose]: () => end(server),
  };
}

/** A proxy for https (CONNECT) and http; `tunnels` are the hosts that it was asked for. */
export async function startProxy(): Promise<AsyncDisposable & { readonly url: string; readonly hosts: string[] }> {
  const hosts: string[] = [];
  const server = createServer((request, response) => {
    const target = new URL(request.url!);
    hosts.push(target.host);
    void fetch(target, { headers: { range: request.headers.range ?? '' } }).then(async (answer) => {
      response.writeHead(answer.status, { 'content-length': answer.headers.get('content-length')! });
      response.end(Buffer.from(await answer.arrayBuffer()));
    });
  });
  server.on('connect', (request: IncomingMessage, client: Socket) => {
    hosts.push(request.url!);
    const [host, port] = request.url!.split(':');
    const upstream = connect(Number(port), host, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.pipe(client).pipe(upstream);
    });
    for (const socket of [client, upstream]) socket.on('error', () => [client, upstream].forEach((s) => s.destroy()));
  });
  const port = await listen(server);
  return { url: `http://127.0.0.1:${port}`, hosts, [Symbol.asyncDispose]: () => end(server) };
}

function listen(server: Server): Promise<number> {
  return new Promise((done) => server.listen(0, '127.0.0.1', () => done((server.address() as AddressInfo).port)));
}

function end(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((done) => server.close(() => done()));
}
