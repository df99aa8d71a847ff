/** GET over HTTP: redirects, the environment's proxies, time limits. */
import type * as ProxyFromEnv from 'proxy-from-env';
import type * as Undici from 'undici';
import type { Dispatcher } from 'undici';
import { InstasegError } from '../../runtime/errors.js';

/** An attempt that failed in a way that another one may not. */
export class TransientError extends Error {
  constructor(
    message: string,
    readonly retryAfterMs?: number,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

export interface HttpRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Longest wait in milliseconds for the connection, for the answer to begin, and for more of it. */
  readonly timeout: number;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  /** The first value of each, by lower-case name. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** What Hugging Face's first answer says about the file that it redirects to. */
  readonly linked: { readonly sha256: string | undefined; readonly bytes: number | undefined };
  /** Fails with `TransientError`, or with the signal's reason. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the connection. Has to be called, after the last use of the body. */
  close(): Promise<void>;
}

const MAX_REDIRECTS = 10;

/**
 * Requests an address with GET and follows its redirects; never from https to http. Proxies are those of the
 * environment: `https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`, in lower or upper case. Rejects with ERR_DOWNLOAD
 * for what another attempt would not change, with `TransientError` otherwise, or with the signal's reason.
 */
export async function get({ url, headers, timeout, signal }: HttpRequest): Promise<HttpAnswer> {
  let linked: HttpAnswer['linked'] = { sha256: undefined, bytes: undefined };
  let address = new URL(url);
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
    const answer = await getOnce(address, headers, timeout, signal);
    if (answer.headers['x-linked-etag'] !== undefined) linked = linkedFile(answer.headers);
    const location = answer.headers['location'];
    if (![301, 302, 303, 307, 308].includes(answer.status) || location === undefined) return { ...answer, linked };
    await answer.close();
    address = redirect(address, location);
  }
  throw new InstasegError('ERR_DOWNLOAD', `${url} redirects more than ${MAX_REDIRECTS} times`);
}

function redirect(from: URL, location: string): URL {
  const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
  const allowed = from.protocol === 'https:' ? ['https:'] : ['https:', 'http:'];
  if (to && allowed.includes(to.protocol)) return to;
  throw new InstasegError(
    'ERR_DOWNLOAD',
    `${from.host} redirects to ${to ? to.origin : 'a broken address'}: only https is followed from there`,
  );
}

function linkedFile(headers: HttpAnswer['headers']): HttpAnswer['linked'] {
  const sha256 = /^"?([0-9a-f]{64})"?$/.exec(headers['x-linked-etag'] ?? '')?.[1];
  const size = headers['x-linked-size'];
  return { sha256, bytes: size !== undefined && /^\d+$/.test(size) ? Number(size) : undefined };
}

async function getOnce(
  url: URL,
  headers: Readonly<Record<string, string>>,
  timeout: number,
  signal: AbortSignal,
): Promise<Omit<HttpAnswer, 'linked'>> {
  signal.throwIfAborted();
  // Loaded here, since most processes never download anything.
  const { request } = require('undici') as typeof Undici;
  const { dispatcher, proxy } = connect(url, timeout);
  const close = (): Promise<void> => dispatcher.destroy();
  const via = proxy === '' ? '' : ` (through the proxy ${new URL(proxy).host})`;
  const explain = (error: unknown): unknown => {
    if (signal.aborted) return signal.reason;
    return describeFailure(`${url.host}${via}`, error, timeout);
  };
  try {
    const answer = await request(url, {
      dispatcher,
      headers,
      // One of its own: listeners of requests that end early would pile up on the caller's.
      signal: AbortSignal.any([signal]),
      headersTimeout: timeout,
      bodyTimeout: timeout,
    });
    // A connection may break while nobody reads the body; who reads it later gets the error then.
    answer.body.on('error', () => undefined);
    return {
      status: answer.statusCode,
      headers: Object.fromEntries(
        Object.entries(answer.headers).map(([name, value]) => [name, typeof value === 'string' ? value : value?.[0]]),
      ),
      body: explained(answer.body as AsyncIterable<Uint8Array>, explain),
      close,
    };
  } catch (error) {
    await close();
    throw explain(error);
  }
}

/** A connection of its own for each address: downloads are few and long. */
function connect(url: URL, timeout: number): { dispatcher: Dispatcher; proxy: string } {
  const { Agent, ProxyAgent } = require('undici') as typeof Undici;
  const { getProxyForUrl } = require('proxy-from-env') as typeof ProxyFromEnv;
  const proxy = getProxyForUrl(url);
  if (proxy === '') return { dispatcher: new Agent({ connect: { timeout } }), proxy };
  const parsed = URL.canParse(proxy) ? new URL(proxy) : undefined;
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    throw new InstasegError(
      'ERR_DOWNLOAD',
      `Expected a proxy like http://proxy:3128 in the environment for ${url.host}, received one with ` +
        `${parsed ? `the protocol ${parsed.protocol}` : 'a broken address'}; no_proxy excludes hosts from it`,
    );
  }
  return { dispatcher: new ProxyAgent({ uri: proxy, requestTls: { timeout }, proxyTls: { timeout } }), proxy };
}

async function* explained(
  body: AsyncIterable<Uint8Array>,
  explain: (error: unknown) => unknown,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } catch (error) {
    throw explain(error);
  }
}

/** Errors of certificates, by the names that OpenSSL and Node.js give them. */
const CERTIFICATE = /CERT|UNABLE_TO_|ERR_TLS|SELF_SIGNED/;

function describeFailure(host: string, error: unknown, timeout: number): Error {
  const { code = '', message } = error as NodeJS.ErrnoException;
  if (/TIMEOUT/.test(code)) return new TransientError(`${host} did not answer within ${timeout / 1000} s`);
  if (CERTIFICATE.test(code)) {
    return new InstasegError(
      'ERR_DOWNLOAD',
      `The certificate of ${host} is not trusted (${code}); for one of your own network set NODE_EXTRA_CA_CERTS`,
      { cause: error },
    );
  }
  if (code === 'ENOTFOUND') {
    return new InstasegError('ERR_DOWNLOAD', `${host} cannot be found: is there a network, or a proxy to set?`, {
      cause: error,
    });
  }
  return new TransientError(`The connection to ${host} failed (${message || code})`, undefined, { cause: error });
}
