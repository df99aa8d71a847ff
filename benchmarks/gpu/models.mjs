// Whole models on a GPU, seeded weights: `node benchmarks/gpu/models.mjs --device cuda:0 --weights DIR --json out.json`.
//
// A call goes from RGB bytes in host memory to masks in host memory, on the wall clock; `gpu` is the part that the
// kernels take, from CUDA events. torch_models.py runs PyTorch on the weights that this writes into DIR, and compares.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { load, seededWeights, writeSafetensors } from '../../dist/src/index.mjs';
import { source } from './inputs.mjs';

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda:0' },
    weights: { type: 'string', default: 'build-gpu/weights' },
    json: { type: 'string' },
    runs: { type: 'string', default: '50' },
  },
});
const RUNS = Number(options.runs);

// Factors that keep a network with random weights alive: detections of all sizes, no exploding activations.
const MODELS = [
  {
    name: 'maskrcnn_resnet50_fpn',
    list: 'torchvision-tensors.json',
    image: [800, 1333],
    rules: [
      ['\\.bn3\\.weight$', 0.25, 0],
      ['fpn\\.inner', 0.4, 0],
      ['rpn\\.head\\.cls_logits', 0.5, -4],
      ['rpn\\.head\\.bbox_pred', 0.15, 0],
      ['mask_predictor\\.mask_fcn_logits', 0.3, 0],
      ['cls_score', 0.4, 0, { 0: 6 }],
      ['box_predictor\\.bbox_pred', 0.45, 0],
    ],
  },
  {
    name: 'yolact_plus_resnet50',
    list: 'yolact-tensors.json',
    image: [550, 550],
    rules: [
      ['\\.bn3\\.weight$', 0.25, 0],
      ['fpn\\.lat_layers', 0.4, 0],
      ['conv_offset_mask', 0.25, 0],
      ['bbox_layer', 0.5, 0],
      ['mask_layer', 0.3, 0],
      ['proto_net\\.10', 0.3, 0],
      ['conf_layer', 0.92, 0, { 0: 19.5 }],
    ],
  },
];

const median = (samples) => [...samples].sort((a, b) => a - b)[samples.length >> 1];

function noiseImage([height, width]) {
  const next = source(1);
  const data = Uint8Array.from({ length: width * height * 3 }, () => next() * 256);
  return { data, width, height, channels: 3 };
}

mkdirSync(options.weights, { recursive: true });
const rows = [];
for (const { name, list, image: size, rules } of MODELS) {
  const { models } = JSON.parse(readFileSync(new URL(`../../ts/test/weights/${list}`, import.meta.url), 'utf8'));
  const shapes = Object.entries(models[name]).filter(([key]) => !key.endsWith('.num_batches_tracked'));
  const file = join(options.weights, `${name}.safetensors`);
  await writeSafetensors(file, seededWeights(new Map(shapes), 1, rules));
  const image = noiseImage(size);
  writeFileSync(join(options.weights, `${name}.rgb`), image.data);
  for (const precision of ['f32', 'tf32', 'f16', 'bf16']) {
    const model = await load(file, { device: options.device, precision });
    const samples = [];
    let result;
    for (let i = 0; i < RUNS + 5; i += 1) {
      const started = performance.now();
      result = await model.segment(image);
      if (i >= 5) samples.push(performance.now() - started);
    }
    rows.push({
      model: name,
      precision,
      image: size,
      medianMs: median(samples),
      minMs: Math.min(...samples),
      detections: result.instances.map(({ classId, score, box }) => ({ classId, score, box })),
      memory: model.memoryStats(),
    });
    console.log(`${name} ${precision}: ${median(samples).toFixed(3)} ms, ${result.instances.length} detections`);
    await model.dispose();
  }
}
if (options.json) writeFileSync(options.json, JSON.stringify({ runs: RUNS, rows }, null, 1));
