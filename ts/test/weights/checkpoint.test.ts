import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';
import { openCheckpoint, stateDict } from '../../src/weights/checkpoint.js';
import { failsWith, fixture, readAll, withFile, withFolder } from './support.js';

const magic = Buffer.from('80028a0a6cfc9c46f9206aa850192e', 'hex');
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
  ['a legacy PyTorch file', Buffer.concat([magic, Buffer.alloc(32)]), /legacy format.*not supported yet: re-save/],
  ['a bare pickle', Buffer.from('80027d71002e', 'hex'), /bare Python pickle.*not supported yet: re-save/],
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
  const checkpoint = await openCheckpoint(pathToFileURL(fixture('views.pth')));
  t.is(checkpoint.path, fixture('views.pth'));
  await checkpoint.close();
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
  for (const name of ['views.pth', 'deflated.pth']) {
    const aborted = AbortSignal.abort(reason);
    t.is(await t.throwsAsync(openCheckpoint(fixture(name), { signal: aborted })), reason);
    const controller = new AbortController();
    const checkpoint = await openCheckpoint(fixture(name), { signal: controller.signal });
    controller.abort(reason);
    for (const view of ['base', 'row']) t.is(await t.throwsAsync(readAll(checkpoint.read(view))), reason);
    await checkpoint.close();
  }
});
