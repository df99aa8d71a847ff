import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, integer, type OptionChecks } from '../runtime/options.js';
import { tensor, type CountOptions } from './options.js';

/** Options of {@link yolactBoxes}. */
export interface YolactBoxesOptions extends CountOptions {
  /** Pixels added around a box before it is clamped; default 0. */
  readonly padding?: number | undefined;
}

const OPTIONS = { padding: optional(integer(0)), counts: optional(tensor) } satisfies OptionChecks<YolactBoxesOptions>;

/**
 * Relative boxes in whole pixels of the original image: times the size in f32, truncated toward zero, reversed sides
 * swapped, the lower end clamped at 0 only and the upper end at the size only, so that a box beyond the image comes out
 * reversed. NaN becomes 0.
 * @param boxes f32 [N, D, 4] (x1, y1, x2, y2)
 * @param sizes i32 [N, 4], of which height and width of the original image come first
 * @returns i32 [N, D, 4]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see box_utils.sanitize_coordinates of dbolya/yolact
 */
export function yolactBoxes(boxes: TensorLike, sizes: TensorLike, options: YolactBoxesOptions = {}): SymbolicTensor {
  const { counts, ...attributes } = readOptions('yolactBoxes', options, OPTIONS);
  return withCount(record('yolactBoxes', [boxes, sizes, counts], attributes)[0]!, counts, 1);
}
