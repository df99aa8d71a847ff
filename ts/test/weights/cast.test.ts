import { statSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { castData } from '../../src/weights/cast.js';
import { convertCheckpoint } from '../../src/weights/convert.js';
import { torchvisionTensors } from '../../src/weights/families/torchvision.js';
import { loadCheckpoint } from '../../src/weights/load.js';
import { writeSafetensors } from '../../src/weights/safetensors.js';
import { seededWeights } from '../../src/weights/seeded.js';
import type { CheckpointDType } from '../../src/weights/tensor-info.js';
import { failsWith, floats, readAll, sha256, slimConfig, withFolder } from './support.js';

type Target = Parameters<typeof castData>[3];

const bytesOf = ({ buffer }: Float32Array | Float64Array | Uint16Array): Uint8Array => new Uint8Array(buffer);

async function cast(data: Uint8Array, from: CheckpointDType, to: Target, chunk = data.length): Promise<Buffer> {
  const chunks = Array.from({ length: Math.ceil(data.length / chunk) }, (_, i) =>
    data.subarray(i * chunk, (i + 1) * chunk),
  );
  return readAll(castData('w', chunks, from, to));
}

const words = (bytes: Buffer): number[] => [...new Uint16Array(Uint8Array.from(bytes).buffer)];

const VALUES = Float32Array.from([
  ...[65504, 65519.99, 2 ** -14, 2 ** -24, 2 ** -25, 2 ** -25 * 1.0001, 3 * 2 ** -25, 1 + 2 ** -11, 1 + 3 * 2 ** -11],
  ...[0.1, -0.1, 6.1e-5, 5.96e-8 * 1.5, 1e-7, 123.456, -3.3e-6, 2047.5, 2049],
]);
// PyTorch 2.13: torch.tensor(values).half() and .bfloat16(), viewed as int16.
const HALVES = [
  ...[0x7bff, 0x7bff, 0x400, 0x1, 0x0, 0x1, 0x2, 0x3c00, 0x3c02],
  ...[0x2e66, 0xae66, 0x3ff, 0x1, 0x2, 0x57b7, 0x8037, 0x6800, 0x6800],
];
const BRAINS = [
  ...[0x4780, 0x4780, 0x3880, 0x3380, 0x3300, 0x3300, 0x33c0, 0x3f80, 0x3f80],
  ...[0x3dcd, 0xbdcd, 0x3880, 0x33c0, 0x33d7, 0x42f7, 0xb65d, 0x4500, 0x4500],
];

test('f16 and bf16 are rounded as PyTorch rounds them', async (t) => {
  t.deepEqual(words(await cast(bytesOf(VALUES), 'f32', 'f16')), HALVES);
  t.deepEqual(words(await cast(bytesOf(VALUES), 'f32', 'bf16')), BRAINS);
  t.deepEqual(words(await cast(bytesOf(Float64Array.from(VALUES)), 'f64', 'f16')), HALVES);
});

test('every number of 16 bits comes back from f32', async (t) => {
  const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
  for (const [dtype, exponent] of [
    ['f16', 0x7c00],
    ['bf16', 0x7f80],
  ] as const) {
    const wide = await cast(bytesOf(all), dtype, 'f32');
    const again = words(await cast(wide, 'f32', dtype));
    const isNaN = (bits: number): boolean => (bits & 0x7fff) > exponent;
    t.true(all.every((bits) => (isNaN(bits) ? isNaN(again[bits]!) : again[bits] === bits)));
    t.is(new Float32Array(Uint8Array.from(wide).buffer)[exponent], Infinity);
  }
});

test('chunks may end inside an element', async (t) => {
  for (const chunk of [1, 3, 7, 64]) {
    t.deepEqual(words(await cast(bytesOf(VALUES), 'f32', 'f16', chunk)), HALVES);
    t.deepEqual(await cast(bytesOf(Float64Array.from(VALUES)), 'f64', 'f32', chunk), Buffer.from(VALUES.buffer));
  }
});

test('numbers that are too large are refused, infinities are kept', async (t) => {
  const large = bytesOf(Float32Array.of(1, -65520));
  await failsWith(() => cast(large, 'f32', 'f16'), 'ERR_WEIGHTS', /"w" holds -65520, more than f16 can .*bf16 or f32/);
  t.deepEqual(words(await cast(large, 'f32', 'bf16')), [0x3f80, 0xc780]);
  const largest = bytesOf(Float32Array.of(3.4028234663852886e38));
  await failsWith(() => cast(largest, 'f32', 'bf16'), 'ERR_WEIGHTS', /convert to f32/);
  t.deepEqual(words(await cast(bytesOf(Float32Array.of(-Infinity, NaN)), 'f32', 'f16')), [0xfc00, 0x7e00]);
  await failsWith(() => cast(new Uint8Array(8), 'i64', 'f16'), 'ERR_DTYPE', /floating-point/);
});

test('a checkpoint is converted to another type, and keeps its own without', async (t) => {
  await withFolder(async (folder) => {
    const file = (name: string): string => path.join(folder, `${name}.safetensors`);
    await writeSafetensors(file('in'), seededWeights(torchvisionTensors(slimConfig('maskrcnn_resnet50_fpn')), 5));
    const digests = new Map<string, string>();
    for (const dtype of ['f32', 'f16', 'bf16'] as const) {
      await convertCheckpoint(file('in'), file(dtype), { dtype });
      await using loaded = await loadCheckpoint(file(dtype));
      for (const { info, read } of loaded.tensors.values()) {
        t.is(info.dtype, dtype);
        t.is(
          (await readAll(read())).length,
          info.shape.reduce((product, dim) => product * dim, dtype === 'f32' ? 4 : 2),
        );
      }
      // Back to f32: the values are those of the short type.
      await convertCheckpoint(file(dtype), file(`${dtype}-wide`), { dtype: 'f32' });
      await convertCheckpoint(file(`${dtype}-wide`), file(`${dtype}-again`), { dtype });
      const digest = async (name: string): Promise<string> => {
        await using checkpoint = await loadCheckpoint(file(name));
        return sha256(await readAll(checkpoint.tensors.get('backbone.body.conv1.weight')!.read()));
      };
      t.is(await digest(`${dtype}-again`), await digest(dtype));
      digests.set(dtype, await digest(`${dtype}-wide`));
    }
    t.is(new Set(digests.values()).size, 3);
    await convertCheckpoint(file('f16'), file('kept'));
    t.is(statSync(file('kept')).size, statSync(file('f16')).size);
    await failsWith(() => convertCheckpoint(file('in'), file('x'), { dtype: 'u8' as never }), 'ERR_ARGUMENT', /dtype/);
  });
});

test('weights that do not fit leave no file', async (t) => {
  await withFolder(async (folder) => {
    const [input, output] = [path.join(folder, 'in'), path.join(folder, 'out')];
    const tensors = seededWeights(torchvisionTensors(slimConfig('maskrcnn_resnet50_fpn')), 5);
    const name = 'backbone.body.bn1.running_var';
    const rest = tensors.filter((tensor) => tensor.name !== name);
    await writeSafetensors(input, [...rest, floats(name, [2], [1, 1e6])]);
    const convert = (): Promise<unknown> => convertCheckpoint(input, output, { dtype: 'f16' });
    await failsWith(convert, 'ERR_WEIGHTS', /"backbone\.body\.bn1\.running_var" holds 1000000/);
    t.throws(() => statSync(output), { code: 'ENOENT' });
  });
});
