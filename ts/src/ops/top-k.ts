import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, integer, type OptionChecks } from '../runtime/options.js';
import { tensor } from './options.js';

/** Options of {@link topK}. */
export interface TopKOptions {
  /** How many values of each row. */
  readonly k: number;
  /** i32 [R]: valid entries of each row; default all. */
  readonly counts?: TensorLike | undefined;
}

/** What {@link topK} found; only the first `counts` of each row are valid. */
export interface TopK {
  /** f32 [R, k'], descending; k' = min(k, M). */
  readonly values: SymbolicTensor;
  /** i32 [R, k']: their positions in the row. */
  readonly indices: SymbolicTensor;
  /** i32 [R]: min(k, valid entries). */
  readonly counts: SymbolicTensor;
}

const OPTIONS = { k: integer(0), counts: optional(tensor) } satisfies OptionChecks<TopKOptions>;

/**
 * The k largest values of each row, largest first; of equal values the lower index first. NaN comes after every number
 * (PyTorch puts it first).
 * @param input f32 [R, M]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.topk
 */
export function topK(input: TensorLike, options: TopKOptions): TopK {
  const { counts: valid, ...attributes } = readOptions('topK', options, OPTIONS);
  const [values, indices, counts] = record('topK', [input, valid], attributes);
  return { values: withCount(values!, counts, 1), indices: withCount(indices!, counts, 1), counts: counts! };
}
