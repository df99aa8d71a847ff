import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';

/**
 * 1 / (1 + e^-x) for every element; NaN stays NaN. After a convolution or linear the plan fuses it.
 * @param input f32 (on a GPU also f16, bf16), any shape
 * @returns the input's dtype and shape
 * @throws InstasegError ERR_DTYPE
 * @see torch.sigmoid
 */
export function sigmoid(input: TensorLike): SymbolicTensor {
  return record('sigmoid', [input], {})[0]!;
}
