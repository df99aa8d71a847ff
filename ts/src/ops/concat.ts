import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { invalid, requireInteger } from '../runtime/validate.js';

/** Options of {@link concat}. */
export interface ConcatOptions {
  /** Negative axes count from the end. */
  readonly axis: number;
}

/**
 * Joins tensors along one axis.
 * @param inputs one or more of one dtype (f32, i32, u8; on a GPU also f16, bf16), equal in all dimensions but `axis`
 * @returns their shape, with the sum of their sizes along `axis`
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.cat
 */
export function concat(inputs: readonly TensorLike[], options: ConcatOptions): SymbolicTensor {
  if (!Array.isArray(inputs) || inputs.length === 0) throw invalid('inputs', 'an array of at least one tensor', inputs);
  return record('concat', inputs, { axis: requireInteger('axis', options?.axis, -6, 5) })[0]!;
}
