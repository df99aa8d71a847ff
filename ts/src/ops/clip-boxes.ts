import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, oneOf, type OptionChecks } from '../runtime/options.js';
import { pair, tensor, type CountOptions } from './options.js';

/** Options of {@link clipBoxes}. */
export interface ClipBoxesOptions extends CountOptions {
  /** i32 [N, 4]: original height and width, resized height and width of each image. This or `size`. */
  readonly sizes?: TensorLike | undefined;
  /** Which of the two sizes; default "resized". */
  readonly to?: 'resized' | 'original' | undefined;
  /** Height and width of all images. */
  readonly size?: readonly [number, number] | undefined;
}

const OPTIONS = {
  sizes: optional(tensor),
  to: optional(oneOf('resized', 'original')),
  size: optional(pair(0)),
  counts: optional(tensor),
} satisfies OptionChecks<ClipBoxesOptions>;

/**
 * Clamps x to [0, width] and y to [0, height] of each image; NaN stays NaN.
 * @param boxes f32 [N, K, ..., 4] (x1, y1, x2, y2), or [rows, 4] with the rows split evenly over the images of `sizes`
 * @returns the shape of `boxes`
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torchvision.ops.clip_boxes_to_image
 */
export function clipBoxes(boxes: TensorLike, options: ClipBoxesOptions): SymbolicTensor {
  const { sizes, counts, ...attributes } = readOptions('clipBoxes', options, OPTIONS);
  const [output] = record('clipBoxes', [boxes, sizes, counts], attributes);
  return withCount(output!, counts, output!.shape.length === 2 ? 0 : 1);
}
