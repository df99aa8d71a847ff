import { readFileSync } from 'node:fs';
import { crc32, deflateRawSync } from 'node:zlib';
import test from 'ava';
import { openCheckpoint } from '../../src/weights/checkpoint.js';
import { CHUNK_BYTES } from '../../src/weights/source-file.js';
import { pickle, tensor, unicode } from './pickle-builder.js';
import { describeAll, failsWith, fixture, type ForgedEntry, forgeZip, readAll, withFile } from './support.js';

test('views of one storage may be read at the same time', async (t) => {
  for (const name of ['views.pth', 'deflated.pth']) {
    const checkpoint = await openCheckpoint(fixture(name));
    const [row, base, slice] = await Promise.all(
      ['row', 'base', 'slice'].map((view) => readAll(checkpoint.read(view))),
    );
    t.deepEqual(row, base?.subarray(3 * 32, 4 * 32));
    t.is(slice?.readFloatLE(4), base?.readFloatLE(4 * (2 * 8 + 3)));
    await checkpoint.close();
  }
});

test('a reader may stop early', async (t) => {
  for (const name of ['views.pth', 'deflated.pth']) {
    const checkpoint = await openCheckpoint(fixture(name));
    for await (const chunk of checkpoint.read('base')) {
      t.true(chunk.length > 0);
      break;
    }
    t.is((await readAll(checkpoint.read('base'))).length, 192);
    await checkpoint.close();
  }
});

test('the hostile file is refused by name', async (t) => {
  await failsWith(
    () => openCheckpoint(fixture('hostile.pth')),
    'ERR_CHECKPOINT_UNSAFE',
    /hostile\.pth: .*posix\.system/,
  );
  t.pass();
});

test('a big-endian file is refused', async (t) => {
  await failsWith(() => openCheckpoint(fixture('big_endian.pth')), 'ERR_CHECKPOINT', /big-endian/);
  t.pass();
});

/** A fixture with its bytes changed. */
const changed = (name: string, change: (bytes: Buffer) => Buffer): Buffer => change(readFileSync(fixture(name)));

/** Start of the data of the zip entry whose local header names it. */
const dataStart = (bytes: Buffer, entry: string): number =>
  bytes.indexOf(`archive/${entry}`) + `archive/${entry}`.length;

function flip(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] as number) ^ 0x40;
  return bytes;
}

/** Replaces text of the same length everywhere, checksums aside. */
const replace = (bytes: Buffer, from: string, to: string): Buffer =>
  Buffer.from(bytes.toString('latin1').replaceAll(from, to), 'latin1');

test('a flipped bit in a storage is found, whole or in part', async (t) => {
  const bytes = changed('views.pth', (data) => flip(data, dataStart(data, 'data/0') + 50));
  await withFile(bytes, async (file) => {
    const checkpoint = await openCheckpoint(file);
    for (const view of ['base', 'row', 'slice']) {
      await failsWith(() => readAll(checkpoint.read(view)), 'ERR_CHECKPOINT', /checksum of archive\/data\/0 is wrong/);
    }
    t.is((await readAll(checkpoint.read('scalar'))).readFloatLE(), 1.25);
    await checkpoint.close();
  });
});

test('no damaged byte of a small tensor is handed out', async (t) => {
  const bytes = changed('views.pth', (data) => flip(data, dataStart(data, 'data/0')));
  await withFile(bytes, async (file) => {
    const checkpoint = await openCheckpoint(file);
    let received = 0;
    await t.throwsAsync(async () => {
      for await (const chunk of checkpoint.read('base')) received += chunk.length;
    });
    t.is(received, 0);
    await checkpoint.close();
  });
});

test('damage inside a deflated entry is an error of the checkpoint', async (t) => {
  const start = (data: Buffer): number => dataStart(data, 'data.pkl');
  for (const offset of [0, 5, 20]) {
    const bytes = changed('deflated.pth', (data) => flip(data, start(data) + offset));
    await withFile(bytes, (file) =>
      failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', /damaged|checksum|unpacks/),
    );
  }
  t.pass();
});

test('a flipped bit in the pickle is found before it is read', async (t) => {
  const bytes = changed('views.pth', (data) => flip(data, dataStart(data, 'data.pkl') + 60));
  await withFile(bytes, (file) =>
    failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', /checksum of archive\/data\.pkl/),
  );
  t.pass();
});

const damaged: [string, Buffer, RegExp][] = [
  ['a file that is cut', changed('views.pth', (data) => data.subarray(0, 1500)), /damaged or truncated zip archive/],
  [
    'an archive without data.pkl',
    changed('views.pth', (data) => replace(data, 'data.pkl', 'data.txt')),
    /without data\.pkl/,
  ],
  [
    'a missing storage',
    changed('views.pth', (data) => replace(data, 'archive/data/1', 'archive/date/1')),
    /storage "1" of tensor "scalar" is missing/,
  ],
];

const pkl = { name: 'a/data.pkl', data: Buffer.from('80027d2e', 'hex') }; // {}

const forged: [string, ForgedEntry[], RegExp][] = [
  ['a TorchScript program', [pkl, { name: 'a/constants.pkl', data: pkl.data }], /is a TorchScript program/],
  ['two checkpoints', [pkl, { ...pkl, name: 'b/data.pkl' }], /holds 2 checkpoints/],
  ['two entries of one name', [pkl, pkl], /has a\/data\.pkl twice/],
  ['an encrypted entry', [{ ...pkl, data: Buffer.alloc(16), flags: 1, size: 4 }], /is encrypted/],
  ['an unknown compression', [{ ...pkl, method: 14 }], /unsupported compression 14/],
  ['an entry that is not deflated as it claims', [{ ...pkl, method: 8 }], /damaged or truncated zip archive/],
  ['an entry that unpacks to more than it states', [deflated(Buffer.alloc(1 << 20), 4)], /unpacks to more/],
  ['an entry that unpacks to less than it states', [deflated(Buffer.alloc(4), 8)], /unpacks to less/],
  ['a huge pickle', [{ ...pkl, method: 8, size: 0x7fffffff }], /has 2147483647 bytes, the limit is/],
  ['entries that overlap', [{ ...pkl, method: 8, packed: 300 }], /entries of the zip archive overlap/],
  ['a path that leaves the archive', [{ ...pkl, name: '../data.pkl' }], /invalid relative path/],
  ['bytes after the pickle', [{ ...pkl, data: Buffer.concat([pkl.data, pkl.data]) }], /bytes after the end/],
  ['a file without tensors', [pkl], /holds no named tensors/],
  ['a pickle that is no dictionary', [{ ...pkl, data: Buffer.from('80025d2e', 'hex') }], /holds no named tensors/],
  // d = {}; 30 times d = {'a': d, 'b': d}: a kilobyte that stands for 2^30 dictionaries
  ['shared dictionaries without end', [{ ...pkl, data: sharedDictionaries(30) }], /holds more than \d+ values/],
  ['deeply nested dictionaries', [{ ...pkl, data: sharedDictionaries(100) }], /deeper than 64 levels|more than/],
  [
    'a dictionary inside itself',
    [{ ...pkl, data: Buffer.from('80027d7101550161680173 2e'.replace(' ', ''), 'hex') }],
    /deeper than 64/,
  ],
];

function deflated(data: Buffer, size: number): ForgedEntry {
  return { name: 'a/data.pkl', data: deflateRawSync(data), method: 8, size };
}

function sharedDictionaries(depth: number): Buffer {
  const char = (code: number): string => String.fromCharCode(code);
  // EMPTY_DICT, BINPUT 0; then EMPTY_DICT 'a' BINGET SETITEM 'b' BINGET SETITEM BINPUT
  const levels = Array.from({ length: depth }, (_, i) => `}U\x01ah${char(i)}sU\x01bh${char(i)}sq${char(i + 1)}`);
  return Buffer.from(`\x80\x02}q\0${levels.join('')}.`, 'latin1');
}

for (const [what, entries, message] of forged) {
  test(`${what} is refused`, async (t) => {
    await withFile(forgeZip(entries), (file) => failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', message));
    t.pass();
  });
}

for (const [what, bytes, message] of damaged) {
  test(`${what} is refused`, async (t) => {
    await withFile(bytes, (file) => failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', message));
    t.pass();
  });
}

test('large tensors come in chunks, stored, deflated or gathered', async (t) => {
  const [rows, columns] = [3, 700_001];
  const count = rows * columns;
  const data = Buffer.from(new Float32Array(count).map((_, i) => i).buffer);
  const tensors = pickle(
    '}(',
    ...[unicode('plain'), tensor(count, 0, [rows, columns], [columns, 1])],
    ...[unicode('transposed'), tensor(count, 0, [columns, rows], [1, columns])],
    'u',
  );
  const storages = [
    { name: 'a/data/0', data },
    { name: 'a/data/0', data: deflateRawSync(data), method: 8, size: data.length, checksum: crc32(data) },
  ];
  for (const storage of storages) {
    await withFile(forgeZip([{ name: 'a/data.pkl', data: tensors }, storage]), async (file) => {
      const checkpoint = await openCheckpoint(file);
      for (const name of ['plain', 'transposed']) {
        const chunks: Uint8Array[] = [];
        for await (const chunk of checkpoint.read(name)) chunks.push(chunk);
        t.true(chunks.length > 1 && chunks.every(({ length }) => length <= CHUNK_BYTES));
        const values = new Float32Array(Uint8Array.from(Buffer.concat(chunks)).buffer);
        t.is(values.length, count);
        const wanted = (i: number): number => (name === 'plain' ? i : (i % rows) * columns + Math.floor(i / rows));
        t.true(values.every((value, i) => value === wanted(i)));
      }
      await checkpoint.close();
    });
  }
});

test('a tensor that is far larger than its storage is streamed', async (t) => {
  // One float seen 2^40 times: reading it has to start at once, whatever comes of it.
  const huge = pickle('}', unicode('w'), tensor(1, 0, [2 ** 20, 2 ** 20], [0, 0]), 's');
  const bytes = forgeZip([
    { name: 'a/data.pkl', data: huge },
    { name: 'a/data/0', data: Buffer.alloc(4, 1) },
  ]);
  await withFile(bytes, async (file) => {
    const checkpoint = await openCheckpoint(file);
    for await (const chunk of checkpoint.read('w')) {
      t.is(chunk.length, CHUNK_BYTES);
      break;
    }
    await checkpoint.close();
  });
});

test('every checksum is checked on demand, also of what is in no tensor', async (t) => {
  const entries = [
    { name: 'a/data.pkl', data: pickle('}', unicode('w'), tensor(1, 0, [1], [1]), 's') },
    { name: 'a/data/0', data: Buffer.alloc(4, 1) },
    { name: 'a/other', data: Buffer.alloc(9), checksum: 7 },
  ];
  await withFile(forgeZip(entries), async (file) => {
    const checkpoint = await openCheckpoint(file);
    t.is((await readAll(checkpoint.read('w'))).length, 4);
    await failsWith(() => checkpoint.verify(), 'ERR_CHECKPOINT', /checksum of a\/other is wrong/);
    await checkpoint.close();
  });
  await withFile(forgeZip(entries.slice(0, 2)), async (file) => {
    const checkpoint = await openCheckpoint(file);
    await checkpoint.verify();
    await checkpoint.close();
  });
});

test('every prefix of a file is refused without crashing', async (t) => {
  const bytes = readFileSync(fixture('as_written.pth'));
  for (let length = 0; length < bytes.length; length += 37) {
    await withFile(bytes.subarray(0, length), (file) => failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', /./));
  }
  t.pass();
});

test('single damaged bytes give an error of the package or a readable file', async (t) => {
  const original = readFileSync(fixture('deflated.pth'));
  for (let at = 0; at < original.length; at += 5) {
    await withFile(flip(Buffer.from(original), at), async (file) => {
      try {
        const checkpoint = await openCheckpoint(file);
        await describeAll(checkpoint).finally(() => checkpoint.close());
      } catch (error) {
        t.regex((error as { code?: string }).code ?? String(error), /^ERR_CHECKPOINT(_UNSAFE)?$/, `byte ${at}`);
      }
    });
  }
  t.pass();
});
