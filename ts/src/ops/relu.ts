import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, finite, type OptionChecks } from '../runtime/options.js';

/** Options of {@link relu}. */
export interface ReluOptions {
  /** Factor on negative numbers (leaky ReLU); default 0. */
  readonly negativeSlope?: number | undefined;
}

const OPTIONS = { negativeSlope: optional(finite) } satisfies OptionChecks<ReluOptions>;

/**
 * max(x, 0) for every element, or with a slope x * slope below 0; NaN stays NaN. After a convolution the plan fuses the
 * plain form into the convolution.
 * @param input f32 (on a GPU also f16, bf16), any shape
 * @returns the input's dtype and shape
 * @throws InstasegError ERR_ARGUMENT, ERR_DTYPE
 * @see torch.nn.functional.relu, torch.nn.functional.leaky_relu
 */
export function relu(input: TensorLike, options: ReluOptions = {}): SymbolicTensor {
  return record('relu', [input], readOptions('relu', options, OPTIONS))[0]!;
}
