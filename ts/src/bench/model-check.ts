/** Whether two results of one image are the same up to rounding. */
import { rleIou } from '../masks/iou.js';
import type { Instance, SegmentationResult } from '../models/result.js';
import type { OpPrecision } from './check.js';

/**
 * What rounding may change, by precision: coordinates as a fraction of the image's longer side, scores, and the share of
 * detections without a partner. NMS and top-k turn differences of rounding into decisions where two candidates nearly
 * tie, so a few detections may have no partner; weights of narrow precision move everything a little.
 */
const TOLERANCES: Readonly<Record<OpPrecision, { box: number; score: number; maskIou: number; alone: number }>> = {
  f32: { box: 1e-3, score: 1e-3, maskIou: 0.98, alone: 0.02 },
  tf32: { box: 0.02, score: 0.03, maskIou: 0.9, alone: 0.1 },
  f16: { box: 0.02, score: 0.03, maskIou: 0.9, alone: 0.1 },
  bf16: { box: 0.05, score: 0.1, maskIou: 0.8, alone: 0.2 },
};

export interface ModelCheck {
  /** What computed the expected result. */
  readonly against: string;
  readonly expected: number;
  readonly found: number;
  /** Detections that have the same one on the other side. */
  readonly matched: number;
  /** Of matched detections: largest difference of a coordinate in pixels and of a score, least IoU of masks. */
  readonly boxDifference: number;
  readonly scoreDifference: number;
  readonly maskIou: number;
  readonly right: boolean;
}

const boxDifference = (a: Instance, b: Instance): number =>
  Math.max(...a.box.map((value, i) => Math.abs(value - b.box[i]!)));

export function compareResults(
  actual: SegmentationResult,
  expected: SegmentationResult,
  precision: OpPrecision,
  against: string,
): ModelCheck {
  const allowed = TOLERANCES[precision];
  const pixels = allowed.box * Math.max(expected.width, expected.height);
  const free = new Set(actual.instances);
  let [matched, worstBox, worstScore, leastIou] = [0, 0, 0, 1];
  for (const one of expected.instances) {
    const same = [...free].filter(
      (other) => other.classId === one.classId && Math.abs(other.score - one.score) <= allowed.score,
    );
    const partner = same.toSorted((a, b) => boxDifference(a, one) - boxDifference(b, one))[0];
    if (!partner || !(boxDifference(partner, one) <= pixels)) continue;
    // Two empty masks are equal; their IoU is not defined.
    const iou = partner.area + one.area === 0 ? 1 : rleIou([partner.mask.toRLE()], [one.mask.toRLE()])[0]!;
    if (!(iou >= allowed.maskIou)) continue;
    free.delete(partner);
    matched += 1;
    worstBox = Math.max(worstBox, boxDifference(partner, one));
    worstScore = Math.max(worstScore, Math.abs(partner.score - one.score));
    leastIou = Math.min(leastIou, iou);
  }
  const most = Math.max(expected.instances.length, actual.instances.length);
  return {
    against,
    expected: expected.instances.length,
    found: actual.instances.length,
    matched,
    boxDifference: worstBox,
    scoreDifference: worstScore,
    maskIou: leastIou,
    right: most - matched <= Math.ceil(allowed.alone * most),
  };
}
