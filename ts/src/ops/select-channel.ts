import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, oneOf, type OptionChecks } from '../runtime/options.js';
import { tensor } from './options.js';

/** Options of {@link selectChannel}. */
export interface SelectChannelOptions {
  /** Applied to the chosen channel; default "none". */
  readonly activation?: 'none' | 'sigmoid' | undefined;
  /** i32 [groups]: only the first counts[g] rows of group g are computed, the others stay unwritten. */
  readonly counts?: TensorLike | undefined;
}

const OPTIONS = {
  activation: optional(oneOf('none', 'sigmoid')),
  counts: optional(tensor),
} satisfies OptionChecks<SelectChannelOptions>;

/**
 * The channel that each row's label names, such as the mask of the detected class.
 * @param input f32 (on a GPU also f16, bf16) [R, H, W, C]
 * @param labels i32 [R], or [N, K] with N * K = R
 * @returns f32 [R, H, W]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE; ERR_ARGUMENT when it runs with a label outside [0, C)
 */
export function selectChannel(
  input: TensorLike,
  labels: TensorLike,
  options: SelectChannelOptions = {},
): SymbolicTensor {
  const { counts, ...attributes } = readOptions('selectChannel', options, OPTIONS);
  return withCount(record('selectChannel', [input, labels, counts], attributes)[0]!, counts, 0);
}
