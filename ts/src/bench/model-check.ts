/** Whether two results of one image are the same up to rounding. */
import { rleIou } from '../masks/iou.js';
import type { Instance, SegmentationResult } from '../models/result.js';
import type { OpPrecision } from './check.js';

/**
 * What rounding may change, by precision: coordinates as a fraction of the image's longer side, scores, the masks' pixels
 * taken together (one mask of random weights may be undecided everywhere), and the share of detections without a partner. NMS and top-k turn differences of rounding into decisions where two candidates nearly
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
  /** Of matched detections: largest difference of a coordinate in pixels and of a score. */
  readonly boxDifference: number;
  readonly scoreDifference: number;
  /** All their masks together: pixels of both sides over pixels of either. */
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
  let [matched, worstBox, worstScore, both, either] = [0, 0, 0, 0, 0];
  for (const one of expected.instances) {
    const same = [...free].filter(
      (other) => other.classId === one.classId && Math.abs(other.score - one.score) <= allowed.score,
    );
    const partner = same.toSorted((a, b) => boxDifference(a, one) - boxDifference(b, one))[0];
    if (!partner || !(boxDifference(partner, one) <= pixels)) continue;
    free.delete(partner);
    // With i of both and sum s of the areas, the IoU is i / (s - i).
    const areas = partner.area + one.area;
    const iou = areas === 0 ? 0 : rleIou([partner.mask.toRLE()], [one.mask.toRLE()])[0]!;
    const shared = (areas * iou) / (1 + iou);
    both += shared;
    either += areas - shared;
    matched += 1;
    worstBox = Math.max(worstBox, boxDifference(partner, one));
    worstScore = Math.max(worstScore, Math.abs(partner.score - one.score));
  }
  const maskIou = either === 0 ? 1 : both / either;
  const most = Math.max(expected.instances.length, actual.instances.length);
  return {
    against,
    expected: expected.instances.length,
    found: actual.instances.length,
    matched,
    boxDifference: worstBox,
    scoreDifference: worstScore,
    maskIou,
    right: most - matched <= Math.ceil(allowed.alone * most) && maskIou >= allowed.maskIou,
  };
}
