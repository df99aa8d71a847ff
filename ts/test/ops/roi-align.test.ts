import test from 'ava';
import { ops, Tensor } from '../../src/index.js';
import { f32, floats, ints, randomBoxes, rejects, spoil } from '../support/boxes.js';
import { assertClose, forEachVariant, integerTensor, randomTensor, TEST_DEVICE } from '../support/ops.js';
import { assertWithinPolicy, floatTensor, numbersOf, refused } from './checks.js';

interface Options {
  readonly output: readonly [number, number];
  readonly samplingRatio: number;
  readonly aligned: boolean;
}

/** One region of one map by the definition: positions in f32, sums in f64. */
function align(
  box: ArrayLike<number>,
  map: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
  image: number,
  scale: number,
  options: Options,
): number[] {
  const [, height, width, channels] = map.shape as [number, number, number, number];
  const { output, samplingRatio, aligned } = options;
  const axis = (low: number, high: number, bins: number) => {
    const offset = aligned ? 0.5 : 0;
    const start = f32(f32(box[low]! * scale) - offset);
    const side = f32(f32(f32(box[high]! * scale) - offset) - start);
    const extent = aligned ? side : Math.max(side, 1);
    const bin = f32(extent / bins);
    const grid = samplingRatio || Math.max(Math.ceil(bin), 0);
    const at = (index: number, sample: number): number =>
      f32(f32(start + f32(index * bin)) + f32(f32((sample + 0.5) * bin) / grid));
    return { grid, at };
  };
  const [vertical, horizontal] = [axis(1, 3, output[0]), axis(0, 2, output[1])];
  const sample = (y: number, x: number, c: number): number => {
    if (!(y >= -1 && y <= height && x >= -1 && x <= width)) return 0;
    const cell = (position: number, size: number): [number, number, number] => {
      const clamped = Math.min(Math.max(position, 0), size - 1);
      const low = Math.floor(clamped);
      return [low, Math.min(low + 1, size - 1), clamped - low];
    };
    const [[y0, y1, fy], [x0, x1, fx]] = [cell(y, height), cell(x, width)];
    const at = (i: number, j: number): number => map.data[((image * height + i) * width + j) * channels + c]!;
    return (1 - fy) * ((1 - fx) * at(y0, x0) + fx * at(y0, x1)) + fy * ((1 - fx) * at(y1, x0) + fx * at(y1, x1));
  };
  const result: number[] = [];
  for (let py = 0; py < output[0]; py += 1) {
    for (let px = 0; px < output[1]; px += 1) {
      for (let c = 0; c < channels; c += 1) {
        let sum = 0;
        for (let iy = 0; iy < vertical.grid; iy += 1) {
          for (let ix = 0; ix < horizontal.grid; ix += 1) sum += sample(vertical.at(py, iy), horizontal.at(px, ix), c);
        }
        result.push(sum / Math.max(vertical.grid * horizontal.grid, 1));
      }
    }
  }
  return result;
}

const EDGES = [0, 0, 60, 48, -20, -9, 5, 4, 50, 40, 80, 90, 63, 2, 70, 9, 4, 4, 4, 4, 3.3, 3.3, 3.31, 3.32, 9, 9, 4, 3];

forEachVariant(test, 'roiAlign', 'equals the definition on one level', async (t, device) => {
  let seed = 0;
  for (const aligned of [false, true]) {
    for (const samplingRatio of [0, 2]) {
      for (const [scale, output, channels] of [
        [1, [7, 7], 5],
        [0.25, [3, 5], 8],
        [0.5, [2, 1], 19],
        [0.5, [1, 2], 72],
      ] as const) {
        seed += 1;
        const map = randomTensor(seed, [2, 24, 30, channels]);
        const boxes = Float32Array.from([...randomBoxes(seed, 7, 60, 50), ...EDGES]);
        const result = await device.run(() =>
          ops.roiAlign(Tensor.from(boxes, [2, 7, 4]), [map], { output, samplingRatio, aligned, scales: [scale] }),
        );
        t.deepEqual(result.shape, [14, ...output, channels]);
        const expected = Array.from({ length: 14 }, (_, i) =>
          align(boxes.subarray(i * 4, i * 4 + 4), map, Math.floor(i / 7), scale, { output, samplingRatio, aligned }),
        );
        assertClose(t, result.data, expected.flat(), { rtol: 1e-5, atol: 2e-5 }, `case ${seed}`);
      }
    }
  }
});

forEachVariant(test, 'roiAlign', 'is exact on small integers', async (t, device) => {
  const map = integerTensor(1, [1, 16, 16, 33], -8, 8);
  const boxes = [0, 0, 16, 16, 4, 2, 12, 10, 8, 8, 16, 16];
  const options = { output: [4, 4] as const, samplingRatio: 2, aligned: false };
  const result = await device.run(() => ops.roiAlign(floats(boxes, [1, 3, 4]), [map], { ...options, scales: [1] }));
  assertClose(
    t,
    result.data,
    [0, 1, 2].flatMap((i) => align(boxes.slice(i * 4, i * 4 + 4), map, 0, 1, options)),
  );
});

forEachVariant(test, 'roiAlign', 'takes more bins than a kernel has room to prepare', async (t, device) => {
  const map = randomTensor(11, [1, 9, 7, 4]);
  const boxes = [0.3, -2, 6.1, 9.5, 2, 2, 40, 30];
  for (const [output, samplingRatio] of [
    [[700, 1], 2],
    [[1, 2100], 0],
  ] as const) {
    const options = { output, samplingRatio, aligned: true };
    const result = await device.run(() => ops.roiAlign(floats(boxes, [1, 2, 4]), [map], { ...options, scales: [1] }));
    const expected = [0, 1].flatMap((i) => align(boxes.slice(i * 4, i * 4 + 4), map, 0, 1, options));
    assertClose(t, result.data, expected, { rtol: 1e-5, atol: 2e-5 });
  }
});

/** Maps that hold their level, so that the output tells the level. */
function levelMaps(images: number): Tensor<Float32Array>[] {
  return [64, 32, 16, 8].map((size, level) =>
    Tensor.from(new Float32Array(images * size * size).fill(level + 1), [images, size, size, 1]),
  );
}
const PYRAMID = [1 / 4, 1 / 8, 1 / 16, 1 / 32];

forEachVariant(test, 'roiAlign', 'takes the level of each box', async (t, device) => {
  const boxes = [
    [0, 0, 10, 10, 1],
    [0, 0, 111, 112, 1],
    [0, 0, 112, 112, 2],
    [0, 0, 111.9999, 112, 2], // within epsilon
    [0, 0, 224, 224, 3],
    [5, 5, 5, 5, 1],
    [0, 0, 200, 900, 3],
    [0, 0, 448, 448, 4],
    [0, 0, 5000, 5000, 4],
    [9, 9, 4, 20, 0], // negative area: none
    [0, 0, NaN, 9, 0],
  ];
  const input = floats(
    boxes.flatMap((row) => row.slice(0, 4)),
    [1, boxes.length, 4],
  );
  const run = (options = {}) =>
    device.run(() => ops.roiAlign(input, levelMaps(1), { output: 1, samplingRatio: 1, scales: PYRAMID, ...options }));
  // The centre of a huge box lies outside the map: 0. Adaptive sampling finds the part inside.
  const result = await run();
  t.deepEqual([...result.data.slice(0, 8)].concat([...result.data.slice(9)]), [1, 1, 2, 2, 3, 1, 0, 4, 0, 0]);
  t.deepEqual([...(await run({ levelRule: 'detectron2' })).data.slice(0, 5)], [1, 1, 2, 1, 3]);
  t.deepEqual([...(await run({ canonicalScale: 112 })).data.slice(0, 3)], [1, 2, 3]);
  t.deepEqual([...(await run({ minLevel: 3 })).data.slice(0, 5)], [1, 1, 1, 1, 2]);
});

forEachVariant(test, 'roiAlign', 'computes the counted rows only and keeps images apart', async (t, device) => {
  const map = randomTensor(5, [2, 12, 12, 9]);
  const boxes = randomBoxes(5, 8, 12, 8);
  const options = { output: [2, 2] as const, samplingRatio: 2, aligned: true };
  const result = await device.run(() =>
    ops.roiAlign(Tensor.from(boxes, [2, 4, 4]), [map], { ...options, scales: [1], counts: ints([1, 4]) }),
  );
  for (const row of [0, 4, 5, 6, 7]) {
    const expected = align(boxes.subarray(row * 4, row * 4 + 4), map, row < 4 ? 0 : 1, 1, options);
    assertClose(t, result.data.subarray(row * 36, row * 36 + 36), expected, { rtol: 1e-5, atol: 1e-5 });
  }
});

if (TEST_DEVICE !== 'cpu') {
  forEachVariant(test, 'roiAlign', 'keeps the dtype of f16 and bf16 features and sums in f32', async (t, device) => {
    let seed = 40;
    for (const dtype of ['f16', 'bf16'] as const) {
      for (const [samplingRatio, output, channels] of [
        [2, [7, 7], 16],
        [0, [3, 2], 5],
        [0, [2, 8], 8],
      ] as const) {
        seed += 1;
        const shape = [2, 20, 26, channels];
        const map = floatTensor(dtype, randomTensor(seed, shape).data, shape);
        const rounded = { shape, data: numbersOf(map) };
        const boxes = Float32Array.from([...randomBoxes(seed, 7, 60, 50), ...EDGES]);
        const options = { output, samplingRatio, aligned: samplingRatio === 0 };
        const result = await device.run(() =>
          ops.roiAlign(Tensor.from(boxes, [2, 7, 4]), [map], { ...options, scales: [0.5] }),
        );
        t.is(result.dtype, dtype);
        const exact = Array.from({ length: 14 }, (_, i) =>
          align(boxes.subarray(i * 4, i * 4 + 4), rounded, Math.floor(i / 7), 0.5, options),
        ).flat();
        assertWithinPolicy(t, dtype, numbersOf(result), exact, exact.map(f32), {
          per: 'tensor',
          label: `case ${seed}`,
        });
      }
    }
  });
} else {
  test('roiAlign on the CPU computes f32 features only', async (t) => {
    const map = floatTensor('f16', [1, 2, 3, 4], [1, 2, 2, 1]);
    const boxes = floats([0, 0, 1, 1], [1, 1, 4]);
    await refused(t, () => ops.roiAlign(boxes, [map], { output: 1, scales: [1] }), 'ERR_UNSUPPORTED', /roiAlign/);
  });
}

test('roiAlign takes features of one float dtype', async (t) => {
  const boxes = floats([0, 0, 1, 1], [1, 1, 4]);
  const half = floatTensor('f16', [1, 2, 3, 4], [1, 2, 2, 1]);
  const run = (...features: Tensor[]) =>
    ops.roiAlign(boxes, features, { output: 1, scales: features.map((_, i) => 0.5 ** i) });
  await refused(t, () => run(half, floats([1], [1, 1, 1, 1])), 'ERR_DTYPE', /features\[1\] must be f16/);
  await refused(t, () => run(ints([1], [1, 1, 1, 1])), 'ERR_DTYPE', /f32, f16 or bf16/);
});

forEachVariant(test, 'roiAlign', 'survives any box', async (t, device) => {
  const map = randomTensor(6, [1, 20, 20, 8]);
  for (const samplingRatio of [0, 2]) {
    const boxes = spoil(samplingRatio + 1, randomBoxes(6, 100, 80, 60), 0.3);
    const levels = [map, randomTensor(7, [1, 10, 10, 8])];
    const result = await device.run(() =>
      ops.roiAlign(Tensor.from(boxes, [1, 100, 4]), levels, { output: 3, samplingRatio, scales: [0.25, 0.125] }),
    );
    t.true(result.data.every((value) => Math.abs(value) <= 1.0001));
  }
  // A box that covers the map many times over: the average over all of it, most of it outside.
  const wide = await device.run(() =>
    ops.roiAlign(
      floats([-490, -490, 510, 510], [1, 1, 4]),
      [Tensor.from(new Float32Array(400).fill(1), [1, 20, 20, 1])],
      {
        output: 1,
        scales: [1],
      },
    ),
  );
  assertClose(t, wide.data, [21 ** 2 / 1000 ** 2], { rtol: 1e-6 });
});

forEachVariant(test, 'roiAlign', 'accepts nothing and refuses what does not fit', async (t, device) => {
  const map = randomTensor(1, [1, 4, 4, 3]);
  const none = await device.run(() => ops.roiAlign(floats([], [1, 0, 4]), [map], { output: 2, scales: [1] }));
  t.deepEqual(none.shape, [0, 2, 2, 3]);
  const boxes = floats([0, 0, 1, 1], [1, 1, 4]);
  const run =
    (features: Tensor[], options = {}) =>
    () =>
      device.run(() => ops.roiAlign(boxes, features, { output: 2, scales: [1], ...options }));
  await rejects(t, 'ERR_SHAPE', run([map, map]));
  await rejects(t, 'ERR_ARGUMENT', run([]));
  await rejects(t, 'ERR_SHAPE', run([randomTensor(1, [2, 4, 4, 3])]));
  await rejects(t, 'ERR_SHAPE', run([map, randomTensor(1, [1, 2, 2, 4])], { scales: [1, 0.5] }));
  await rejects(t, 'ERR_ARGUMENT', run([map], { output: 0 }));
  await rejects(t, 'ERR_ARGUMENT', run([map], { scales: [0] }));
  await rejects(t, 'ERR_ARGUMENT', run([map], { samplingRatio: -1 }));
});
