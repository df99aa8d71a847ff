// Our side: `node worker-instaseg.mjs {"threads":2,"isa":"avx2"}`. See workers.mjs.
import { closeSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { Device, load, ops, Tensor } from '../../dist/src/index.mjs';
import { convolution, noiseImage } from './inputs.mjs';
import { peakMemory, uncounted } from './memory.mjs';
import { serve } from './workers.mjs';

const settings = JSON.parse(process.argv[2] ?? '{}');
const tensor = ({ shape, data }) => Tensor.from(data, shape);
let device;
let run;
let close = async () => undefined;

async function openConvolution({ work, output }) {
  device ??= await Device.open('cpu', settings);
  const { deformable, padding, x, weight, bias, offset, mask } = convolution(work);
  const [w, b] = [tensor(weight), tensor(bias)];
  const options = { bias: b, stride: work.stride, padding };
  const build = (input, offsets, masks) =>
    deformable ? ops.deformConv2d(input, w, offsets, { ...options, mask: masks }) : ops.conv2d(input, w, options);
  const inputs = [x, ...(deformable ? [offset, mask] : [])].map(tensor);
  const whole = await device.compile([], () => build(...inputs));
  const { data } = await whole.run();
  writeFileSync(output, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  whole.dispose();
  // Inputs are constants and a corner of the result comes back: nothing large is copied, as on the other side.
  const plan = await device.compile([], () =>
    ops.slice(build(...inputs), { begin: [0, 0, 0, 0], size: [1, 1, 1, work.outputs] }),
  );
  run = () => plan.run();
  close = async () => plan.dispose();
  return { variant: plan.steps[0].variant };
}

async function openModel({ weights, image, output }) {
  const model = await load(weights, { device: 'cpu', ...settings });
  const pixels = noiseImage(image);
  const { instances } = await model.segment(pixels);
  await uncounted(() => writeResults(instances, output));
  run = () => model.segment(pixels);
  close = () => model.dispose();
  return { detections: instances.length };
}

/** Detections as JSON, and their masks: 1 and 0. */
function writeResults(instances, output) {
  const masks = openSync(`${output}.masks`, 'w');
  for (const { mask } of instances)
    writeSync(
      masks,
      mask.toBitmap().data.map((value) => (value ? 1 : 0)),
    );
  closeSync(masks);
  const detections = instances.map(({ classId, score, box: [x, y, w, h] }) => ({
    label: classId,
    score,
    box: [x, y, x + w, y + h],
  }));
  writeFileSync(`${output}.json`, JSON.stringify(detections));
}

await serve(
  {
    async about() {
      device ??= await Device.open('cpu', settings);
      const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
      return { name: 'instaseg', version, isa: device.isa, threads: device.threads };
    },
    convolution: openConvolution,
    model: openModel,
    async run() {
      const started = performance.now();
      await run();
      return { ms: performance.now() - started };
    },
    async close() {
      await close();
      close = async () => undefined;
    },
    memory: () => ({ peak: peakMemory() }),
  },
  (reply) => writeSync(3, `${JSON.stringify(reply)}\n`),
);
await close();
await device?.dispose();
