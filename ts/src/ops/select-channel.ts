import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { requireOneOf } from '../runtime/validate.js';

/** Options of {@link selectChannel}. */
export interface SelectChannelOptions {
  /** Applied to the chosen channel; default "none". */
  readonly activation?: 'none' | 'sigmoid' | undefined;
  /** i32 [groups]: only the first counts[g] rows of group g are computed, the others stay unwritten. */
  readonly counts?: TensorLike | undefined;
}

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
  const { activation, counts } = options;
  const [output] = record('selectChannel', [input, labels, counts], {
    activation: activation === undefined ? undefined : requireOneOf('activation', activation, ['none', 'sigmoid']),
  });
  return withCount(output!, counts, 0);
}
