// onnxruntime-node's side: `node worker-onnxruntime.mjs {"threads":2,"package":"/path/of/onnxruntime-node"}`. See
// workers.mjs.
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { convolution, noiseImage, toNchw } from './inputs.mjs';
import { peakMemory, uncounted } from './memory.mjs';
import { singleNode } from './onnx.mjs';
import { serve } from './workers.mjs';

const settings = JSON.parse(process.argv[2] ?? '{}');
const require = createRequire(import.meta.url);
const ort = require(settings.package ?? 'onnxruntime-node');
const manifest = require(`${settings.package ?? 'onnxruntime-node'}/package.json`);
const options = {
  intraOpNumThreads: settings.threads,
  interOpNumThreads: 1,
  executionProviders: ['cpu'],
  logSeverityLevel: 3,
};
let run;
let session;

const toTensor = ({ shape, data }) => new ort.Tensor('float32', data, shape);

async function openConvolution({ work, output }) {
  const { deformable, padding, output: shape, x, weight, bias, offset, mask } = convolution(work);
  const inputs = Object.entries({ x, ...(deformable && { offset, mask }) }).map(([name, value]) => [
    name,
    toNchw(value),
  ]);
  const [, oh, ow] = shape;
  const model = singleNode(deformable ? 'DeformConv' : 'Conv', {
    inputs: Object.fromEntries(inputs.map(([name, value]) => [name, value.shape])),
    constants: { weight, bias },
    order: deformable ? ['x', 'weight', 'offset', 'bias', 'mask'] : ['x', 'weight', 'bias'],
    attributes: {
      kernel_shape: [work.kernel, work.kernel],
      strides: [work.stride, work.stride],
      pads: [padding, padding, padding, padding],
      dilations: [1, 1],
      group: 1,
      ...(deformable && { offset_group: 1 }),
    },
    output: [shape[0], work.outputs, oh, ow],
  });
  session = await ort.InferenceSession.create(model, options);
  const feeds = Object.fromEntries(inputs.map(([name, value]) => [name, toTensor(value)]));
  const { data } = (await session.run(feeds)).output;
  // As NHWC, which is what the other side writes.
  const channels = work.outputs;
  const pixels = oh * ow;
  const nhwc = new Float32Array(data.length);
  for (let n = 0; n < shape[0]; n += 1) {
    for (let c = 0; c < channels; c += 1) {
      const from = (n * channels + c) * pixels;
      for (let p = 0; p < pixels; p += 1) nhwc[(n * pixels + p) * channels + c] = data[from + p];
    }
  }
  writeFileSync(output, new Uint8Array(nhwc.buffer));
  run = () => session.run(feeds);
}

async function openModel({ onnx, image, scale, undecided, output }) {
  session = await ort.InferenceSession.create(onnx, options);
  const { data, height, width } = noiseImage(image);
  const planes = new Float32Array(data.length);
  for (let p = 0; p < height * width; p += 1) {
    for (let c = 0; c < 3; c += 1) planes[c * height * width + p] = data[p * 3 + c] * scale;
  }
  const feeds = { image: new ort.Tensor('float32', planes, [3, height, width]) };
  const results = await session.run(feeds);
  const detections = await uncounted(() => writeResults(results, { undecided, output }));
  run = () => session.run(feeds);
  return { detections };
}

/** Detections as JSON, and their masks: 1, 0, or 2 where a pixel is too near to the threshold to say. */
function writeResults({ boxes, labels, scores, masks }, { undecided, output }) {
  const detections = Array.from(scores.data, (score, i) => ({
    label: Number(labels.data[i]),
    score,
    box: Array.from(boxes.data.subarray(4 * i, 4 * i + 4), Number),
  }));
  writeFileSync(`${output}.json`, JSON.stringify(detections));
  const bit = (value) => (Math.abs(value - 0.5) < undecided ? 2 : value > 0.5 ? 1 : 0);
  const file = openSync(`${output}.masks`, 'w');
  const pixels = masks.data.length / detections.length;
  for (let i = 0; i < detections.length; i += 1) {
    writeSync(file, Uint8Array.from(masks.data.subarray(i * pixels, (i + 1) * pixels), bit));
  }
  closeSync(file);
  return detections.length;
}

await serve(
  {
    about: () => ({ name: 'onnxruntime-node', version: manifest.version }),
    convolution: openConvolution,
    model: openModel,
    async run() {
      const started = performance.now();
      await run();
      return { ms: performance.now() - started };
    },
    async close() {
      await session?.release();
      session = undefined;
    },
    memory: () => ({ peak: peakMemory() }),
  },
  (reply) => writeSync(3, `${JSON.stringify(reply)}\n`),
);
