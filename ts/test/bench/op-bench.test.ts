import test from 'ava';
import { Device, InstasegError, ops, Tensor } from '../../src/index.js';
import { pickChannels, relativeError } from '../../src/bench/check.js';
import { checkCase, opCase } from '../../src/bench/op-cases.js';
import { OpBench } from '../../src/bench/op-bench.js';
import { parseShapes } from '../../src/bench/shape-file.js';

const FLUSH_BYTES = 1 << 15;
const QUICK = { samples: 3, seconds: 0.01, precision: 'f32' } as const;

async function withBench<T>(body: (bench: OpBench) => Promise<T>, variant?: string): Promise<T> {
  const device = await Device.open('cpu', { threads: 2 });
  const bench = await OpBench.open(device, FLUSH_BYTES, { ...QUICK, variant });
  try {
    return await body(bench);
  } finally {
    await bench.dispose();
    await device.dispose();
  }
}

test('relative errors: equal, different, of other sizes, with NaN', (t) => {
  t.is(relativeError([1, 2, NaN, Infinity], [1, 2, NaN, Infinity]), 0);
  t.is(relativeError([3, 4], [0, 5]), Math.sqrt(10) / 5);
  t.is(relativeError([1], [1, 2]), Infinity);
  t.is(relativeError([NaN, 1], [1, 1]), Infinity);
  t.is(relativeError([1, 1], [NaN, 1]), Infinity);
  t.is(relativeError([1], [0]), Infinity);
  t.is(relativeError([], []), 0);
});

test('channels are picked from the last axis', (t) => {
  const tensor = Tensor.from(
    Float32Array.from({ length: 12 }, (_, i) => i),
    [2, 2, 3],
  );
  t.deepEqual([...pickChannels(tensor, 3, [0, 2])], [0, 2, 3, 5, 6, 8, 9, 11]);
});

// One small case of every op that shape files can have; the arithmetic of the last is enough for a check in part.
const CASES = `
conv2d          a input=1x9x7x8 outputs=8 kernel=3 residual=1 activation=relu
conv2d          b input=1x9x7x8 outputs=16 stride=2
convTranspose2d c input=2x5x4x8 outputs=8 kernel=2 stride=2
deformConv2d    d input=1x9x7x8 outputs=8 activation=relu
linear          e input=5x12 outputs=7
roiAlign        f boxes=5 output=3 image=64x96 channels=8
nms             g boxes=40 groups=3 iou=0.5 image=64x96
fastNms         h boxes=40 valid=30 classes=3 iou=0.5
topK            i input=2x50 k=7
pasteMasks      j masks=4 side=14 image=64x96
pasteMasksRle   k masks=4 side=14 image=64x96
assembleMasks   l input=1x12x12x8 masks=3
upsampleMasks   m masks=3 side=12 image=40x30
resize          n input=1x5x6x8 size=9x11
maxPool2d       o input=1x9x8x4 kernel=3 stride=2 padding=1
softmax         p input=9x5
add             q input=1x4x5x8
preprocess      r image=20x30 resized=40x60 padded=64x64
selectCandidates s input=1x50x5 threshold=0.05 valid=9
gatherRows      t input=1x50x5 rows=20
gatherRows      u input=1x50x5 rows=50 valid=9
concat          v rows=9x5x2 columns=4
`;

test('every op is checked, and timed hot and cold', async (t) => {
  await withBench(async (bench) => {
    for (const shape of parseShapes(CASES, 'small')) {
      checkCase(shape);
      const row = await bench.measure(shape);
      t.is(row.check?.extent, 'all', shape.op);
      t.is(row.check?.against, 'scalar reference on the CPU');
      t.true(row.check!.error <= row.check!.allowed, shape.op);
      t.true(row.hot.samples === 3 && row.cold.samples === 3);
      for (const { min, median, p95 } of [row.hot, row.cold])
        t.true(0 < min && min <= median && p95 === null, shape.op);
      t.true(row.bytes > 0);
      // The work of a step on counted rows is not known.
      t.is(row.counted, shape.values.has('valid') && shape.op !== 'selectCandidates', shape.op);
      t.is(row.gflops, row.counted ? null : row.flops / row.hot.median / 1e6);
    }
  });
});

test('a large convolution is checked in some of its channels, the first and the last among them', (t) => {
  const shapes = parseShapes(
    'conv2d a input=1x100x100x64 outputs=64 kernel=3 residual=1\ndeformConv2d b input=1x100x100x64 outputs=64\n' +
      'linear c input=1000x1024 outputs=1024\nconvTranspose2d d input=100x14x14x256 outputs=256 kernel=2 stride=2',
    'large',
  );
  for (const shape of shapes) {
    const { part } = opCase(shape);
    if (shape.op === 'conv2d' || shape.op === 'deformConv2d') t.is(part, undefined, 'these are not that large');
    else {
      t.is(part?.channels[0], 0);
      t.is(part?.channels.at(-1), part!.of - 1);
      t.true(part!.channels.length < part!.of);
    }
  }
});

test('the check in part finds a wrong channel and passes right ones', async (t) => {
  await withBench(async (bench) => {
    const [shape] = parseShapes('linear a input=6x16 outputs=10', 'part');
    const whole = opCase(shape!);
    const weight = (scale: number): Tensor => Tensor.from(new Float32Array(10 * 16).fill(scale), [10, 16]);
    const some = (scale: number): Tensor => Tensor.from(new Float32Array(3 * 16).fill(scale), [3, 16]);
    const record = { record: ([x]: readonly Parameters<typeof ops.linear>[0][]) => ops.linear(x!, weight(2)) };
    const part = (scale: number) => ({
      part: {
        channels: [0, 4, 9],
        of: 10,
        inputs: whole.inputs,
        record: ([x]: readonly Parameters<typeof ops.linear>[0][]) => ops.linear(x!, some(scale)),
      },
    });
    const row = await bench.measureCase({ ...whole, ...record, ...part(2) });
    t.is(row.check?.extent, '3 of 10 output channels');
    const error = await t.throwsAsync(bench.measureCase({ ...whole, ...record, ...part(2.001) }), {
      instanceOf: InstasegError,
    });
    t.is(error.code, 'ERR_WRONG_RESULT');
    t.regex(error.message, /^linear a \(part:1\): the result differs from the scalar reference .* is not timed$/);
  });
});

test('precisions other than f32 need a CUDA device', async (t) => {
  const device = await Device.open('cpu');
  await t.throwsAsync(OpBench.open(device, FLUSH_BYTES, { ...QUICK, precision: 'bf16' }), { code: 'ERR_UNSUPPORTED' });
  await device.dispose();
});

test('the reference kernels are not compared with themselves', async (t) => {
  const [shape] = parseShapes('conv2d a input=1x9x7x8 outputs=8 kernel=3', 'reference');
  await withBench(async (bench) => {
    const { variant, check } = await bench.measure(shape!);
    t.is(variant, 'reference');
    t.regex(check!.against, /^kernel \w+ of the CPU$/);
    t.notRegex(check!.against, /reference/);
  }, 'reference');
});

test('a variant that no kernel has is refused, with those that there are', async (t) => {
  const device = await Device.open('cpu');
  const error = await t.throwsAsync(OpBench.open(device, FLUSH_BYTES, { ...QUICK, variant: 'nonsense' }), {
    code: 'ERR_ARGUMENT',
  });
  t.regex(error.message, /^variant: expected .* of cpu, one of .*baseline, .*reference.*; received "nonsense"$/);
  await device.dispose();
});

test('values that make no sense are refused before inputs are made, naming the line', (t) => {
  const cases: [line: string, message: RegExp][] = [
    ['conv2d a input=1x9x9x8 outputs=0', /^bad:1: expected an integer of at least 1 for outputs, received 0$/],
    ['conv2d a input=1x9x9x8 outputs=8 stride=0', /^bad:1: expected an integer of at least 1 for stride, received 0$/],
    ['conv2d a input=1x9x9x8 outputs=8 residual=2', /^bad:1: expected residual=0 or 1, received 2$/],
    ['conv2d a input=1x1x1x8 outputs=8 kernel=8', /^bad:1: expected an input of at least kernel=8 with padding 3$/],
    ['deformConv2d a input=1x9x9x8 outputs=8 activation=tanh', /^bad:1: expected none or relu for activation, /],
    ['fastNms a boxes=9 valid=10 classes=3 iou=0.5', /^bad:1: expected valid of at most 9, received 10$/],
    ['selectCandidates a input=1x9x1 threshold=0.5', /^bad:1: expected input=1xROWSxCLASSES /],
    ['softmax a input=5', /^bad:1: expected 2 sizes joined by x for input, received 5$/],
    ['relu a input=1x8', /^bad:1: expected one of conv2d, .*received "relu"$/],
  ];
  for (const [line, message] of cases) {
    const [shape] = parseShapes(line, 'bad');
    t.throws(() => checkCase(shape!), { code: 'ERR_ARGUMENT', message }, line);
  }
});

test('what only the op finds wrong names the line too', async (t) => {
  const [shape] = parseShapes('preprocess a image=20x30 resized=80x60 padded=64x64', 'late');
  await withBench((bench) => t.throwsAsync(bench.measure(shape!), { instanceOf: InstasegError, message: /^late:1: / }));
});
