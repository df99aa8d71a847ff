import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { invalid } from '../runtime/validate.js';
import { requireIntegers } from './slice.js';

/** Options of {@link pad}. */
export interface PadOptions {
  /** Elements to add in front, one number an axis. */
  readonly before: readonly number[];
  /** Elements to add behind, one number an axis. */
  readonly after: readonly number[];
  /** Their value, of the input's dtype; default 0. */
  readonly value?: number | undefined;
}

/**
 * Surrounds a tensor with a constant.
 * @param input f32, i32 or u8 (on a GPU also f16, bf16), any shape
 * @returns the input's dtype; each axis is `before` + `after` larger
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE
 * @see torch.nn.functional.pad
 */
export function pad(input: TensorLike, options: PadOptions): SymbolicTensor {
  const value = options?.value;
  if (value !== undefined && (typeof value !== 'number' || Number.isNaN(value))) {
    throw invalid('value', 'a number', value);
  }
  return record('pad', [input], {
    before: requireIntegers('before', options?.before, 0),
    after: requireIntegers('after', options.after, 0),
    value,
  })[0]!;
}
