import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { invalid } from '../runtime/validate.js';

/** Options of {@link slice}. */
export interface SliceOptions {
  /** First element, one number an axis. */
  readonly begin: readonly number[];
  /** Elements to take, one number an axis; -1 goes to the end. */
  readonly size: readonly number[];
}

/** Checks a list of integers that are at least `minimum`. */
export function requireIntegers(name: string, value: unknown, minimum: number): number[] {
  const fits = (item: unknown): item is number => Number.isSafeInteger(item) && (item as number) >= minimum;
  if (!Array.isArray(value) || !value.every(fits))
    throw invalid(name, `an array of integers of at least ${minimum}`, value);
  return [...value];
}

/**
 * The block of `size` elements that begins at `begin`.
 * @param input f32, i32 or u8 (on a GPU also f16, bf16), any shape
 * @returns the input's dtype and shape `size`
 * @throws InstasegError ERR_SHAPE where the block leaves the input, ERR_ARGUMENT
 */
export function slice(input: TensorLike, options: SliceOptions): SymbolicTensor {
  return record('slice', [input], {
    begin: requireIntegers('begin', options?.begin, 0),
    size: requireIntegers('size', options.size, -1),
  })[0]!;
}
