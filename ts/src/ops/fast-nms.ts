import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, integer, number, oneOf, type OptionChecks } from '../runtime/options.js';
import { tensor, type CountOptions } from './options.js';

/** Options of {@link fastNms}. */
export interface FastNmsOptions extends CountOptions {
  /**
   * "fast" (default): in each class the `topK` best candidates; one is dropped when its IoU with any better one of them,
   * dropped or not, is above the threshold; then the best `maxOutput` of all classes.
   * "cross-class": the same once, on every candidate's best class; all that are left.
   * "traditional": in each class greedy suppression among all candidates, with boxes times `maxSize`, both end pixels
   * counted, from the threshold on; then the best `maxOutput`.
   */
  readonly kind?: 'fast' | 'cross-class' | 'traditional' | undefined;
  /** Positive; compared in f32. */
  readonly iouThreshold: number;
  /** Only scores above this (in f32) are detections; default -Infinity. YOLACT has 0.05 here for "traditional" only. */
  readonly scoreThreshold?: number | undefined;
  /** Candidates a list; not for "traditional". Default 200. */
  readonly topK?: number | undefined;
  /** The most detections an image; not for "cross-class". Default 100. */
  readonly maxOutput?: number | undefined;
  /** For "traditional"; default 550. */
  readonly maxSize?: number | undefined;
  /** The first class of `scores` is the background and left out: classes count from the next one. Default false. */
  readonly background?: boolean | undefined;
}

/** Detections of {@link fastNms}, with a fixed capacity O an image; only the first `counts` are valid. */
export interface FastNmsResult {
  /** i32 [N, O]: the candidate of each detection. */
  readonly indices: SymbolicTensor;
  /** i32 [N, O]. */
  readonly classes: SymbolicTensor;
  /** f32 [N, O]. */
  readonly scores: SymbolicTensor;
  /** i32 [N]: detections of each image. */
  readonly counts: SymbolicTensor;
}

const OPTIONS = {
  kind: optional(oneOf('fast', 'cross-class', 'traditional')),
  iouThreshold: number(0),
  scoreThreshold: optional(number()),
  topK: optional(integer(0)),
  maxOutput: optional(integer(0)),
  maxSize: optional(number(0)),
  background: optional(flag),
  counts: optional(tensor),
} satisfies OptionChecks<FastNmsOptions>;

/**
 * YOLACT's detections, ordered by score descending, then candidate, then class. A NaN score is never kept
 * ("cross-class": nor a candidate that has one), a NaN IoU does not suppress. O = min(maxOutput, C * min(topK, K));
 * min(topK, K) for "cross-class"; min(maxOutput, C * K) for "traditional".
 * @param boxes f32 [N, K, 4] (x1, y1, x2, y2, relative to the image)
 * @param scores f32 [N, K, C]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see Detect.fast_nms, cc_fast_nms and traditional_nms of dbolya/yolact (Bolya et al., YOLACT, 2019)
 */
export function fastNms(boxes: TensorLike, scores: TensorLike, options: FastNmsOptions): FastNmsResult {
  const { counts: valid, ...attributes } = readOptions('fastNms', options, OPTIONS);
  const [indices, classes, kept, counts] = record('fastNms', [boxes, scores, valid], attributes);
  return {
    indices: withCount(indices!, counts, 1),
    classes: withCount(classes!, counts, 1),
    scores: withCount(kept!, counts, 1),
    counts: counts!,
  };
}
