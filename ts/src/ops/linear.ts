import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { requireActivation, type Activation } from './conv2d.js';

/** Options of {@link linear}. */
export interface LinearOptions {
  /** f32 [M] */
  readonly bias?: TensorLike | undefined;
  /** i32 [groups]: only the first counts[g] rows of group g are computed, the others stay unwritten. */
  readonly counts?: TensorLike | undefined;
  /** Default "none". */
  readonly activation?: Activation | undefined;
}

/**
 * Fully connected layer: activation(input x weight^T + bias).
 * @param input f32 (on a GPU also f16, bf16) [R, K]
 * @param weight f32 [M, K], constant (a weight, not something that the plan computes)
 * @returns the input's dtype, [R, M]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.linear
 */
export function linear(input: TensorLike, weight: TensorLike, options: LinearOptions = {}): SymbolicTensor {
  const { bias, counts } = options;
  const [output] = record('linear', [input, weight, bias, counts], {
    activation: requireActivation(options.activation),
  });
  return withCount(output!, counts, 0);
}
