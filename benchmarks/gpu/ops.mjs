// The kernels of a GPU one by one, correctness first: `node benchmarks/gpu/ops.mjs --device cuda:0 --json out.json`.
//
// Times are those of CUDA events around the op's own kernels in a profiled run, transfers left out. Hot: the same call
// again and again. Cold: after an op that reads and writes 256 MiB, so that neither inputs nor weights are in the L2
// cache. PyTorch's side (torch_ops.py) measures the same shapes.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { Device, listDevices, ops, Tensor } from '../../dist/src/index.mjs';
import { boxes, noise, shapes, source } from './inputs.mjs';

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda:0' },
    json: { type: 'string' },
    filter: { type: 'string', default: '' },
    runs: { type: 'string', default: '30' },
  },
});
const RUNS = Number(options.runs);
const FLUSH = 1 << 25; // f32 elements: 128 MiB read, 128 MiB written

// ||out - reference|| / ||reference||: f32 differs by the order of sums; TF32 keeps 10 bits of the inputs, f16 too (and
// rounds its output), bf16 7.
const ALLOWED = { f32: 1e-5, tf32: 2e-3, f16: 2e-3, bf16: 1.5e-2 };
const PRECISIONS = ['f32', 'tf32', 'f16', 'bf16'];

const median = (samples) => [...samples].sort((a, b) => a - b)[samples.length >> 1];

function relativeError(actual, expected) {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i += 1) {
    difference += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(difference / Math.max(norm, 1e-30));
}

/** One shape of one op: `record(inputs, dtype)` gives the output; `inputs` are f32 tensors. */
function cases() {
  const list = [];
  const add = (op, name, precisions, inputs, record) => list.push({ op, name, precisions, inputs, record });
  for (const { name, input, kernel, outputs, stride = 1 } of shapes.conv2d) {
    const weight = noise([outputs, input[3], kernel, kernel], 2, 0.1);
    const bias = noise([outputs], 3);
    add('conv2d', name, PRECISIONS, [noise(input, 1)], ([x]) =>
      ops.conv2d(x, weight, { bias, stride, padding: (kernel - 1) / 2, activation: 'relu' }),
    );
  }
  for (const { name, rows, inputs, outputs } of shapes.linear) {
    const weight = noise([outputs, inputs], 2, 0.1);
    const bias = noise([outputs], 3);
    add('linear', name, PRECISIONS, [noise([rows, inputs], 1)], ([x]) => ops.linear(x, weight, { bias }));
  }
  for (const { name, input, kernel, outputs } of shapes.deformConv2d) {
    const weight = noise([outputs, input[3], kernel, kernel], 2, 0.1);
    const taps = kernel * kernel;
    const inputs = [
      noise(input, 1),
      noise([...input.slice(0, 3), 2 * taps], 3, 4),
      noise([...input.slice(0, 3), taps], 4, 4),
    ];
    add('deformConv2d', name, PRECISIONS, inputs, ([x, offset, mask]) =>
      ops.deformConv2d(x, weight, offset, { mask, maskActivation: 'sigmoid', padding: (kernel - 1) / 2 }),
    );
  }
  for (const { name, boxes: count, output, image, channels } of shapes.roiAlign) {
    const levels = [4, 8, 16, 32].map((step, i) => noise([1, image[0] / step, image[1] / step, channels], 5 + i));
    const regions = boxes(count, image, 9);
    const scales = [1 / 4, 1 / 8, 1 / 16, 1 / 32];
    add('roiAlign', name, ['f32', 'f16', 'bf16'], levels, (maps) =>
      ops.roiAlign(regions, maps, { output, samplingRatio: 2, scales }),
    );
  }
  for (const { name, boxes: count, groups, iouThreshold } of shapes.nms) {
    const next = source(11);
    const group = Tensor.from(
      Int32Array.from({ length: count }, () => Math.floor(next() * groups)),
      [1, count],
    );
    add(
      'nms',
      name,
      ['f32'],
      [boxes(count, [800, 1344], 9), noise([1, count], 10)],
      ([box, score]) => ops.nms(box, score, { groups: group, iouThreshold, maxOutput: 1000 }).indices,
    );
  }
  for (const { name, boxes: count, image } of shapes.pasteMasks) {
    const sizes = Tensor.from(Int32Array.from([...image, ...image]), [1, 4]);
    const next = source(13);
    const masks = Tensor.from(
      Float32Array.from({ length: count * 28 * 28 }, () => next()),
      [1, count, 28, 28],
    );
    add(
      'pasteMasks',
      name,
      ['f32'],
      [masks, boxes(count, image, 9)],
      ([mask, box]) => ops.pasteMasks(mask, box, sizes, { threshold: 0.5 }).bits,
    );
    add(
      'pasteMasksRle',
      name,
      ['f32'],
      [masks, boxes(count, image, 9)],
      ([mask, box]) => ops.pasteMasksRle(mask, box, sizes, { threshold: 0.5 }).runs,
    );
  }
  return list.filter(({ op, name }) => `${op} ${name}`.includes(options.filter));
}

/** Compiles `record` on a device with the feature inputs in a dtype; the result is cast back to f32. */
function compile(device, { op, inputs, record }, precision, before) {
  const dtype = precision === 'tf32' ? 'f32' : precision;
  const specs = inputs.map(({ shape }) => ({ dtype: 'f32', shape }));
  if (before) specs.push({ dtype: 'f32', shape: [FLUSH] });
  return device.compile(
    specs,
    (...symbols) => {
      const flush = before ? symbols.pop() : undefined;
      // Boxes, scores, offsets and masks stay f32.
      const isFeature = (i) => op !== 'nms' && !op.startsWith('paste') && (op !== 'deformConv2d' || i === 0);
      const features = symbols.map((x, i) => (isFeature(i) ? ops.cast(x, dtype) : x));
      const flushed = flush && ops.slice(ops.relu(flush), { begin: [0], size: [1] });
      const output = record(features);
      return { output: output.dtype === 'f16' || output.dtype === 'bf16' ? ops.cast(output, 'f32') : output, flushed };
    },
    { variant: precision === 'tf32' ? 'tf32' : undefined },
  );
}

async function measure(device, found, precision, cold) {
  const plan = await compile(device, found, precision, cold);
  const inputs = cold ? [...found.inputs, Tensor.from(new Float32Array(FLUSH), [FLUSH])] : found.inputs;
  const samples = [];
  let step;
  for (let i = 0; i < RUNS + 3; i += 1) {
    await plan.run(inputs, { profile: true });
    step = plan.steps.find(({ op }) => op === found.op);
    if (i >= 3) samples.push(step.milliseconds);
  }
  plan.dispose();
  return { milliseconds: median(samples), min: Math.min(...samples), step };
}

const device = await Device.open(options.device);
const cpu = await Device.open('cpu');
const rows = [];
let failures = 0;
for (const found of cases()) {
  const reference = await compile(cpu, found, 'f32').then(async (plan) => (await plan.run(found.inputs)).output);
  for (const precision of found.precisions) {
    const plan = await compile(device, found, precision);
    const { output } = await plan.run(found.inputs);
    plan.dispose();
    const exact = reference.dtype !== 'f32';
    const error = relativeError(output.data, reference.data);
    const right = output.length === reference.length && error <= (exact ? 0 : ALLOWED[precision]);
    if (!right) failures += 1;
    const hot = await measure(device, found, precision, false);
    const cold = await measure(device, found, precision, true);
    const row = {
      op: found.op,
      name: found.name,
      precision,
      variant: hot.step.variant,
      error,
      right,
      hotMs: hot.milliseconds,
      hotMinMs: hot.min,
      coldMs: cold.milliseconds,
      gflops: hot.step.flops / hot.milliseconds / 1e6,
      gbps: hot.step.bytes / hot.milliseconds / 1e6,
    };
    rows.push(row);
    console.log(
      `${found.op.padEnd(14)} ${found.name.padEnd(38)} ${precision.padEnd(5)} ${row.variant.padEnd(14)} ` +
        `${row.hotMs.toFixed(4)} ms hot  ${row.coldMs.toFixed(4)} ms cold  error ${error.toExponential(1)}${right ? '' : '  WRONG'}`,
    );
  }
}
await device.dispose();
await cpu.dispose();
if (options.json) {
  const gpu = listDevices().find(({ name }) => name === options.device);
  writeFileSync(options.json, JSON.stringify({ gpu, runs: RUNS, rows }, null, 1));
}
process.exit(failures === 0 ? 0 : 1);
