// instaseg and onnxruntime-node on the same convolutions, alternating in one run: `npm run bench:peers`.
//
// Both get the input in their own layout (NHWC here, NCHW there), run on the same number of threads, and keep the
// result native: ours returns a corner of it, onnxruntime's stays in its tensor. Ours copies the input at every call,
// and that is in its time. Results are compared before anything is timed.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Device, listDevices, ops, Tensor } from '../../dist/src/index.mjs';
import { singleNode } from './onnx.mjs';

const ort = await import('onnxruntime-node').catch(() => {
  console.error('onnxruntime-node is not installed: npm install --ignore-scripts --prefix benchmarks/peers');
  process.exit(1);
});

// group, height, width, channels in, channels out, kernel, stride
const CONVOLUTIONS = [
  ['3x3', 200, 272, 256, 256, 3, 1],
  ['3x3', 200, 272, 64, 64, 3, 1],
  ['3x3', 100, 136, 256, 256, 3, 1],
  ['3x3', 100, 136, 128, 128, 3, 1],
  ['3x3', 50, 68, 256, 256, 3, 1],
  ['3x3', 25, 34, 512, 512, 3, 1],
  ['3x3', 138, 138, 256, 256, 3, 1],
  ['3x3', 69, 69, 128, 128, 3, 1],
  ['3x3', 69, 69, 256, 256, 3, 1],
  ['3x3', 35, 35, 256, 256, 3, 1],
  ['1x1', 200, 272, 64, 256, 1, 1],
  ['1x1', 200, 272, 256, 64, 1, 1],
  ['1x1', 100, 136, 512, 128, 1, 1],
  ['1x1', 50, 68, 256, 1024, 1, 1],
  ['1x1', 50, 68, 1024, 256, 1, 1],
  ['1x1', 25, 34, 512, 2048, 1, 1],
  ['1x1', 69, 69, 128, 512, 1, 1],
  ['deformable', 69, 69, 128, 128, 3, 1],
  ['deformable', 35, 35, 256, 256, 3, 1],
  ['deformable', 18, 18, 512, 512, 3, 1],
  ['other', 100, 136, 256, 256, 3, 2],
  ['other', 800, 1088, 3, 64, 7, 2],
];

function noise(shape, seed, scale = 1) {
  let state = seed;
  const length = shape.reduce((product, dim) => product * dim, 1);
  const next = () => ((state = (state * 48271) % 2147483647) / 2147483647 - 0.5) * scale;
  return { shape, data: Float32Array.from({ length }, next) };
}

function toNchw({ shape: [, height, width, channels], data }) {
  const out = new Float32Array(data.length);
  for (let p = 0; p < height * width; p += 1) {
    for (let c = 0; c < channels; c += 1) out[c * height * width + p] = data[p * channels + c];
  }
  return { shape: [1, channels, height, width], data: out };
}

const device = await Device.open('cpu');
const options = { intraOpNumThreads: device.threads, interOpNumThreads: 1 };

/** Minimum and median milliseconds of both, their calls alternating. */
async function race(ours, peer) {
  const samples = [[], []];
  for (let i = 0; i < 11; i += 1) {
    for (const [k, run] of [ours, peer].entries()) {
      // onnxruntime's threads spin for a while after a call, on cores that the next call needs.
      await sleep(30);
      const start = performance.now();
      await run();
      if (i > 1) samples[k].push(performance.now() - start); // two rounds of warm-up
    }
  }
  return samples.map((list) => {
    list.sort((a, b) => a - b);
    return { min: list[0], median: list[list.length >> 1] };
  });
}

async function convolution([group, height, width, from, to, kernel, stride]) {
  const padding = (kernel - 1) / 2;
  const outHeight = Math.floor((height + 2 * padding - kernel) / stride) + 1;
  const outWidth = Math.floor((width + 2 * padding - kernel) / stride) + 1;
  const deformable = group === 'deformable';
  const input = noise([1, height, width, from], 1);
  const weight = noise([to, from, kernel, kernel], 2);
  const inputs = [input];
  if (deformable) inputs.push(noise([1, outHeight, outWidth, 18], 3, 4), noise([1, outHeight, outWidth, 9], 4));
  const tensors = inputs.map(({ shape, data }) => Tensor.from(data, shape));
  const weightTensor = Tensor.from(weight.data, weight.shape);
  const build = (x, offset, mask) =>
    deformable
      ? ops.deformConv2d(x, weightTensor, offset, { mask, stride, padding })
      : ops.conv2d(x, weightTensor, { stride, padding });
  const specs = tensors.map(({ shape }) => ({ dtype: 'f32', shape }));
  const whole = await device.compile(specs, build);
  const plan = await device.compile(specs, (...symbols) =>
    ops.slice(build(...symbols), { begin: [0, 0, 0, 0], size: [1, 1, 1, to] }),
  );

  const names = deformable ? ['x', 'offset', 'mask'] : ['x'];
  const feeds = Object.fromEntries(
    inputs.map(toNchw).map(({ shape, data }, i) => [names[i], new ort.Tensor('float32', data, shape)]),
  );
  const shapes = Object.fromEntries(Object.entries(feeds).map(([name, { dims }]) => [name, dims]));
  const bias = { shape: [to], data: new Float32Array(to) };
  const model = singleNode(deformable ? 'DeformConv' : 'Conv', {
    inputs: shapes,
    constants: { weight, ...(deformable && { bias }) },
    order: deformable ? ['x', 'weight', 'offset', 'bias', 'mask'] : ['x', 'weight'],
    attributes: {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      pads: [padding, padding, padding, padding],
      dilations: [1, 1],
      group: 1,
      ...(deformable && { offset_group: 1 }),
    },
    output: [1, to, outHeight, outWidth],
  });
  const session = await ort.InferenceSession.create(model, options);

  const expected = (await session.run(feeds)).output.data;
  const actual = toNchw(await whole.run(tensors)).data;
  const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  let difference = 0;
  for (let i = 0; i < expected.length; i += 1) difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
  if (!(difference <= 1e-4 * scale)) throw new Error(`results differ by ${difference / scale} of the largest value`);
  whole.dispose();

  const [ours, peer] = await race(
    () => plan.run(tensors),
    () => session.run(feeds),
  );
  const flops = 2 * outHeight * outWidth * to * from * kernel * kernel;
  plan.dispose();
  await session.release();
  return {
    work: group,
    shape: `${kernel}x${kernel}/${stride} ${from}-${to} ${height}x${width}`,
    ours: Number(ours.min.toFixed(2)),
    peer: Number(peer.min.toFixed(2)),
    ratio: Number((peer.min / ours.min).toFixed(2)),
    ratioOfMedians: Number((peer.median / ours.median).toFixed(2)),
    gflops: Math.round(flops / ours.min / 1e6),
    peerGflops: Math.round(flops / peer.min / 1e6),
  };
}

const rows = [];
for (const shape of CONVOLUTIONS) {
  rows.push(await convolution(shape));
  console.error(rows.at(-1).work, rows.at(-1).shape, rows.at(-1).ratio);
}
const geometricMean = (list) => Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length);
const summary = Object.fromEntries(
  ['3x3', '1x1', 'deformable', 'other'].map((work) => [
    work,
    Number(geometricMean(rows.filter((row) => row.work === work).map((row) => row.ratio)).toFixed(2)),
  ]),
);
const report = {
  title: 'instaseg against onnxruntime-node, milliseconds (minimum of 9), ratio above 1: instaseg is faster',
  date: new Date().toISOString().slice(0, 10),
  commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
  cpu: cpus()[0]?.model,
  threads: device.threads,
  isa: device.isa,
  // onnxruntime takes the highest instruction set that the processor has.
  processorHas: listDevices()[0].isa,
  node: process.version,
  summary,
  rows,
};
console.table(rows);
console.log('geometric means of the ratios', summary);
const json = process.argv.indexOf('--json');
if (json > 0) writeFileSync(process.argv[json + 1], `${JSON.stringify(report, null, 1)}\n`);
await device.dispose();
