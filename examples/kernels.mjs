// Single kernels, without any model: eager calls and a compiled plan.
//
//     node examples/kernels.mjs
import { Device, listKernels, ops, Tensor } from 'instaseg';

const device = await Device.open('cpu');
console.log(`${device.name}: ${device.threads} threads, ${device.isa}, ${listKernels().length} kernels`);

// Eager: every call records a plan of what is inside, runs it, and gives plain JavaScript memory back.
// Boxes are x1, y1, x2, y2, one row of them an image.
const boxes = Tensor.from(Float32Array.of(0, 0, 10, 10, 1, 1, 11, 11, 20, 20, 30, 30), [1, 3, 4]);
const scores = Tensor.from(Float32Array.of(0.9, 0.8, 0.7), [1, 3]);
const kept = await device.run(() => ops.nms(boxes, scores, { iouThreshold: 0.5 }));
console.log('NMS keeps', [...kept.indices.data]);

// Compiled: shapes are checked, ops fused (convolution and ReLU become one) and weights packed once, then run often.
const weights = Tensor.from(new Float32Array(16 * 3 * 3 * 3).fill(0.1), [16, 3, 3, 3]); // out, in, height, width
const plan = await device.compile([{ dtype: 'f32', shape: [1, 64, 64, 3] }], (image) =>
  ops.maxPool2d(ops.relu(ops.conv2d(image, weights, { padding: 1 })), { kernel: 2, stride: 2 }),
);
console.log('the plan runs', plan.steps.map(({ op }) => op).join(', '));
const image = Tensor.from(new Float32Array(64 * 64 * 3).fill(1), [1, 64, 64, 3]);
const output = await plan.run([image]);
console.log('output', output.shape, 'first value', output.data[0]);

plan.dispose();
await device.dispose();
