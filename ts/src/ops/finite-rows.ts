import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions } from '../runtime/options.js';
import { COUNT_OPTIONS, type CountOptions } from './options.js';

/**
 * The rows that hold no NaN and no infinity. Row k of image n is all that both tensors have at [n, k].
 * @param boxes f32 [N, K, ...]
 * @param scores f32 [N, K, ...]
 * @returns `indices` i32 [N, K], ascending, and `counts` i32 [N], how many of them each image has
 * @throws InstasegError ERR_SHAPE, ERR_DTYPE
 * @see detectron2 find_top_rpn_proposals and fast_rcnn_inference_single_image
 */
export function finiteRows(
  boxes: TensorLike,
  scores: TensorLike,
  options: CountOptions = {},
): { readonly indices: SymbolicTensor; readonly counts: SymbolicTensor } {
  const { counts: valid } = readOptions('finiteRows', options, COUNT_OPTIONS);
  const [indices, counts] = record('finiteRows', [boxes, scores, valid], {});
  return { indices: withCount(indices!, counts, 1), counts: counts! };
}
