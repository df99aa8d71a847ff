// Convolutions of Mask R-CNN R50-FPN at 800 x 1088, every variant of this machine, f32.
import { Device, listKernels, ops, Tensor } from 'instaseg';
import { report, time } from './report.mjs';

const SHAPES = [
  // height, width, channels in, channels out, kernel, stride
  [200, 272, 256, 256, 3, 1],
  [100, 136, 256, 256, 3, 1],
  [25, 34, 256, 256, 3, 1],
  [69, 69, 128, 128, 3, 1],
  [200, 272, 64, 256, 1, 1],
  [200, 272, 256, 64, 1, 1],
  [25, 34, 1024, 2048, 1, 1],
  [100, 136, 256, 256, 3, 2],
  [800, 1088, 3, 64, 7, 2],
];

const variants = [...new Set(listKernels().flatMap((row) => (row.op === 'conv2d' ? [row.variant] : [])))].filter(
  (variant) => variant !== 'reference',
);

function noise(shape, seed) {
  let state = seed;
  const length = shape.reduce((product, dim) => product * dim, 1);
  const data = Float32Array.from({ length }, () => (state = (state * 48271) % 2147483647) / 2147483647 - 0.5);
  return Tensor.from(data, shape);
}

const rows = [];
let first;
for (const [height, width, from, to, kernel, stride] of SHAPES) {
  const input = noise([1, height, width, from], 1);
  const weight = noise([to, from, kernel, kernel], 2);
  let expected;
  for (const variant of variants) {
    const device = await Device.open('cpu', { variant });
    first ??= { threads: device.threads, isa: device.isa };
    const plan = await device.compile([{ dtype: 'f32', shape: input.shape }], (x) => {
      const y = ops.conv2d(x, weight, { stride, padding: (kernel - 1) / 2 });
      // The whole output would be copied to JavaScript: time the convolution, return a corner of it.
      return ops.slice(y, { begin: [0, 0, 0, 0], size: [1, 4, 4, to] });
    });
    const step = plan.steps[0];
    const { data } = await plan.run([input]);
    expected ??= data;
    const scale = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (data.some((value, i) => !(Math.abs(value - expected[i]) <= 1e-4 * scale))) {
      throw new Error(`${variant} differs at ${[height, width, from, to, kernel, stride]}`);
    }
    const samples = [];
    await time(
      async () => {
        await plan.run([input], { profile: true });
        samples.push(plan.steps[0].milliseconds);
      },
      { runs: 7 },
    );
    samples.sort((a, b) => a - b);
    rows.push({
      shape: `${kernel}x${kernel}/${stride} ${from}-${to} ${height}x${width}`,
      asked: variant,
      ran: step.variant,
      'min ms': Number(samples[0].toFixed(2)),
      'GFLOP/s': Math.round(step.flops / samples[0] / 1e6),
    });
    plan.dispose();
    await device.dispose();
  }
}
report('conv2d', first, rows);
