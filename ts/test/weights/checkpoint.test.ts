import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import type { InstasegError } from '../../src/runtime/errors.js';
import { openCheckpoint, stateDict } from '../../src/weights/checkpoint.js';
import { pickle } from './pickle-builder.js';
import {
  describeAll,
  expectedCheckpoints,
  failsWith,
  fixture,
  readAll,
  sha256,
  withFile,
  withFolder,
} from './support.js';

for (const [name, { format, tensors }] of Object.entries(expectedCheckpoints)) {
  test(`${name}: every tensor as its writer sees it`, async (t) => {
    const checkpoint = await openCheckpoint(fixture(name));
    t.is(`${checkpoint.format}`, format);
    t.deepEqual(checkpoint.metadata, {});
    t.is(checkpoint.bytes, readFileSync(fixture(name)).length);
    t.deepEqual(await describeAll(checkpoint), tensors);
    await checkpoint.verify();
    await checkpoint.close();
  });
}

const tar = Buffer.alloc(512);
tar.write('ustar', 257);

const foreign: [string, Buffer | string, RegExp][] = [
  ['an empty file', '', /is empty \(0 bytes\)/],
  ['an HTML page', '<!DOCTYPE html>\n<html></html>', /HTML or XML page/],
  ['an HTML page after white space', '\ufeff\n  <html>', /HTML or XML page/],
  [
    'a Git LFS pointer',
    'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 123\n',
    /LFS.* 123 bytes.*git lfs pull/,
  ],
  ['a JSON error message', '{"error": "rate limit exceeded"}', /is a text file.*error/],
  ['a pickle of an old protocol', Buffer.from('80017d2e', 'hex'), /protocol 2 to 5, not 1/],
  ['a pickle without tensors', Buffer.from('80027d71002e', 'hex'), /holds no named tensors/],
  ['a single byte of a pickle', Buffer.from([0x80]), /only 1 byte/],
  ['a gzip archive', Buffer.from('1f8b080000000000', 'hex'), /gzip/],
  ['a tar archive', tar, /tar archive/],
  ['an HDF5 file', Buffer.from('894844460d0a1a0a', 'hex'), /HDF5/],
  ['an empty zip archive', Buffer.concat([Buffer.from('PK\x05\x06'), Buffer.alloc(18)]), /empty zip/],
  ['a few bytes', Buffer.from([1, 2, 3]), /only 3 bytes/],
  ['random bytes', Buffer.from('0102030405060708090a', 'hex'), /known format \(first bytes 0102030405060708\)/],
];

for (const [what, bytes, message] of foreign) {
  test(`${what} is refused with its own message`, async (t) => {
    await withFile(bytes, (file) => failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', message));
    t.pass();
  });
}

test('files that cannot be read give ERR_FILE', async (t) => {
  await withFolder(async (folder) => {
    const missing = path.join(folder, 'missing.pth');
    await failsWith(() => openCheckpoint(missing), 'ERR_FILE', /missing\.pth: no such file/);
    mkdirSync(path.join(folder, 'directory.pth'));
    await failsWith(() => openCheckpoint(path.join(folder, 'directory.pth')), 'ERR_FILE', /is a directory/);
  });
  t.pass();
});

test('the path is checked', async (t) => {
  await failsWith(() => openCheckpoint(''), 'ERR_ARGUMENT', /Expected a file path/);
  await failsWith(() => openCheckpoint(new URL('https://example.org/x')), 'ERR_ARGUMENT', /received https:/);
  await failsWith(() => openCheckpoint(3 as unknown as string), 'ERR_ARGUMENT', /received 3/);
  // Described in a few words, however large they are.
  for (const [bytes, shown] of [
    [Buffer.alloc(1 << 28), 'Buffer(268435456)'],
    [new ArrayBuffer(8), 'an object (ArrayBuffer)'],
  ] as const) {
    const message = `Expected a file path or a file: URL for path, received ${shown}; write it to a file and pass its path`;
    const error = await t.throwsAsync(openCheckpoint(bytes as unknown as string), { message });
    t.is((error as InstasegError).code, 'ERR_ARGUMENT');
  }
  const hash = Buffer.alloc(1 << 28) as unknown as string;
  await failsWith(() => openCheckpoint('x', { sha256: hash }), 'ERR_ARGUMENT', /sha256, received Buffer\(268435456\)$/);
  const checkpoint = await openCheckpoint(pathToFileURL(fixture('views.pth')));
  t.is(checkpoint.path, fixture('views.pth'));
  await checkpoint.close();
});

test('the file has to have the SHA-256 that is asked for', async (t) => {
  const name = fixture('legacy_views.pth');
  const hash = sha256(readFileSync(name));
  for (const known of [hash, hash.toUpperCase(), hash.slice(0, 8), undefined]) {
    await (await openCheckpoint(name, { sha256: known })).close();
  }
  const wrong = `${hash.slice(0, 7)}${hash[7] === '0' ? '1' : '0'}`;
  await failsWith(
    () => openCheckpoint(name, { sha256: wrong }),
    'ERR_CHECKPOINT',
    new RegExp(`legacy_views\\.pth: has the SHA-256 ${hash}, expected ${wrong}: `),
  );
  // Before anything in it is looked at, but after the question whether it is a checkpoint at all.
  await failsWith(() => openCheckpoint(fixture('hostile.pth'), { sha256: hash }), 'ERR_CHECKPOINT', /has the SHA-256/);
  await withFile('<html>', (file) => failsWith(() => openCheckpoint(file, { sha256: hash }), 'ERR_CHECKPOINT', /HTML/));
  for (const none of ['', 'abc', `${hash}0`, 'x'.repeat(64), 12345678 as unknown as string]) {
    await failsWith(
      () => openCheckpoint(name, { sha256: none }),
      'ERR_ARGUMENT',
      /Expected 8 to 64 hexadecimal digits/,
    );
  }
  t.pass();
});

test('the state dict is found below its wrapper', async (t) => {
  const checkpoint = await openCheckpoint(fixture('nested.pth'));
  t.is(checkpoint.stateDictPrefix, 'model/');
  t.true(checkpoint.tensors.has('optimizer/state/0/momentum_buffer'));
  const own = stateDict(checkpoint);
  t.is(own.get('0.weight')?.name, 'model/0.weight');
  t.deepEqual(own.get('0.weight')?.shape, [2, 3]);
  t.false([...own.keys()].some((name) => name.includes('momentum')));
  await checkpoint.close();
});

test('an unknown tensor is an argument error', async (t) => {
  const checkpoint = await openCheckpoint(fixture('views.pth'));
  await failsWith(() => readAll(checkpoint.read('nothing')), 'ERR_ARGUMENT', /received "nothing"/);
  await checkpoint.close();
  t.pass();
});

test('what is in lists has no name, and no other wrapper than the usual ones is one', async (t) => {
  await withFile(pickle('}', 'U', 1, 'a', ']s'), (file) =>
    failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', /holds no named tensors/),
  );
  const checkpoint = await openCheckpoint(fixture('python2.pkl'));
  t.is(checkpoint.stateDictPrefix, '');
  await checkpoint.close();
});

test('reading ends with close, which may be repeated', async (t) => {
  const checkpoint = await openCheckpoint(fixture('views.pth'));
  await Promise.all([checkpoint.close(), checkpoint.close()]);
  await checkpoint[Symbol.asyncDispose]();
  await failsWith(() => readAll(checkpoint.read('base')), 'ERR_DISPOSED', /has been closed/);
  t.pass();
});

test('a checkpoint can be disposed by "await using"', async (t) => {
  let held;
  {
    await using checkpoint = await openCheckpoint(fixture('views.pth'));
    held = checkpoint;
  }
  await failsWith(() => readAll(held.read('base')), 'ERR_DISPOSED', /closed/);
  t.pass();
});

test('an aborted signal stops opening and reading with its reason', async (t) => {
  const reason = new Error('enough');
  for (const name of ['views.pth', 'deflated.pth', 'legacy_views.pth']) {
    const aborted = AbortSignal.abort(reason);
    t.is(await t.throwsAsync(openCheckpoint(fixture(name), { signal: aborted })), reason);
    const controller = new AbortController();
    const checkpoint = await openCheckpoint(fixture(name), { signal: controller.signal });
    controller.abort(reason);
    for (const view of ['base', 'row']) t.is(await t.throwsAsync(readAll(checkpoint.read(view))), reason);
    await checkpoint.close();
  }
});
