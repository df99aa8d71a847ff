import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, integer, number, type OptionChecks } from '../runtime/options.js';

/** Options of {@link selectCandidates}. */
export interface SelectCandidatesOptions {
  /** A row passes when its best foreground score is above this (compared in f32). */
  readonly threshold: number;
  /** K: the most rows kept, those with the best scores (equal scores: the lower index); default M. */
  readonly capacity?: number | undefined;
}

const OPTIONS = { threshold: number(), capacity: optional(integer(0)) } satisfies OptionChecks<SelectCandidatesOptions>;

/**
 * The rows of class scores worth looking at, in ascending order. A row with a NaN foreground score never passes.
 * @param scores f32 [N, M, C], the background being class 0
 * @returns `indices` i32 [N, K], and `counts` i32 [N]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see Detect.detect of dbolya/yolact
 */
export function selectCandidates(
  scores: TensorLike,
  options: SelectCandidatesOptions,
): { readonly indices: SymbolicTensor; readonly counts: SymbolicTensor } {
  const attributes = readOptions('selectCandidates', options, OPTIONS);
  const [indices, counts] = record('selectCandidates', [scores], attributes);
  return { indices: withCount(indices!, counts, 1), counts: counts! };
}
