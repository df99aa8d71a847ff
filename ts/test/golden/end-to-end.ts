/** A model's final results, free-running through the public API, against the reference. */
import type { Instance, SegmentationResult } from '../../src/models/result.js';
import type { GoldenMask, GoldenTensors, ModelFile } from './case-files.js';
import { failed } from './compare.js';
import type { StageResult } from './model-stages.js';
import { decodeMask } from './rle.js';

/** What final results may differ by, whatever algorithm computed the features. */
const BOX_PIXELS = 0.05;
export const SCORE = 1e-3;
/** Detections of closer scores may change places. */
export const ORDER_GAP = 1e-4;
/** Share of a mask's pixels that may differ, beside those that the reference found close to the threshold. */
const MASK_SHARE = 0.005;
/** Nearer than this to the place where a pasted mask changes its size, or than the box's own difference times a margin. */
const PASTE_GAP = 0.02;
const PASTE_GAP_MARGIN = 1.2;

type Corners = readonly [number, number, number, number];

interface Pair {
  readonly mine: Instance;
  readonly mask: GoldenMask;
  readonly boxDifference: number;
  readonly scoreDifference: number;
}

function corners({ box: [x, y, width, height] }: Instance): Corners {
  return [x, y, x + width, y + height];
}

function boxDifference(mine: Instance, theirs: ArrayLike<number>): number {
  return Math.max(...corners(mine).map((side, i) => Math.abs(side - theirs[i]!)));
}

/** Pairs every stored detection with the one of ours at its place, or at the place of one with nearly the same score. */
function pair(instances: readonly Instance[], file: ModelFile, tensors: GoldenTensors, image: number): Pair[] | string {
  const [boxes, scores] = [tensors.get(`boxes.${image}`)!.data, tensors.get(`scores.${image}`)!.data];
  const labels = file.labels[image]!;
  if (instances.length !== labels.length) return `there are ${instances.length} detections, expected ${labels.length}`;
  const free = new Set(instances.keys());
  const pairs: Pair[] = [];
  for (const [i, label] of labels.entries()) {
    const theirs = boxes.subarray(i * 4, i * 4 + 4);
    const candidates = [...free]
      .filter((k) => instances[k]!.classId === label && (k === i || Math.abs(scores[k]! - scores[i]!) < ORDER_GAP))
      .sort((a, b) => boxDifference(instances[a]!, theirs) - boxDifference(instances[b]!, theirs));
    const found = candidates[0];
    if (found === undefined) return `detection ${i} has class ${instances[i]!.classId}, expected ${label}`;
    free.delete(found);
    const mine = instances[found]!;
    pairs.push({
      mine,
      mask: file.masks[image]![i]!,
      boxDifference: boxDifference(mine, theirs),
      scoreDifference: Math.abs(mine.score - scores[i]!),
    });
  }
  return pairs;
}

/** Pixels that differ, and our number of pixels inside. */
export function countPixels(mine: Instance, golden: GoldenMask): { different: number; inside: number } {
  const { data } = mine.mask.toBitmap();
  const expected = decodeMask(golden);
  if (data.length !== expected.length) return { different: Infinity, inside: -1 };
  let [different, inside] = [0, 0];
  for (let i = 0; i < expected.length; i += 1) {
    different += data[i] === expected[i] ? 0 : 1;
    inside += data[i]!;
  }
  return { different, inside };
}

/** Pixels of a mask that may differ. */
export function allowedPixels({ pixels_within_1e_3: near, area }: GoldenMask): number {
  return Math.max(1, near, Math.floor(MASK_SHARE * area));
}

function compareMasks(stage: string, pairs: readonly Pair[]): StageResult {
  let worst = { different: 0, allowed: 1 };
  let loose = 0;
  let looseDifferent = 0;
  for (const { mine, mask, boxDifference: moved } of pairs) {
    const { different, inside } = countPixels(mine, mask);
    if (inside !== mine.area) return { stage, ...failed(`area is ${mine.area}, but the mask has ${inside} pixels`) };
    if ((mask.paste_gap_px ?? Infinity) < Math.max(PASTE_GAP, PASTE_GAP_MARGIN * moved)) {
      loose += 1;
      looseDifferent = Math.max(looseDifferent, different);
      continue;
    }
    const allowed = allowedPixels(mask);
    if (different / allowed >= worst.different / worst.allowed) worst = { different, allowed };
  }
  const note = `${pairs.length - loose} masks; ${loose} more on the edge of another size (${looseDifferent} pixels)`;
  const { different, allowed } = worst;
  return { stage, difference: different, allowed, ok: different <= allowed, note };
}

/** Detections, boxes, scores and masks of one image. */
export function compareResult(
  result: SegmentationResult,
  file: ModelFile,
  tensors: GoldenTensors,
  image: number,
): StageResult[] {
  const name = (what: string): string => `${what}.${image}`;
  const [height, width] = file.image_shapes[image]!;
  if (result.width !== width || result.height !== height) {
    return [{ stage: name('detections'), ...failed(`the size is ${result.width}x${result.height}`) }];
  }
  const pairs = pair(result.instances, file, tensors, image);
  if (typeof pairs === 'string') return [{ stage: name('detections'), ...failed(pairs) }];
  const largest = (values: number[]): number => Math.max(0, ...values);
  const boxes = largest(pairs.map((found) => found.boxDifference));
  const scores = largest(pairs.map((found) => found.scoreDifference));
  const moved = pairs.filter(({ mine }, i) => mine !== result.instances[i]).length;
  return [
    {
      stage: name('detections'),
      difference: 0,
      allowed: 0,
      ok: true,
      note: `${pairs.length} with the same classes${moved > 0 ? `, ${moved} of equal scores in another order` : ''}`,
    },
    { stage: name('boxes'), difference: boxes, allowed: BOX_PIXELS, ok: boxes <= BOX_PIXELS },
    { stage: name('scores'), difference: scores, allowed: SCORE, ok: scores <= SCORE },
    compareMasks(name('masks'), pairs),
  ];
}
