// Mask R-CNN R50-FPN on a 640 x 480 image (800 x 1088 padded) with seeded weights: whole calls, pixels to masks.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load, seededWeights, writeSafetensors } from 'instaseg';
import { report, time } from './report.mjs';

const lists = JSON.parse(readFileSync(new URL('../ts/test/weights/torchvision-tensors.json', import.meta.url), 'utf8'));
const RULES = [
  ['\\.bn3\\.weight$', 0.25, 0],
  ['fpn\\.inner', 0.4, 0],
  ['rpn\\.head\\.cls_logits', 0.5, -4],
  ['rpn\\.head\\.bbox_pred', 0.15, 0],
  ['mask_predictor\\.mask_fcn_logits', 0.3, 0],
  ['cls_score', 0.4, 0, { 0: 6 }],
  ['box_predictor\\.bbox_pred', 0.45, 0],
];

function noise(width, height) {
  let state = 1;
  const data = Uint8Array.from({ length: width * height * 3 }, () => (state = (state * 48271) % 2147483647) & 255);
  return { data, width, height, channels: 3 };
}

const folder = mkdtempSync(join(tmpdir(), 'instaseg-benchmark-'));
const rows = [];
let device;
try {
  for (const model of ['maskrcnn_resnet50_fpn', 'maskrcnn_resnet50_fpn_v2']) {
    const counters = model.endsWith('v2');
    const shapes = Object.entries(lists.models[model]).filter(
      ([name]) => counters || !name.endsWith('.num_batches_tracked'),
    );
    const file = join(folder, `${model}.safetensors`);
    await writeSafetensors(file, seededWeights(new Map(shapes), 1, RULES));
    const loaded = performance.now();
    const segmenter = await load(file);
    const loadMs = performance.now() - loaded;
    device = segmenter.deviceInfo;
    const image = noise(640, 480);
    const first = await segmenter.segment(image);
    const again = await segmenter.segment(image);
    if (JSON.stringify(first) !== JSON.stringify(again)) throw new Error('two runs differ');
    const { min, median } = await time(() => segmenter.segment(image), { warmUp: 0, runs: 5 });
    rows.push({
      model,
      detections: first.instances.length,
      'load ms': Math.round(loadMs),
      'min ms': Math.round(min),
      'median ms': Math.round(median),
      'peak RSS MiB': Math.round(process.resourceUsage().maxRSS / 1024),
    });
    await segmenter.dispose();
  }
} finally {
  rmSync(folder, { recursive: true });
}
report('Mask R-CNN, 640 x 480', device, rows);
