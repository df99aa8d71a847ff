import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';

/**
 * The hyperbolic tangent of every element; NaN stays NaN. After a convolution or linear the plan fuses it.
 * @param input f32 (on a GPU also f16, bf16), any shape
 * @returns the input's dtype and shape
 * @throws InstasegError ERR_DTYPE
 * @see torch.tanh
 */
export function tanh(input: TensorLike): SymbolicTensor {
  return record('tanh', [input], {})[0]!;
}
