import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, integer, type OptionChecks } from '../runtime/options.js';
import { requireTensors } from './options.js';

/** Options of {@link concat}. */
export interface ConcatOptions {
  /** Negative axes count from the end. */
  readonly axis: number;
}

const OPTIONS = { axis: integer(-6, 5) } satisfies OptionChecks<ConcatOptions>;

/**
 * Joins tensors along one axis.
 * @param inputs one or more of one dtype (f32, i32, u8; on a GPU also f16, bf16), equal in all dimensions but `axis`
 * @returns their shape, with the sum of their sizes along `axis`
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.cat
 */
export function concat(inputs: readonly TensorLike[], options: ConcatOptions): SymbolicTensor {
  return record('concat', requireTensors('inputs', inputs), readOptions('concat', options, OPTIONS))[0]!;
}
