import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, integer, number, type OptionChecks } from '../runtime/options.js';
import { tensor } from './options.js';

/** Options of {@link nms}. */
export interface NmsOptions {
  /** Boxes with a larger IoU than this to a kept box are dropped. */
  readonly iouThreshold: number;
  /** i32 [N, K]: boxes suppress only boxes of their group (usually their class); default one group. */
  readonly groups?: TensorLike | undefined;
  /** i32 [N]: valid boxes of each image; default all. */
  readonly counts?: TensorLike | undefined;
  /** The most boxes kept an image, the best ones; default K. */
  readonly maxOutput?: number | undefined;
}

const OPTIONS = {
  iouThreshold: number(),
  groups: optional(tensor),
  counts: optional(tensor),
  maxOutput: optional(integer(0)),
} satisfies OptionChecks<NmsOptions>;

/**
 * Non-maximum suppression. In the order of descending scores (equal scores: the lower index first) a box is kept unless
 * its IoU with a kept box of its group exceeds the threshold: f32 IoU compared with the f64 threshold. A NaN IoU does
 * not suppress; a box with a NaN score is never kept. Memory is linear in the number of boxes.
 * @param boxes f32 [N, K, 4] (x1, y1, x2, y2)
 * @param scores f32 [N, K]
 * @returns `indices` i32 [N, maxOutput] in that order, and `counts` i32 [N]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torchvision.ops.nms; with groups torchvision.ops.batched_nms, computed class by class
 */
export function nms(
  boxes: TensorLike,
  scores: TensorLike,
  options: NmsOptions,
): { readonly indices: SymbolicTensor; readonly counts: SymbolicTensor } {
  const { groups, counts: valid, ...attributes } = readOptions('nms', options, OPTIONS);
  const [indices, counts] = record('nms', [boxes, scores, groups, valid], attributes);
  return { indices: withCount(indices!, counts, 1), counts: counts! };
}
