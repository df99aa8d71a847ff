import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, oneOf, type OptionChecks } from '../runtime/options.js';

/** Options of {@link add}. */
export interface AddOptions {
  /** Applied to the sum; default "none". */
  readonly activation?: 'none' | 'relu' | undefined;
}

const OPTIONS = { activation: optional(oneOf('none', 'relu')) } satisfies OptionChecks<AddOptions>;

/**
 * a + b, element by element. After a convolution without activation the plan fuses it into the convolution.
 * @param a f32 (on a GPU also f16, bf16), any shape
 * @param b dtype and shape of a
 * @returns that dtype and shape
 * @throws InstasegError ERR_SHAPE where the shapes differ, ERR_DTYPE, ERR_ARGUMENT
 */
export function add(a: TensorLike, b: TensorLike, options: AddOptions = {}): SymbolicTensor {
  return record('add', [a, b], readOptions('add', options, OPTIONS))[0]!;
}
