/** A YOLACT's final results through the public API against the reference. */
import type { Instance, SegmentationResult } from '../../src/models/result.js';
import type { GoldenTensors, YolactFile } from './case-files.js';
import { failed } from './compare.js';
import { allowedPixels, countPixels, ORDER_GAP, SCORE } from './end-to-end.js';
import type { StageResult } from './model-stages.js';

/** Boxes are truncated to integers: a coordinate this close to one may become its neighbour. */
const INTEGER_GAP = 1e-3;

interface Expected {
  /** Its number among the reference's detections. */
  readonly index: number;
  readonly label: number;
  readonly box: readonly number[];
  /** Sides in pixels before they were made integers. */
  readonly sides: readonly number[];
  readonly boxScore: number;
  readonly score: number;
}

/** The reference's detections but for those whose box is inside out or empty. */
function expectedDetections(file: YolactFile, tensors: GoldenTensors): Expected[] {
  const golden = (name: string): ArrayLike<number> => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`the case has no tensor "${name}"`);
    return tensor.data;
  };
  const rescored = tensors.has('post.mask_score');
  const [scores, boxScores] = rescored
    ? [golden('post.mask_score'), golden('post.box_score')]
    : [golden('post.score'), golden('post.score')];
  const [boxes, relative, labels] = [golden('post.box'), golden('raw.box'), golden('post.class')];
  const [height, width] = file.image_shapes[0];
  const size = [width, height, width, height].map(Math.fround);
  return file.labels
    .map((label, index) => {
      if (labels[index] !== label) throw new Error(`labels and post.class differ at ${index}`);
      const four = (values: ArrayLike<number>): number[] => [0, 1, 2, 3].map((side) => values[index * 4 + side]!);
      const [x1, y1, x2, y2] = four(relative).map((value, side) => Math.fround(value * size[side]!)) as [
        number,
        number,
        number,
        number,
      ];
      return {
        index,
        label,
        box: four(boxes),
        sides: [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)],
        boxScore: boxScores[index]!,
        score: scores[index]!,
      };
    })
    .filter(({ box: [x1, y1, x2, y2] }) => x2! > x1! && y2! > y1!);
}

function corners({ box: [x, y, width, height] }: Instance): number[] {
  return [x, y, x + width, y + height];
}

function distance(mine: Instance, { box }: Expected): number {
  return Math.max(...corners(mine).map((side, i) => Math.abs(side - box[i]!)));
}

interface Pair {
  readonly mine: Instance;
  readonly theirs: Expected;
}

/** Pairs every expected detection with ours at its place, or at the place of one with nearly the same class score. */
function pair(instances: readonly Instance[], expected: readonly Expected[], categoryOf: (label: number) => number) {
  if (instances.length !== expected.length) {
    return `there are ${instances.length} detections, expected ${expected.length}`;
  }
  const free = new Set(instances.keys());
  const pairs: Pair[] = [];
  for (const [i, theirs] of expected.entries()) {
    const [found] = [...free]
      .filter(
        (k) =>
          instances[k]!.classId === categoryOf(theirs.label) &&
          (k === i || Math.abs(expected[k]!.boxScore - theirs.boxScore) < ORDER_GAP),
      )
      .sort((a, b) => distance(instances[a]!, theirs) - distance(instances[b]!, theirs));
    if (found === undefined) {
      return `detection ${i} has class ${instances[i]!.classId}, expected ${categoryOf(theirs.label)}`;
    }
    free.delete(found);
    pairs.push({ mine: instances[found]!, theirs });
  }
  return pairs;
}

/** Integer boxes are equal but where the coordinate was next to an integer. */
function compareBoxes(pairs: readonly Pair[]): StageResult {
  const stage = 'boxes';
  let worst = 0;
  let close = 0;
  for (const { mine, theirs } of pairs) {
    for (const [i, side] of corners(mine).entries()) {
      const difference = Math.abs(side - theirs.box[i]!);
      const near = Math.abs(theirs.sides[i]! - Math.round(theirs.sides[i]!)) < INTEGER_GAP;
      if (near && difference === 1) close += 1;
      else worst = Math.max(worst, difference);
    }
  }
  const note = close > 0 ? { note: `${close} coordinates next to an integer are another one` } : {};
  return { stage, difference: worst, allowed: 0, ok: worst === 0, ...note };
}

function compareMasks(file: YolactFile, pairs: readonly Pair[]): StageResult {
  const stage = 'masks';
  let worst = { different: 0, allowed: 1 };
  for (const { mine, theirs } of pairs) {
    const mask = file.masks[theirs.index]!;
    const { different, inside } = countPixels(mine, mask);
    if (inside !== mine.area) return { stage, ...failed(`area is ${mine.area}, but the mask has ${inside} pixels`) };
    const allowed = allowedPixels(mask);
    if (different / allowed >= worst.different / worst.allowed) worst = { different, allowed };
  }
  const { different, allowed } = worst;
  return { stage, difference: different, allowed, ok: different <= allowed, note: `${pairs.length} masks` };
}

/** Detections, boxes, both scores and masks. */
export function compareYolactResult(
  result: SegmentationResult,
  file: YolactFile,
  tensors: GoldenTensors,
  /** Ours for a label of the reference, which leaves the background out. */
  categoryOf: (label: number) => number = (label) => label + 1,
): StageResult[] {
  const stage = 'detections';
  const [height, width] = file.image_shapes[0];
  if (result.width !== width || result.height !== height) {
    return [{ stage, ...failed(`the size is ${result.width}x${result.height}`) }];
  }
  const expected = expectedDetections(file, tensors);
  const pairs = pair(result.instances, expected, categoryOf);
  if (typeof pairs === 'string') return [{ stage, ...failed(pairs) }];
  const left = file.detections - expected.length;
  const moved = pairs.filter(({ mine }, i) => mine !== result.instances[i]).length;
  const note =
    `${pairs.length} with the same classes` +
    (left > 0 ? `, ${left} without a box in the image` : '') +
    (moved > 0 ? `, ${moved} of equal scores in another order` : '');
  const score = (name: string, difference: (one: Pair) => number): StageResult => {
    const worst = Math.max(0, ...pairs.map(difference));
    return { stage: name, difference: worst, allowed: SCORE, ok: worst <= SCORE };
  };
  return [
    { stage, difference: 0, allowed: 0, ok: true, note },
    compareBoxes(pairs),
    score('scores', ({ mine, theirs }) => Math.abs(mine.score - theirs.score)),
    // NaN where it is missing: that fails.
    score('box scores', ({ mine, theirs }) => Math.abs((mine.boxScore ?? NaN) - theirs.boxScore)),
    compareMasks(file, pairs),
  ];
}
