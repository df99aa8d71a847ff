import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, type OptionChecks } from '../runtime/options.js';

/** Options of {@link sort}. */
export interface SortOptions {
  /** Largest first; default false. */
  readonly descending?: boolean | undefined;
}

const OPTIONS = { descending: optional(flag) } satisfies OptionChecks<SortOptions>;

/**
 * Sorts each row, stably. NaN comes last in both directions (PyTorch puts it first when descending).
 * @param input f32 [R, M]
 * @returns values f32 [R, M] and their positions in the row, i32 [R, M]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.sort with stable=True
 */
export function sort(
  input: TensorLike,
  options: SortOptions = {},
): { readonly values: SymbolicTensor; readonly indices: SymbolicTensor } {
  const [values, indices] = record('sort', [input], readOptions('sort', options, OPTIONS));
  return { values: values!, indices: indices! };
}
