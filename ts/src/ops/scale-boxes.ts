import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions } from '../runtime/options.js';
import { COUNT_OPTIONS, type CountOptions } from './options.js';

/**
 * Boxes of the resized image in coordinates of the original one: each axis times f32(original) / f32(resized).
 * @param boxes f32 [N, K, ..., 4] (x1, y1, x2, y2), or [rows, 4] with the rows split evenly over the images
 * @param sizes i32 [N, 4]: original height and width, resized height and width of each image
 * @returns the shape of `boxes`
 * @throws InstasegError ERR_SHAPE, ERR_DTYPE
 * @see torchvision.models.detection.transform.resize_boxes
 */
export function scaleBoxes(boxes: TensorLike, sizes: TensorLike, options: CountOptions = {}): SymbolicTensor {
  const { counts } = readOptions('scaleBoxes', options, COUNT_OPTIONS);
  const [output] = record('scaleBoxes', [boxes, sizes, counts], {});
  return withCount(output!, counts, output!.shape.length === 2 ? 0 : 1);
}
