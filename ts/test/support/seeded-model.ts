/** Model files for tests: seeded weights under the checkpoint's own names. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { writeSafetensors } from '../../src/weights/safetensors.js';
import { seededWeights, type SeededRule } from '../../src/weights/seeded.js';

const LISTS = resolve(__dirname, '../../../ts/test/weights/torchvision-tensors.json');

/** Rules that keep activations in range through the network and yield some detections. */
const RULES: readonly SeededRule[] = [
  ['\\.bn3\\.weight$', 0.25, 0],
  ['fpn\\.inner', 0.4, 0],
  ['rpn\\.head\\.cls_logits', 0.5, -4],
  ['rpn\\.head\\.bbox_pred', 0.15, 0],
  ['mask_predictor\\.mask_fcn_logits', 0.3, 0],
  ['cls_score', 0.4, 0, { '0': 6 }],
  ['box_predictor\\.bbox_pred', 0.45, 0],
];

/** Runs `body` with a full-size, seeded maskrcnn_resnet50_fpn (178 MB) in a temporary folder. */
export async function withFullModel<T>(body: (file: string) => Promise<T>): Promise<T> {
  const lists = JSON.parse(readFileSync(LISTS, 'utf8')) as { models: Record<string, Record<string, number[]>> };
  const shapes = Object.entries(lists.models['maskrcnn_resnet50_fpn']!).filter(
    ([name]) => !name.endsWith('.num_batches_tracked'),
  );
  const folder = mkdtempSync(join(tmpdir(), 'instaseg-model-'));
  try {
    const file = join(folder, 'maskrcnn.safetensors');
    await writeSafetensors(file, seededWeights(new Map(shapes), 1, RULES));
    return await body(file);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
