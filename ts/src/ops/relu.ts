import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';

/**
 * max(x, 0) for every element; NaN stays NaN. After a convolution the plan fuses it into the convolution.
 * @param input f32, any shape
 * @returns the input's shape
 * @see torch.nn.functional.relu
 */
export function relu(input: TensorLike): SymbolicTensor {
  return record('relu', [input], {})[0]!;
}
