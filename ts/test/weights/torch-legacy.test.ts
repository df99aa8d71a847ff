import { readFileSync } from 'node:fs';
import test from 'ava';
import { openCheckpoint } from '../../src/weights/checkpoint.js';
import { CHUNK_BYTES } from '../../src/weights/source-file.js';
import {
  BIG_ENDIAN,
  dict,
  keyList,
  type LegacyParts,
  legacyFile,
  pickle,
  storage,
  tensor,
  unicode,
  view,
} from './pickle-builder.js';
import { describeAll, expectedCheckpoints, failsWith, fixture, readAll, withFile } from './support.js';

test('the zip and the legacy form of a checkpoint are the same', (t) => {
  for (const name of ['views.pth', 'nested.pth', 'dtypes.pth']) {
    t.deepEqual(expectedCheckpoints[`legacy_${name}`]?.tensors, expectedCheckpoints[name]?.tensors);
  }
});

test('the state dict is found below its wrapper', async (t) => {
  const checkpoint = await openCheckpoint(fixture('legacy_nested.pth'));
  t.is(checkpoint.stateDictPrefix, 'model/');
  t.true(checkpoint.tensors.has('optimizer/state/0/momentum_buffer'));
  await checkpoint.close();
});

test('views of one storage may be read at the same time, and reading may stop early', async (t) => {
  const checkpoint = await openCheckpoint(fixture('legacy_views.pth'));
  for await (const chunk of checkpoint.read('base')) {
    t.true(chunk.length > 0);
    break;
  }
  const [row, base, slice] = await Promise.all(['row', 'base', 'slice'].map((name) => readAll(checkpoint.read(name))));
  t.deepEqual(row, base?.subarray(3 * 32, 4 * 32));
  t.is(slice?.readFloatLE(4), base?.readFloatLE(4 * (2 * 8 + 3)));
  await checkpoint.close();
});

test('the hostile file is refused by name, and so is one whose storages are cut off', async (t) => {
  const message = /: the pickle asks for posix\.system/;
  await failsWith(() => openCheckpoint(fixture('legacy_hostile.pth')), 'ERR_CHECKPOINT_UNSAFE', message);
  const bytes = readFileSync(fixture('legacy_hostile.pth'));
  await withFile(bytes.subarray(0, -20), (file) =>
    failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT_UNSAFE', message),
  );
  t.pass();
});

test('a big-endian file is refused', async (t) => {
  await failsWith(() => openCheckpoint(fixture('legacy_big_endian.pth')), 'ERR_CHECKPOINT', /was .*big-endian/);
  t.pass();
});

const two = Buffer.alloc(8, 1);
const object = pickle(dict([['w', tensor(2, 0, [2], [1])]]));
const good: LegacyParts = { object, storages: [[2, two]] };
const other = pickle(
  dict([
    ['w', tensor(2, 0, [2], [1])],
    ['v', tensor(2, 0, [2], [1], storage(2, '1'))],
  ]),
);

const forged: [string, LegacyParts, RegExp][] = [
  ['an unknown protocol', { ...good, protocol: pickle('M', 0xea, 3) }, /unknown protocol, expected 1001/],
  ['a big-endian writer', { ...good, writer: BIG_ENDIAN }, /big-endian byte order, expected little/],
  ['a writer that says nothing', { ...good, writer: pickle('}') }, /does not say its byte order/],
  ['a writer that is a list', { ...good, writer: pickle(']') }, /does not say its byte order/],
  ['a missing storage', { object: other, storages: [[2, two]] }, /storage "1" of tensor "v" is missing/],
  [
    'a storage that nothing names',
    {
      ...good,
      keys: keyList(['0', '1']),
      storages: [
        [2, two],
        [2, two],
      ],
    },
    /no tensor is in/,
  ],
  [
    'a storage listed twice',
    {
      ...good,
      keys: keyList(['0', '0']),
      storages: [
        [2, two],
        [2, two],
      ],
    },
    /"0" twice/,
  ],
  ['a key that is a number', { ...good, keys: pickle('](K', 0, 'e') }, /no tensor is in/],
  ['keys that are no list', { ...good, keys: pickle('}') }, /does not list its storages/],
  ['another number of elements', { ...good, storages: [[3, two]] }, /"0" has 3 elements, expected 2/],
  ['a negative number of elements', { ...good, storages: [[-2, two]] }, /"0" has -2 elements, expected 2/],
  [
    'a storage that is cut',
    { ...good, storages: [[2, two.subarray(1)]] },
    /ends within storage "0": the file is trunc/,
  ],
  ['no storages', { ...good, keys: keyList(['0']), storages: [] }, /ends before storage "0": the file is truncated/],
  ['bytes at the end', { ...good, storages: [[2, Buffer.alloc(9)]] }, /has 1 bytes after the last storage/],
  [
    'a tensor outside its storage',
    { ...good, object: pickle(dict([['w', tensor(2, 1, [2], [1])]])) },
    /reaches element/,
  ],
  ['an object that is a tensor', { ...good, object: pickle(tensor(2, 0, [2], [1])) }, /holds no named tensors/],
  ['an object that is cut', { object: object.subarray(0, -9), keys: Buffer.alloc(0) }, /the pickle is truncated/],
  [
    'nothing but its first number',
    { object: Buffer.alloc(0), protocol: Buffer.alloc(0), writer: Buffer.alloc(0), keys: Buffer.alloc(0) },
    /the pickle is truncated/,
  ],
  ['deep marks', { ...good, object: pickle('('.repeat(1000)) }, /deeper than 512/],
  ['a dictionary inside itself', { object: pickle('}q', 1, unicode('a'), 'h', 1, 's') }, /deeper than 64/],
];

for (const [what, parts, message] of forged) {
  test(`${what} is refused`, async (t) => {
    await withFile(legacyFile(parts), (file) => failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', message));
    t.pass();
  });
}

test('the place of damage counts from the start of the file', async (t) => {
  const bytes = legacyFile({ ...good, object: pickle('N0\xff') });
  const at = bytes.indexOf('N0\xff', 0, 'latin1') + 2;
  await withFile(bytes, (file) =>
    failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', new RegExp(`opcode 0xff \\(pickle byte ${at}\\)`)),
  );
  t.pass();
});

test('views of storages, tensors in lists and empty storages', async (t) => {
  const floats = Buffer.from(Float32Array.from({ length: 6 }, (_, i) => i).buffer);
  const bytes = legacyFile({
    object: pickle(
      dict([
        ['whole', tensor(0, 0, [6], [1], storage(6, '0', 'N'))],
        ['part', tensor(0, 1, [2], [1], storage(6, '0', view(2, 3)))],
        ['list', Buffer.concat([Buffer.from(']'), tensor(2, 0, [2], [1], storage(2, '1')), Buffer.from('a')])],
        ['none', tensor(0, 0, [0, 3], [3, 1], storage(0, '2'))],
      ]),
    ),
    storages: [
      [6, floats],
      [2, two],
      [0, Buffer.alloc(0)],
    ],
  });
  await withFile(bytes, async (file) => {
    const checkpoint = await openCheckpoint(file);
    t.deepEqual([...checkpoint.tensors.keys()], ['whole', 'part', 'none']);
    t.deepEqual(await readAll(checkpoint.read('part')), floats.subarray(12, 20));
    t.is((await readAll(checkpoint.read('none'))).length, 0);
    await checkpoint.close();
  });
});

test('large tensors come in chunks, in order or gathered; the pickle may cross windows', async (t) => {
  const [rows, columns] = [3, 700_001];
  const count = rows * columns;
  const data = Buffer.from(new Float32Array(count).map((_, i) => i).buffer);
  // Names that take more than one window of the reader, at every offset to its end.
  const names = Array.from({ length: 2000 }, (_, i) => `${'n'.repeat(i % 97)}${i}`);
  const bytes = legacyFile({
    object: pickle(
      dict([
        ...names.map((name, i) => [name, tensor(count, i, [1], [1])] as const),
        ['plain', tensor(count, 0, [rows, columns], [columns, 1])],
        ['transposed', tensor(count, 0, [columns, rows], [1, columns])],
      ]),
    ),
    storages: [[count, data]],
  });
  await withFile(bytes, async (file) => {
    const checkpoint = await openCheckpoint(file);
    t.is(checkpoint.tensors.size, names.length + 2);
    t.is((await readAll(checkpoint.read(names[1234] as string))).readFloatLE(), 1234);
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
});

test('every prefix of a file is refused without crashing', async (t) => {
  const bytes = readFileSync(fixture('legacy_dtypes.pth'));
  for (let length = 0; length < bytes.length; length += 11) {
    await withFile(bytes.subarray(0, length), (file) => failsWith(() => openCheckpoint(file), 'ERR_CHECKPOINT', /./));
  }
  t.pass();
});

test('single damaged bytes give an error of the package or a readable file', async (t) => {
  const original = readFileSync(fixture('legacy_protocol4.pth'));
  for (let at = 0; at < original.length; at += 3) {
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
  t.pass();
});
