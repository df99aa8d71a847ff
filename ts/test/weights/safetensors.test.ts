import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { openCheckpoint } from '../../src/weights/checkpoint.js';
import { writeSafetensors } from '../../src/weights/safetensors.js';
import { CHUNK_BYTES } from '../../src/weights/source-file.js';
import { failsWith, floats, readAll, withFile, withFolder } from './support.js';

/** A file with this header, given as text or as the object, and so many zero bytes of data. */
function safetensors(header: object | string, dataBytes: number): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
}

const f32 = (shape: unknown, begin: unknown, end: unknown): object => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
});

test('what is written is read back', async (t) => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'x.safetensors');
    const half = { name: 'half', dtype: 'f16', shape: [3], read: () => [Buffer.from('000102030405', 'hex')] } as const;
    const tensors = [half, floats('b', [2, 2], [1, 2, 3, 4]), floats('a', [], [5]), floats('12', [0, 3], [])];
    const bytes = await writeSafetensors(file, tensors, { author: 'jürgen', format: 'pt' });
    t.is(bytes, readFileSync(file).length);
    const checkpoint = await openCheckpoint(file);
    t.is(checkpoint.format, 'safetensors');
    t.is(checkpoint.stateDictPrefix, '');
    t.deepEqual(checkpoint.metadata, { author: 'jürgen', format: 'pt' });
    t.deepEqual([...checkpoint.tensors.keys()].sort(), ['12', 'a', 'b', 'half']);
    t.deepEqual(await readAll(checkpoint.read('b')), Buffer.from(new Float32Array([1, 2, 3, 4]).buffer));
    t.deepEqual(await readAll(checkpoint.read('half')), Buffer.from('000102030405', 'hex'));
    t.is((await readAll(checkpoint.read('12'))).length, 0);
    await checkpoint.close();
    t.deepEqual(readdirSync(folder), ['x.safetensors']);
  });
});

test('the header is aligned, sorted, and places wide elements first', async (t) => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'x.safetensors');
    const byte = { name: 'a', dtype: 'u8', shape: [1], read: () => [new Uint8Array(1)] } as const;
    await writeSafetensors(file, [floats('z', [1], [1]), byte]);
    const raw = readFileSync(file);
    const length = Number(raw.readBigUInt64LE());
    t.is(length % 8, 0);
    const header = JSON.parse(raw.toString('utf8', 8, 8 + length)) as Record<string, { data_offsets: number[] }>;
    t.deepEqual(Object.keys(header), ['__metadata__', 'a', 'z']);
    t.deepEqual(header['z']?.data_offsets, [0, 4]);
    t.deepEqual(header['a']?.data_offsets, [4, 5]);
  });
});

test('a header length of any low byte is recognised', async (t) => {
  // 0x50 and 0x4b start a zip archive, 0x80 a pickle, 0x3c a web page, 0x1f 0x8b a gzip archive.
  for (const length of [0x3c, 0x80, 0x3c3c, 0x4b50, 0x8b1f]) {
    const text = JSON.stringify({ a: f32([1], 0, 4) }).padEnd(length);
    await withFile(safetensors(text, 4), async (file) => {
      const checkpoint = await openCheckpoint(file);
      t.is(checkpoint.format, 'safetensors');
      await checkpoint.close();
    });
  }
});

test('large tensors come in chunks that are not reused', async (t) => {
  const bytes = CHUNK_BYTES + 12;
  await withFile(safetensors({ a: { dtype: 'U8', shape: [bytes], data_offsets: [0, bytes] } }, bytes), async (file) => {
    const checkpoint = await openCheckpoint(file);
    const chunks: Uint8Array[] = [];
    for await (const chunk of checkpoint.read('a')) chunks.push(chunk);
    t.deepEqual(
      chunks.map((chunk) => chunk.length),
      [CHUNK_BYTES, 12],
    );
    t.not(chunks[0]?.buffer, chunks[1]?.buffer);
    await checkpoint.close();
  });
});

const broken: [string, Buffer, RegExp][] = [
  [
    'a header longer than the format allows',
    Buffer.from('0000000001000000 7b7d'.replace(' ', ''), 'hex'),
    /claims 4294967296 bytes/,
  ],
  ['a header longer than the file', Buffer.from('ff00000000000000 7b7d'.replace(' ', ''), 'hex'), /truncated/],
  ['a header that is not JSON', safetensors('{"a": ', 0), /not valid JSON/],
  ['a header that is not UTF-8', safetensors('{"a": "?"}', 0).fill(0xff, 15, 16), /not valid JSON/],
  [
    'a name that comes twice',
    safetensors(`{"a":${JSON.stringify(f32([1], 0, 4))},"\\u0061" :${JSON.stringify(f32([1], 0, 4))}}`, 4),
    /"a" twice/,
  ],
  [
    'a field that comes twice',
    safetensors('{"a":{"dtype":"F32","dtype":"F16","shape":[1],"data_offsets":[0,2]}}', 2),
    /"dtype" twice/,
  ],
  ['a tensor that is no object', safetensors({ a: 3 }, 0), /"a" is not an object/],
  ['an unknown dtype', safetensors({ a: { ...f32([1], 0, 1), dtype: 'F8_E4M3' } }, 1), /unsupported dtype "F8_E4M3"/],
  [
    'a dtype that is a property of every object',
    safetensors({ a: { ...f32([1], 0, 1), dtype: 'toString' } }, 1),
    /unsupported dtype/,
  ],
  ['a negative dimension', safetensors({ a: f32([-1], 0, 4) }, 4), /invalid shape \[-1\]/],
  ['a fractional dimension', safetensors({ a: f32([0.5], 0, 2) }, 2), /invalid shape/],
  ['a shape that overflows', safetensors({ a: f32([2 ** 40, 2 ** 40, 0], 0, 0) }, 0), /invalid shape/],
  ['a range that is not two offsets', safetensors({ a: f32([1], 0, '4') }, 4), /invalid byte range/],
  ['a range of another size than the shape', safetensors({ a: f32([2], 0, 4) }, 4), /needs 8 bytes, has 4/],
  ['overlapping tensors', safetensors({ a: f32([2], 0, 8), b: f32([1], 4, 8) }, 8), /"b" overlaps/],
  ['a hole', safetensors({ a: f32([1], 0, 4), b: f32([1], 8, 12) }, 12), /hole of 4 bytes before tensor "b"/],
  ['data that end early', safetensors({ a: f32([2], 0, 8) }, 7), /need 8 bytes, the file has 7: the file is truncated/],
  ['data after the last tensor', safetensors({ a: f32([1], 0, 4) }, 5), /1 bytes after the last tensor/],
  ['metadata that are not strings', safetensors({ __metadata__: { a: 1 } }, 0), /metadata is not a map of strings/],
];

for (const [what, bytes, message] of broken) {
  test(`${what} is refused`, async (t) => {
    await withFile(bytes, (file) => failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', message));
    t.pass();
  });
}

test('a failed write leaves the older file alone', async (t) => {
  await withFolder(async (folder) => {
    const file = path.join(folder, 'x.safetensors');
    writeFileSync(file, 'older');
    const short = { ...floats('a', [3], [1, 2]) };
    await failsWith(
      () => writeSafetensors(file, [short]),
      'ERR_ARGUMENT',
      /Expected 12 bytes for tensor "a".*received 8/,
    );
    const failing = {
      ...floats('a', [1], []),
      read: (): Iterable<Uint8Array> => {
        throw new TypeError('source');
      },
    };
    await t.throwsAsync(writeSafetensors(file, [failing]), { instanceOf: TypeError });
    const signal = AbortSignal.abort(new Error('enough'));
    await t.throwsAsync(writeSafetensors(file, [], {}, { signal }), { message: 'enough' });
    t.is(readFileSync(file, 'utf8'), 'older');
    t.deepEqual(readdirSync(folder), ['x.safetensors']);
  });
});

test('what cannot be written says so', async (t) => {
  await withFolder(async (folder) => {
    const a = floats('a', [1], [1]);
    const file = path.join(folder, 'x');
    await failsWith(() => writeSafetensors(file, [a, a]), 'ERR_ARGUMENT', /"a"/);
    await failsWith(() => writeSafetensors(file, [floats('__metadata__', [1], [1])]), 'ERR_ARGUMENT', /__metadata__/);
    await failsWith(() => writeSafetensors(path.join(folder, 'no/x'), [a]), 'ERR_FILE', /cannot be written/);
  });
  t.pass();
});
