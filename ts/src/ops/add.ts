import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { requireOneOf } from '../runtime/validate.js';

/** Options of {@link add}. */
export interface AddOptions {
  /** Applied to the sum; default "none". */
  readonly activation?: 'none' | 'relu' | undefined;
}

/**
 * a + b, element by element. After a convolution without activation the plan fuses it into the convolution.
 * @param a f32 (on a GPU also f16, bf16), any shape
 * @param b dtype and shape of a
 * @returns that dtype and shape
 * @throws InstasegError ERR_SHAPE where the shapes differ, ERR_DTYPE, ERR_ARGUMENT
 */
export function add(a: TensorLike, b: TensorLike, options: AddOptions = {}): SymbolicTensor {
  const { activation } = options;
  return record('add', [a, b], {
    activation: activation === undefined ? undefined : requireOneOf('activation', activation, ['none', 'relu']),
  })[0]!;
}
