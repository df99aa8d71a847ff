import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, type OptionChecks } from '../runtime/options.js';
import { integers } from './options.js';

/** Options of {@link slice}. */
export interface SliceOptions {
  /** First element, one number an axis. */
  readonly begin: readonly number[];
  /** Elements to take, one number an axis; -1 goes to the end. */
  readonly size: readonly number[];
}

const OPTIONS = { begin: integers(0), size: integers(-1) } satisfies OptionChecks<SliceOptions>;

/**
 * The block of `size` elements that begins at `begin`.
 * @param input f32, i32 or u8 (on a GPU also f16, bf16), any shape
 * @returns the input's dtype and shape `size`
 * @throws InstasegError ERR_SHAPE where the block leaves the input, ERR_ARGUMENT
 */
export function slice(input: TensorLike, options: SliceOptions): SymbolicTensor {
  return record('slice', [input], readOptions('slice', options, OPTIONS))[0]!;
}
