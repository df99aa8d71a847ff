import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { requireInteger } from '../runtime/validate.js';

/** Options of {@link softmax}. */
export interface SoftmaxOptions {
  /** Negative axes count from the end; default -1. */
  readonly axis?: number | undefined;
  /** i32 [groups]: only the first counts[g] rows (of axis 0) of group g are computed. Needs another `axis` than 0. */
  readonly counts?: TensorLike | undefined;
}

/**
 * e^(x - max) / sum over one axis. A NaN, and an infinity, make their whole row NaN.
 * @param input f32 (on a GPU also f16, bf16), any shape
 * @returns the input's dtype and shape
 * @throws InstasegError ERR_ARGUMENT for an axis that the input does not have, ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.softmax
 */
export function softmax(input: TensorLike, options: SoftmaxOptions = {}): SymbolicTensor {
  const { axis, counts } = options;
  const [output] = record('softmax', [input, counts], {
    axis: axis === undefined ? undefined : requireInteger('axis', axis, -6, 5),
  });
  return withCount(output!, counts, 0);
}
