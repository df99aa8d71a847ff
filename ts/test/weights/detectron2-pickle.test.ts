import { readFileSync } from 'node:fs';
import test from 'ava';
import { openCheckpoint } from '../../src/weights/checkpoint.js';
import { CHUNK_BYTES } from '../../src/weights/source-file.js';
import { array, dict, dtype, emptyArray, global, pickle, string, tensor, u32, unicode } from './pickle-builder.js';
import { describeAll, expectedCheckpoints, failsWith, fixture, readAll, withFile } from './support.js';

test('all protocols say the same', async (t) => {
  for (const protocol of [3, 4, 5]) {
    t.deepEqual(
      expectedCheckpoints[`arrays_protocol${protocol}.pkl`]?.tensors,
      expectedCheckpoints['arrays_protocol2.pkl']?.tensors,
    );
  }
  const checkpoint = await openCheckpoint(fixture('arrays_protocol2.pkl'));
  t.is(checkpoint.stateDictPrefix, 'model/');
  t.false([...checkpoint.tensors.keys()].some((name) => name.startsWith('state/'))); // unsigned 32-bit, and text
  await checkpoint.close();
});

test('the hostile file is refused by name', async (t) => {
  await failsWith(
    () => openCheckpoint(fixture('hostile.pkl')),
    'ERR_CHECKPOINT_UNSAFE',
    /hostile\.pkl: .*posix\.system/,
  );
  t.pass();
});

test('arrays of Python objects and of big-endian numbers are refused', async (t) => {
  await failsWith(() => openCheckpoint(fixture('objects.pkl')), 'ERR_CHECKPOINT', /objects\.pkl: .*Python objects/);
  await failsWith(() => openCheckpoint(fixture('big_endian.pkl')), 'ERR_CHECKPOINT', /big_endian\.pkl: .*big-endian/);
  t.pass();
});

/** Opcodes of bytes as protocol 2 writes them. */
const encoded = (text: Buffer): Buffer =>
  Buffer.concat([
    Buffer.from(`${global('_codecs.encode')}(X`),
    u32(text.length),
    text,
    unicode('latin1'),
    Buffer.from('tR'),
  ]);

const everyByte = Buffer.from(Array.from({ length: 1024 }, (_, i) => i & 255));
const asText = Buffer.from(everyByte.toString('latin1'));

const one = (value: Buffer): Buffer => pickle(dict([['w', value]]));

test('long data that are text are decoded', async (t) => {
  const type = dtype('u1');
  const parts = dict([
    ['text', array([4, 256], type, encoded(asText))],
    ['fortran', array([256, 4], type, encoded(asText), true)],
    ['python2', array([1024], type, string(everyByte))],
    ['bytes', array([1024], type, Buffer.concat([Buffer.from('B'), u32(1024), everyByte]))],
  ]);
  await withFile(pickle(parts), async (file) => {
    const checkpoint = await openCheckpoint(file);
    for (const name of ['text', 'python2', 'bytes']) t.deepEqual(await readAll(checkpoint.read(name)), everyByte, name);
    const gathered = await readAll(checkpoint.read('fortran'));
    t.true(gathered.every((byte, i) => byte === everyByte[(i % 4) * 256 + Math.floor(i / 4)]));
    await checkpoint.close();
  });
});

const change = (at: number, byte: number): Buffer => {
  const text = Buffer.from(asText);
  text[at] = byte;
  return text;
};
const start = asText.indexOf(0xc2);

const damaged: [string, Buffer, RegExp][] = [
  ['an array without data', one(emptyArray), /array "w" has no data/],
  [
    'bytes after the pickle',
    Buffer.concat([one(array([0], dtype('u1'), string(Buffer.alloc(0)))), Buffer.alloc(3)]),
    /has 3 bytes after the end/,
  ],
  ['a tensor of PyTorch', one(tensor(2, 0, [2], [1])), /storage "0" of tensor "w" is missing: this is a part/],
  ['a pickle that is an array', pickle(array([0], dtype('u1'), string(Buffer.alloc(0)))), /holds no named tensors/],
  ['text of another length', one(array([1023], dtype('u1'), encoded(asText))), /"w" have 1024 bytes, expected 1023/],
  ['text that is far too long', one(array([700], dtype('u1'), encoded(asText))), /have 1536 bytes, expected 700/],
  ['text beyond latin-1', one(array([1024], dtype('u1'), encoded(change(start, 0xc4)))), /are not latin-1 text/],
  ['text with half a character', one(array([1024], dtype('u1'), encoded(change(start + 1, 0x41)))), /not latin-1 text/],
  ['text with a stray byte', one(array([1024], dtype('u1'), encoded(change(start - 1, 0x80)))), /not latin-1 text/],
  [
    'text that ends too early',
    one(array([1024], dtype('u1'), encoded(change(asText.length - 1, 0xc2)))),
    /not latin-1/,
  ],
  ['text of two first bytes', one(array([1024], dtype('u1'), encoded(change(start + 1, 0xc2)))), /not latin-1 text/],
  ['bytes that are cut', one(array([1024], dtype('u1'), string(everyByte))).subarray(0, 900), /pickle is truncated/],
  ['a dictionary inside itself', pickle('}q', 1, unicode('a'), 'h', 1, 's'), /deeper than 64/],
];

for (const [what, bytes, message] of damaged) {
  test(`${what} is refused`, async (t) => {
    await withFile(bytes, (file) => failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', message));
    t.pass();
  });
}

test('one text may be the data of many arrays, and is read through once', async (t) => {
  // Read through for each array it would be 160 GB, which no time limit of the tests allows.
  const arrays = 20_000;
  const text = Buffer.alloc(8 * 1024 * 1024, 'x');
  const named = Array.from({ length: arrays }, (_, i) => {
    const again = Buffer.from(`${global('_codecs.encode')}(h\x01X\x06\0\0\0latin1tR`);
    return [`w${i}`, array([text.length], dtype('u1'), again)] as const;
  });
  const bytes = pickle('X', u32(text.length), text, 'q', 1, '0', dict(named));
  await withFile(bytes, async (file) => {
    const checkpoint = await openCheckpoint(file);
    t.is(checkpoint.tensors.size, arrays);
    await checkpoint.close();
  });
});

test('large arrays come in chunks, and pairs of bytes may be split between them', async (t) => {
  const count = 5_000_001;
  const data = Buffer.alloc(count, Buffer.from([0xff, 0x00, 0x80, 0x7f, 0xc3]));
  for (const offset of [0, 1]) {
    // The text starts at an even and at an odd place.
    const parts = dict([
      ['x'.repeat(offset), unicode('')],
      ['w', array([count], dtype('u1'), encoded(Buffer.from(data.toString('latin1'))))],
    ]);
    await withFile(pickle(parts), async (file) => {
      const checkpoint = await openCheckpoint(file);
      const chunks: Uint8Array[] = [];
      for await (const chunk of checkpoint.read('w')) chunks.push(chunk);
      t.true(chunks.length > 1 && chunks.every(({ length }) => length <= CHUNK_BYTES));
      t.true(Buffer.concat(chunks).equals(data));
      await checkpoint.close();
    });
  }
});

test('every prefix of a file is refused without crashing', async (t) => {
  for (const name of ['arrays_protocol2.pkl', 'arrays_protocol5.pkl', 'python2.pkl']) {
    const bytes = readFileSync(fixture(name));
    for (let length = 0; length < bytes.length; length += 53) {
      await withFile(bytes.subarray(0, length), (file) => failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', /./));
    }
  }
  t.pass();
});

test('single damaged bytes give an error of the package or a readable file', async (t) => {
  for (const name of ['arrays_protocol2.pkl', 'arrays_protocol4.pkl']) {
    const original = readFileSync(fixture(name));
    for (let at = 0; at < original.length; at += 17) {
      const bytes = Buffer.from(original);
      bytes[at] = (bytes[at] as number) ^ 0x40;
      await withFile(bytes, async (file) => {
        try {
          const checkpoint = await openCheckpoint(file);
          await describeAll(checkpoint).finally(() => checkpoint.close());
        } catch (error) {
          t.regex((error as { code?: string }).code ?? String(error), /^ERR_CHECKPOINT(_UNSAFE)?$/, `byte ${at}`);
        }
      });
    }
  }
  t.pass();
});
