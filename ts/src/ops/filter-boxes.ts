import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, integer, number, type OptionChecks } from '../runtime/options.js';
import { tensor } from './options.js';

/** Options of {@link filterBoxes}. */
export interface FilterBoxesOptions {
  /** C: candidate m belongs to row floor(m / C) and has class m % C; default 1. */
  readonly classes?: number | undefined;
  /** The class to leave out; default -1, none. */
  readonly background?: number | undefined;
  /** Candidates pass with a score above this (compared in f32); default -Infinity. */
  readonly scoreThreshold?: number | undefined;
  /** Least width and height in pixels; default no limit, or 0 with `strictSize`. */
  readonly minSize?: number | undefined;
  /** Both sides must be larger than `minSize` (detectron2) rather than at least that (torchvision); default false. */
  readonly strictSize?: boolean | undefined;
  /** K: the most candidates kept, those with the best scores (equal scores: the lower index); default M. */
  readonly capacity?: number | undefined;
  /** i32 [N]: valid rows of each image (a row has C candidates); default all. */
  readonly counts?: TensorLike | undefined;
}

/** What {@link filterBoxes} kept, with a fixed capacity K an image; only the first `counts` are valid. */
export interface FilteredBoxes {
  /** i32 [N, K], ascending. */
  readonly indices: SymbolicTensor;
  /** i32 [N, K]: the class of each kept candidate. */
  readonly classes: SymbolicTensor;
  /** i32 [N]: candidates kept. */
  readonly counts: SymbolicTensor;
}

const OPTIONS = {
  classes: optional(integer(1)),
  background: optional(integer(-1)),
  scoreThreshold: optional(number()),
  minSize: optional(number()),
  strictSize: optional(flag),
  capacity: optional(integer(0)),
  counts: optional(tensor),
} satisfies OptionChecks<FilterBoxesOptions>;

/**
 * The candidates worth keeping. Candidates whose score or box is NaN never pass.
 * @param boxes f32 [N, ..., 4] (x1, y1, x2, y2) of M candidates an image
 * @param scores f32 [N, ...] of as many
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torchvision.ops.remove_small_boxes, and RoIHeads.postprocess_detections of torchvision
 */
export function filterBoxes(boxes: TensorLike, scores: TensorLike, options: FilterBoxesOptions = {}): FilteredBoxes {
  const { counts: valid, ...attributes } = readOptions('filterBoxes', options, OPTIONS);
  const [indices, classes, counts] = record('filterBoxes', [boxes, scores, valid], attributes);
  return { indices: withCount(indices!, counts, 1), classes: withCount(classes!, counts, 1), counts: counts! };
}
