import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { requireFinite } from '../runtime/validate.js';

/** Options of {@link relu}. */
export interface ReluOptions {
  /** Factor on negative numbers (leaky ReLU); default 0. */
  readonly negativeSlope?: number | undefined;
}

/**
 * max(x, 0) for every element, or with a slope x * slope below 0; NaN stays NaN. After a convolution the plan fuses the
 * plain form into the convolution.
 * @param input f32 (on a GPU also f16, bf16), any shape
 * @returns the input's dtype and shape
 * @throws InstasegError ERR_ARGUMENT, ERR_DTYPE
 * @see torch.nn.functional.relu, torch.nn.functional.leaky_relu
 */
export function relu(input: TensorLike, options: ReluOptions = {}): SymbolicTensor {
  const { negativeSlope } = options;
  return record('relu', [input], {
    negativeSlope: negativeSlope === undefined ? undefined : requireFinite('negativeSlope', negativeSlope),
  })[0]!;
}
