import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, number, type OptionChecks } from '../runtime/options.js';
import { integers } from './options.js';

/** Options of {@link pad}. */
export interface PadOptions {
  /** Elements to add in front, one number an axis. */
  readonly before: readonly number[];
  /** Elements to add behind, one number an axis. */
  readonly after: readonly number[];
  /** Their value, of the input's dtype; default 0. */
  readonly value?: number | undefined;
}

const OPTIONS = {
  before: integers(0),
  after: integers(0),
  value: optional(number()),
} satisfies OptionChecks<PadOptions>;

/**
 * Surrounds a tensor with a constant.
 * @param input f32, i32 or u8 (on a GPU also f16, bf16), any shape
 * @returns the input's dtype; each axis is `before` + `after` larger
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE
 * @see torch.nn.functional.pad
 */
export function pad(input: TensorLike, options: PadOptions): SymbolicTensor {
  return record('pad', [input], readOptions('pad', options, OPTIONS))[0]!;
}
