import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { requireOneOf } from '../runtime/validate.js';
import type { CountOptions } from './box-options.js';
import { requirePair } from './conv2d.js';

/** Options of {@link clipBoxes}. */
export interface ClipBoxesOptions extends CountOptions {
  /** i32 [N, 4]: original height and width, resized height and width of each image. This or `size`. */
  readonly sizes?: TensorLike | undefined;
  /** Which of the two sizes; default "resized". */
  readonly to?: 'resized' | 'original' | undefined;
  /** Height and width of all images. */
  readonly size?: readonly [number, number] | undefined;
}

/**
 * Clamps x to [0, width] and y to [0, height] of each image; NaN stays NaN.
 * @param boxes f32 [N, K, ..., 4] (x1, y1, x2, y2), or [rows, 4] with the rows split evenly over the images of `sizes`
 * @returns the shape of `boxes`
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torchvision.ops.clip_boxes_to_image
 */
export function clipBoxes(boxes: TensorLike, options: ClipBoxesOptions): SymbolicTensor {
  const { sizes, to, size, counts } = options;
  const [output] = record('clipBoxes', [boxes, sizes, counts], {
    to: to === undefined ? undefined : requireOneOf('to', to, ['resized', 'original']),
    size: requirePair('size', size, 0),
  });
  return withCount(output!, counts, output!.shape.length === 2 ? 0 : 1);
}
