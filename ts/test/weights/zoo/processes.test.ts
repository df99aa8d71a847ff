import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import type { PullOptions, ZooModel } from '../../../src/index.js';
import { lock } from '../../../src/weights/zoo/lock.js';
import type { PullTimes } from '../../../src/weights/zoo/pull.js';
import { serve, startProxy } from './server.js';
import { Cache, checkpointBytes, modelAt, sha256 } from './support.js';

const CHILD = join(__dirname, 'pull-child.js');
/** A self-signed certificate of localhost and 127.0.0.1 for a hundred years, by `openssl req -x509`. */
const TLS = resolve(__dirname, '../../../../ts/test/fixtures/tls');
const FILE = checkpointBytes(2_000_000);
const FACTS = { bytes: FILE.length, checksum: { algorithm: 'sha256', digits: sha256(FILE) } } as const;

interface Outcome {
  readonly downloaded?: boolean;
  readonly phases?: readonly string[];
  readonly code?: string;
  readonly message?: string;
}

interface Child {
  readonly process: ChildProcess;
  readonly outcome: Promise<Outcome>;
}

function pullInChild(model: ZooModel, options: PullOptions, times: PullTimes = {}, env: NodeJS.ProcessEnv = {}): Child {
  const child = spawn(process.execPath, [CHILD, JSON.stringify([model, options, times])], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...env },
  });
  let stdout = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  const outcome = new Promise<Outcome>((done) =>
    child.on('close', () => done(JSON.parse(stdout === '' ? '{}' : stdout) as Outcome)),
  );
  return { process: child, outcome };
}

test.serial('of several processes one downloads, and all have the file', async (t) => {
  await using server = await serve(FILE, [{ pieceBytes: 100_000, pieceDelay: 40 }]);
  using cache = new Cache();
  const options = { cacheDir: cache.folder };
  const children = [1, 2, 3].map(() => pullInChild(modelAt(server.url, FACTS), options));
  const outcomes = await Promise.all(children.map(({ outcome }) => outcome));
  t.deepEqual(outcomes.map(({ downloaded }) => downloaded).sort(), [false, false, true]);
  t.true(outcomes.some(({ phases }) => phases?.includes('waiting')));
  t.is(server.asked.length, 1);
  t.true(cache.content().equals(FILE));
  t.deepEqual(cache.files(), ['test-0123.pth']);
});

test.serial('what a killed process left, another goes on with', async (t) => {
  await using server = await serve(FILE, [{ pieceBytes: 100_000, pieceDelay: 40 }]);
  using cache = new Cache();
  const model = modelAt(server.url, FACTS);
  const options = { cacheDir: cache.folder };
  const times = { lockStale: 3000 };
  const first = pullInChild(model, options, times);
  while ((statSync(`${cache.file}.partial`, { throwIfNoEntry: false })?.size ?? 0) < 500_000) await sleep(10);
  const second = pullInChild(model, options, times);
  first.process.kill('SIGKILL');
  const { downloaded, phases } = await second.outcome;
  t.true(downloaded, JSON.stringify(phases));
  t.true(cache.content().equals(FILE));
  t.deepEqual(cache.files(), ['test-0123.pth']);
  t.regex(server.asked[1]?.range ?? '', /^bytes=\d{5,}-$/);
});

test('a lock is held by one, and taken over only when it is stale', async (t) => {
  using cache = new Cache();
  const path = join(cache.folder, 'a.lock');
  const first = await lock(path, { stale: 3000 });
  let second = 'waiting';
  let waits = 0;
  const taking = lock(path, { stale: 3000, onWait: () => waits++ }).then((held) => {
    second = 'held';
    return held;
  });
  await sleep(3500); // renewed all the time
  t.is(second, 'waiting');
  await first.release();
  const held = await taking;
  t.is(waits, 1);

  // Somebody took it over meanwhile.
  writeFileSync(path, 'another');
  while (!held.lost.aborted) await sleep(20);
  await held.release();
  t.is(readFileSync(path, 'utf8'), 'another');
  const reason = new Error('enough');
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 50);
  t.is(await t.throwsAsync(lock(path, { stale: 60_000, signal: controller.signal })), reason);

  const longAgo = new Date(Date.now() - 60_000);
  utimesSync(path, longAgo, longAgo);
  await (await lock(path, { stale: 1000 })).release();
  t.false(existsSync(path));
});

test.serial('a process that loses its lock waits for the one that has it', async (t) => {
  await using server = await serve(FILE, [{ pieceBytes: 100_000, pieceDelay: 300 }]);
  using cache = new Cache();
  const path = `${cache.file}.lock`;
  const model = modelAt(server.url, FACTS);
  const pulling = cache.pull(model, {}, { lockStale: 400 });
  while (server.sent() < 300_000) await sleep(10);
  writeFileSync(path, 'another');
  await sleep(300);
  mkdirSync(dirname(cache.file), { recursive: true });
  writeFileSync(cache.file, FILE);
  t.false((await pulling).downloaded);
});

test.serial('proxies of the environment are used, except where no_proxy says', async (t) => {
  await using server = await serve(FILE);
  await using proxy = await startProxy();
  const host = new URL(server.url).host;
  for (const [env, hosts] of [
    [{ http_proxy: proxy.url }, [host]],
    [{ HTTP_PROXY: proxy.url }, [host]],
    [{ all_proxy: proxy.url }, [host]],
    [{ http_proxy: proxy.url, no_proxy: '127.0.0.1' }, []],
    [{ https_proxy: proxy.url }, []],
  ] as const) {
    using cache = new Cache();
    proxy.hosts.length = 0;
    const { outcome } = pullInChild(modelAt(server.url, FACTS), { cacheDir: cache.folder }, {}, env);
    t.true((await outcome).downloaded, JSON.stringify(env));
    t.deepEqual(proxy.hosts, [...hosts]);
  }
  using cache = new Cache();
  const model = modelAt(server.url, FACTS);
  for (const [address, message] of [
    ['socks5://127.0.0.1:1', /Expected a proxy like http:.*the protocol socks5:/],
    ['http://127.0.0.1:9', /\(through the proxy 127.0.0.1:9\) failed/],
  ] as const) {
    const { outcome } = pullInChild(model, { cacheDir: cache.folder, retries: 0 }, {}, { http_proxy: address });
    const { code, message: said } = await outcome;
    t.is(code, 'ERR_DOWNLOAD');
    t.regex(said ?? '', message);
  }
});

test.serial('https, also through a proxy; certificates are checked; no way from https to http', async (t) => {
  const tls = { key: readFileSync(join(TLS, 'localhost.key')), cert: readFileSync(join(TLS, 'localhost.crt')) };
  const server = createServer(tls, (request, response) => {
    if (request.url === '/files/downgrade.pth') response.writeHead(302, { location: 'http://127.0.0.1:9/x' });
    else response.writeHead(200, { 'content-length': FILE.length });
    response.end(request.url === '/files/downgrade.pth' ? '' : FILE);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  await using proxy = await startProxy();
  const trusted = { NODE_EXTRA_CA_CERTS: join(TLS, 'localhost.crt') };
  const pull = async (env: NodeJS.ProcessEnv, url = `https://${address}`): Promise<Outcome> => {
    using cache = new Cache();
    return pullInChild(modelAt(url, FACTS), { cacheDir: cache.folder, retries: 0 }, {}, env).outcome;
  };
  t.true((await pull(trusted)).downloaded);
  t.true((await pull({ ...trusted, https_proxy: proxy.url })).downloaded);
  t.deepEqual(proxy.hosts, [address]);
  const untrusted = await pull({});
  t.is(untrusted.code, 'ERR_DOWNLOAD');
  t.regex(untrusted.message ?? '', /certificate of 127\.0\.0\.1:\d+ is not trusted .*NODE_EXTRA_CA_CERTS/);

  using cache = new Cache();
  const model = { ...modelAt(''), url: `https://${address}/files/downgrade.pth` };
  const { message } = await pullInChild(model, { cacheDir: cache.folder }, {}, trusted).outcome;
  t.regex(message ?? '', /redirects to http:\/\/127\.0\.0\.1:9: only https is followed from there/);
  server.closeAllConnections();
  server.close();
});
