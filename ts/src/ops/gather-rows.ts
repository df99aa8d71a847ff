import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions } from '../runtime/options.js';
import { COUNT_OPTIONS, type CountOptions } from './options.js';

/**
 * Rows of each image by index: output[n, k] = input[n, indices[n, k]].
 * @param input f32 or i32 (on a GPU also f16, bf16) [N, M, ...], or [1, M, ...], which serves every image
 * @param indices i32 [N, K]
 * @returns [N, K, ...] of the input's dtype
 * @throws InstasegError ERR_SHAPE, ERR_DTYPE; ERR_ARGUMENT when it runs with an index outside [0, M)
 * @see torch.gather, numpy.take
 */
export function gatherRows(input: TensorLike, indices: TensorLike, options: CountOptions = {}): SymbolicTensor {
  const { counts } = readOptions('gatherRows', options, COUNT_OPTIONS);
  return withCount(record('gatherRows', [input, indices, counts], {})[0]!, counts, 1);
}
