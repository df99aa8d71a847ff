import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { InstasegError, type ErrorCode, type PullProgress } from '../../../src/index.js';
import { type Behaviour, serve } from './server.js';
import { Cache, checkpointBytes, modelAt, sha256 } from './support.js';

/** A connection that is cut loses what is in buffers then, and more of it on a busy machine. */
const IN_FLIGHT = 300_000;

const FILE = checkpointBytes(3_000_000);
const CHECKSUM = { algorithm: 'sha256', digits: sha256(FILE) } as const;
const FACTS = { bytes: FILE.length, checksum: CHECKSUM };

async function failure(t: ExecutionContext, work: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  const error = await t.throwsAsync(work, { instanceOf: InstasegError });
  t.is(error?.code, code, error?.message);
  t.regex(error?.message ?? '', message);
}

test.serial('a file is downloaded once, under its published name, with progress', async (t) => {
  await using server = await serve(FILE);
  using cache = new Cache();
  const progress: PullProgress[] = [];
  const model = modelAt(server.url, FACTS);
  const first = await cache.pull(model, { onProgress: (step) => progress.push(step) });
  t.deepEqual(first, { model, path: cache.file, downloaded: true });
  t.true(cache.content().equals(FILE));
  t.deepEqual(cache.files(), ['test-0123.pth']);
  t.deepEqual(await cache.pull(model), { model, path: cache.file, downloaded: false });
  t.is(server.asked.length, 1);

  t.deepEqual(progress[0], { model: 'test_model', phase: 'downloading', bytesDone: 0, bytesTotal: FILE.length });
  t.is(progress.at(-1)?.phase, 'verifying');
  const done = progress.map(({ bytesDone }) => bytesDone);
  t.deepEqual(
    done,
    [...done].sort((a, b) => a - b),
  );
  t.is(done.at(-1), FILE.length);
  t.true(done.length > 3);
});

const CUTS: Record<string, Behaviour[]> = {
  'with a length': [{ cutAfter: 1_000_000 }, { cutAfter: 700_001 }, {}],
  'without a length': [{ cutAfter: 1_000_000, chunked: true }, { chunked: true }],
  'in the first bytes': [{ cutAfter: 10 }, {}],
  'before the first byte': [{ cutAfter: 0 }, {}],
};
for (const [how, behaviours] of Object.entries(CUTS)) {
  test.serial(`a download cut ${how} goes on where it ended`, async (t) => {
    await using server = await serve(FILE, behaviours);
    using cache = new Cache();
    await cache.pull(modelAt(server.url, FACTS));
    t.true(cache.content().equals(FILE));
    t.deepEqual(cache.files(), ['test-0123.pth']);
    t.is(server.asked.length, behaviours.length);
    t.true(server.sent() <= FILE.length + IN_FLIGHT * (behaviours.length - 1), `${server.sent()} bytes`);
  });
}

test.serial('a later pull goes on with what an earlier one left', async (t) => {
  await using server = await serve(FILE, [{ cutAfter: 1_500_000 }, {}]);
  using cache = new Cache();
  const model = modelAt(server.url, FACTS);
  await failure(t, cache.pull(model, { retries: 0 }), 'ERR_DOWNLOAD', /failed.*What has come is kept/);
  t.deepEqual(cache.files(), ['test-0123.pth.partial', 'test-0123.pth.partial.json']);
  await cache.pull(model);
  t.true(cache.content().equals(FILE));
  t.regex(server.asked[1]?.range ?? '', /^bytes=1[2-5]\d{5}-$/);
  t.truthy(server.asked[1]?.ifRange);
});

test.serial('a server without ranges sends all of it again', async (t) => {
  await using server = await serve(FILE, [{ cutAfter: 2_000_000, noRanges: true }, { noRanges: true }]);
  using cache = new Cache();
  await cache.pull(modelAt(server.url, FACTS));
  t.true(cache.content().equals(FILE));
  t.is(server.sent(), 2_000_000 + FILE.length);
});

test.serial('parts of two versions of a file are not joined', async (t) => {
  const newer = checkpointBytes(FILE.length, 2);
  await using server = await serve(newer, [{ body: FILE, cutAfter: 1_000_000 }, {}]);
  using cache = new Cache();
  await cache.pull(modelAt(server.url)); // no checksum that would tell
  t.true(cache.content().equals(newer));
});

test.serial('without validator and checksum it begins anew; with a checksum it goes on', async (t) => {
  const behaviours = [{ cutAfter: 1_000_000, noValidator: true }, { noValidator: true }];
  for (const [facts, range] of [
    [{}, undefined],
    [FACTS, 'bytes'],
  ] as const) {
    await using server = await serve(FILE, behaviours);
    using cache = new Cache();
    await cache.pull(modelAt(server.url, facts));
    t.true(cache.content().equals(FILE));
    t.is(server.asked[1]?.range?.slice(0, 5), range);
  }
});

test.serial('a bad part is found by the checksum, and the file fetched anew', async (t) => {
  const bad = Buffer.from(FILE);
  bad[500_000]! ^= 1;
  await using server = await serve(FILE, [
    { body: bad, cutAfter: 1_000_000, noValidator: true },
    { noValidator: true },
  ]);
  using cache = new Cache();
  await cache.pull(modelAt(server.url, FACTS));
  t.true(cache.content().equals(FILE));
  t.is(server.asked.length, 3);
});

test.serial('wrong bytes are refused, and not kept', async (t) => {
  const bad = Buffer.from(FILE);
  bad[2_999_999]! ^= 128;
  await using server = await serve(bad);
  using cache = new Cache();
  const wanted = /: has the SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}: the file is damaged, or another one/;
  await failure(t, cache.pull(modelAt(server.url, FACTS)), 'ERR_CHECKPOINT', wanted);
  t.deepEqual(cache.files(), []);
  t.is(server.asked.length, 1);
  const md5 = { algorithm: 'md5', digits: 'abcdef' } as const;
  await failure(t, cache.pull(modelAt(server.url, { checksum: md5 })), 'ERR_CHECKPOINT', /has the MD5 /);
});

test.serial('what the server states about the file is checked where nothing is published', async (t) => {
  for (const [stated, right] of [
    [sha256(FILE), true],
    [sha256(Buffer.from('another')), false],
  ] as const) {
    const hop = { status: 302, headers: { location: '/real', 'x-linked-etag': `"${stated}"` } };
    await using server = await serve(FILE, [hop, {}]);
    using cache = new Cache();
    const pulling = cache.pull(modelAt(server.url));
    if (right) t.true((await pulling).downloaded);
    else await failure(t, pulling, 'ERR_CHECKPOINT', /has the SHA-256/);
  }
});

test.serial('a file of another size is refused before it is fetched', async (t) => {
  await using server = await serve(FILE);
  using cache = new Cache();
  const model = modelAt(server.url, { bytes: 100_000 });
  await failure(t, cache.pull(model), 'ERR_CHECKPOINT', /has 3000000 bytes, expected 100000$/);
  await using endless = await serve(FILE, [{ chunked: true }]);
  await failure(t, cache.pull(modelAt(endless.url, { bytes: 100_000 })), 'ERR_CHECKPOINT', /has over 100000 bytes/);
  await failure(t, cache.pull(modelAt(endless.url, { bytes: 4_000_000 })), 'ERR_CHECKPOINT', /has 3000000 bytes/);
  t.deepEqual(cache.files(), []);
});

test.serial('a web page, a Git LFS pointer, nothing: the error says what came instead', async (t) => {
  const page = Buffer.from(`<!DOCTYPE html><title>Sign in</title>${'<p>'.repeat(1000)}`);
  const pointer = Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 178090079\n');
  for (const [body, message] of [
    [page, /is an HTML or XML page, not a checkpoint/],
    [page.subarray(0, 100), /is an HTML or XML page, not a checkpoint/],
    [pointer, /is a Git LFS pointer of a file of 178090079 bytes/],
    [Buffer.alloc(0), /is empty/],
  ] as const) {
    await using server = await serve(body);
    using cache = new Cache();
    await failure(t, cache.pull(modelAt(server.url, FACTS)), 'ERR_CHECKPOINT', message);
    t.deepEqual(cache.files(), []);
    t.is(server.asked.length, 1);
  }
});

test.serial('an answer without end is ended, also where a download goes on', async (t) => {
  await using server = await serve(FILE, [{ cutAfter: 1_000_000 }, { extraBytes: 1_000_000, chunked: true }]);
  using cache = new Cache();
  await failure(
    t,
    cache.pull(modelAt(server.url, FACTS)),
    'ERR_CHECKPOINT',
    /has over 3000000 bytes, expected 3000000$/,
  );
  t.deepEqual(cache.files(), []);
  await using huge = await serve(FILE, [{ headers: { 'content-length': String(5e12) } }]);
  await failure(t, cache.pull(modelAt(huge.url)), 'ERR_CHECKPOINT', /has 5000000000000 bytes, expected less$/);
});

test.serial('a packed answer is refused; an error page may be packed', async (t) => {
  const headers = { 'content-encoding': 'gzip' };
  await using server = await serve(FILE, [{ headers }, { status: 404, headers }]);
  using cache = new Cache();
  await failure(t, cache.pull(modelAt(server.url)), 'ERR_DOWNLOAD', /packed the file with gzip/);
  await failure(t, cache.pull(modelAt(server.url)), 'ERR_DOWNLOAD', /The server answered 404/);
});

test.serial('redirects are followed, also relative ones; a circle is not', async (t) => {
  await using server = await serve(FILE, [
    { status: 302, headers: { location: '/elsewhere' } },
    { status: 307, headers: { location: 'there?signature=1' } },
    {},
  ]);
  using cache = new Cache();
  await cache.pull(modelAt(server.url, FACTS));
  t.deepEqual(
    server.asked.map(({ path }) => path),
    ['/files/test-0123.pth', '/elsewhere', '/there?signature=1'],
  );
  await using circle = await serve(FILE, [{ status: 301, headers: { location: '/again' } }]);
  await failure(t, cache.pull(modelAt(circle.url, { name: 'circle' })), 'ERR_DOWNLOAD', /redirects more than 10 times/);
  await using odd = await serve(FILE, [{ status: 301, headers: { location: 'ftp://example.org/x' } }]);
  await failure(t, cache.pull(modelAt(odd.url, { name: 'odd' })), 'ERR_DOWNLOAD', /redirects to ftp:\/\/example.org/);
});

for (const status of [401, 403, 404, 410]) {
  test.serial(`${status} is final`, async (t) => {
    await using server = await serve(FILE, [{ status }]);
    using cache = new Cache();
    await failure(t, cache.pull(modelAt(server.url)), 'ERR_DOWNLOAD', new RegExp(`The server answered ${status} \\w`));
    t.is(server.asked.length, 1);
    t.deepEqual(cache.files(), []);
  });
}

for (const status of [408, 429, 500, 503]) {
  test.serial(`after ${status} it tries again, so many times`, async (t) => {
    const busy = { status, headers: { 'retry-after': '0' } };
    await using server = await serve(FILE, [busy, busy, {}]);
    using cache = new Cache();
    t.true((await cache.pull(modelAt(server.url, FACTS))).downloaded);
    await using down = await serve(FILE, [busy]);
    const model = modelAt(down.url, { ...FACTS, name: 'other' });
    const message = new RegExp(`The server answered ${status} .*\\(3 attempts\\)`);
    await failure(t, cache.pull(model, { retries: 2 }), 'ERR_DOWNLOAD', message);
    t.is(down.asked.length, 3);
  });
}

test.serial('attempts that bring a megabyte do not count', async (t) => {
  await using server = await serve(FILE, [{ cutAfter: 1_400_000 }, { cutAfter: 1_400_000 }, {}]);
  using cache = new Cache();
  await cache.pull(modelAt(server.url, FACTS), { retries: 1 });
  t.true(cache.content().equals(FILE));
});

test.serial('silence and a slow drip end an attempt', async (t) => {
  for (const [slow, timeout, message] of [
    [{ silent: true }, 150, /did not answer within 0\.15 s/],
    [{ pieceBytes: 1000, pieceDelay: 5000 }, 150, /did not answer within 0\.15 s/],
    [{ pieceBytes: 1, pieceDelay: 20 }, 2000, /Only \d+ bytes came in [2-9]\.\d s/],
  ] as const) {
    await using server = await serve(FILE, [slow]);
    using cache = new Cache();
    await failure(t, cache.pull(modelAt(server.url, FACTS), { timeout, retries: 1 }), 'ERR_DOWNLOAD', message);
    t.is(server.asked.length, 2);
  }
});

test.serial('a server that is not there is a failed download', async (t) => {
  const { url } = await serve(FILE).then(async (server) => {
    await server[Symbol.asyncDispose]();
    return server;
  });
  using cache = new Cache();
  await failure(t, cache.pull(modelAt(url), { retries: 1 }), 'ERR_DOWNLOAD', /ECONNREFUSED.*\(2 attempts\)/);
});

test.serial('an abort ends it with its reason, and what has come is kept', async (t) => {
  await using server = await serve(FILE, [{ pieceBytes: 50_000, pieceDelay: 20 }, {}]);
  using cache = new Cache();
  const controller = new AbortController();
  const reason = new Error('enough');
  const model = modelAt(server.url, FACTS);
  const onProgress = ({ bytesDone }: PullProgress): void => {
    if (bytesDone > 200_000) controller.abort(reason);
  };
  t.is(await t.throwsAsync(cache.pull(model, { signal: controller.signal, onProgress })), reason);
  t.deepEqual(cache.files(), ['test-0123.pth.partial', 'test-0123.pth.partial.json']);
  t.is(await t.throwsAsync(cache.pull(model, { signal: controller.signal })), reason);
  await cache.pull(model);
  t.true(server.asked[1]?.range !== undefined && cache.content().equals(FILE));

  const waiting = new AbortController();
  await using busy = await serve(FILE, [{ status: 503 }]);
  setTimeout(() => waiting.abort(reason), 50);
  const slow = cache.pull(modelAt(busy.url, { name: 'other' }), { signal: waiting.signal }, { retryDelay: 60_000 });
  t.is(await t.throwsAsync(slow), reason);
});

test.serial('offline nothing is asked for', async (t) => {
  await using server = await serve(FILE);
  using cache = new Cache();
  const model = modelAt(server.url, FACTS);
  const message =
    /^test_model is not in the cache .*offline.*"instaseg pull test_model".*Download http.* pass the file$/;
  await failure(t, cache.pull(model, { offline: true }), 'ERR_DOWNLOAD', message);
  t.is(server.asked.length, 0);
  await cache.pull(model);
  t.false((await cache.pull(model, { offline: true })).downloaded);
  writeFileSync(cache.file, FILE.subarray(1));
  await failure(t, cache.pull(model, { offline: true }), 'ERR_DOWNLOAD', /is damaged in the cache \(2999999 bytes/);
});

test.serial('a damaged file in the cache is replaced; without a check only its size is looked at', async (t) => {
  await using server = await serve(FILE);
  using cache = new Cache();
  const model = modelAt(server.url, FACTS);
  const bad = Buffer.from(FILE);
  bad[1_000_000]! ^= 1;
  mkdirSync(dirname(cache.file), { recursive: true });
  writeFileSync(cache.file, bad);
  t.false((await cache.pull(model, {}, { check: false })).downloaded);
  t.true((await cache.pull(model)).downloaded);
  t.true(cache.content().equals(FILE));
  writeFileSync(cache.file, FILE.subarray(0, 10));
  t.true((await cache.pull(model, {}, { check: false })).downloaded);
});

test.serial('a cache that has the file is only read', async (t) => {
  await using server = await serve(FILE);
  using cache = new Cache();
  const model = modelAt(server.url, FACTS);
  await cache.pull(model);
  const times = (): bigint[] =>
    [cache.folder, dirname(cache.file), cache.file].map((path) => statSync(path, { bigint: true }).ctimeNs);
  const before = times();
  await cache.pull(model);
  await cache.pull(model, {}, { check: false });
  t.deepEqual(times(), before);
});

test.serial('a cache that cannot be written is an error with the ways out', async (t) => {
  await using server = await serve(FILE);
  using cache = new Cache();
  // Under a file there can be no folder, for root neither.
  const file = join(cache.folder, 'file');
  writeFileSync(file, '');
  const pulling = cache.pull(modelAt(server.url), { cacheDir: join(file, 'cache') });
  const message =
    /cannot be written \(ENOTDIR\)\. Choose another folder with cacheDir or INSTASEG_CACHE\. Download http/;
  await failure(t, pulling, 'ERR_FILE', message);
  t.is(server.asked.length, 0);
});

test.serial('a full disk is an error that says so, and leaves nothing', async (t) => {
  await using server = await serve(FILE);
  using cache = new Cache();
  const handle = await open(__filename);
  const prototype = Object.getPrototypeOf(handle) as { write: unknown };
  await handle.close();
  const { write } = prototype;
  prototype.write = () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC', syscall: 'write' }));
  try {
    await failure(t, cache.pull(modelAt(server.url)), 'ERR_FILE', /test_model: there is no room for 1 MB\. Choose/);
  } finally {
    prototype.write = write;
  }
  t.deepEqual(cache.files(), []);
});

test.serial('a mirror has the same layout as a cache', async (t) => {
  await using server = await serve(FILE);
  using cache = new Cache();
  await cache.pull(modelAt('https://example.org', FACTS), { mirror: `${server.url}/copy/` });
  t.is(server.asked[0]?.path, '/copy/test_model/test-0123.pth');
  const wrong = cache.pull(modelAt(server.url, { name: 'other' }), { mirror: 'file:///x' });
  await failure(t, wrong, 'ERR_ARGUMENT', /mirror must be an http\(s\) address; received "file/);
});

test.serial('wrong options are refused by name', async (t) => {
  using cache = new Cache();
  const model = modelAt('http://127.0.0.1:9');
  await failure(t, cache.pull(model, { timeout: 0 }), 'ERR_ARGUMENT', /^timeout must be an integer/);
  await failure(t, cache.pull(model, { retries: -1 }), 'ERR_ARGUMENT', /^retries must be/);
  await failure(t, cache.pull(model, { cacheDir: '' }), 'ERR_ARGUMENT', /^cacheDir must be/);
  await failure(t, cache.pull(model, { offline: 1 as never }), 'ERR_ARGUMENT', /^offline must be/);
});
