import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { requireNumber } from '../runtime/validate.js';

/** Options of {@link batchNorm}. */
export interface BatchNormOptions {
  /** Running mean, f32 [C]. */
  readonly mean: TensorLike;
  /** Running variance, f32 [C]. */
  readonly variance: TensorLike;
  /** f32 [C]; default 1. */
  readonly weight?: TensorLike | undefined;
  /** f32 [C]; default 0. */
  readonly bias?: TensorLike | undefined;
  /** Added to the variance; default 1e-5. torchvision's Mask R-CNN v1 uses 0. */
  readonly epsilon?: number | undefined;
  /** i32 [groups]: only the first counts[g] rows (of axis 0) of group g are computed. */
  readonly counts?: TensorLike | undefined;
}

/**
 * Batch normalisation with fixed statistics, over the last axis: (x - mean) / sqrt(variance + epsilon) * weight + bias.
 * After a convolution the plan folds it into the convolution.
 * @param input f32 (on a GPU also f16, bf16) [..., C], two dimensions or more
 * @returns the input's dtype and shape
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.batch_norm with training = false; torchvision.ops.FrozenBatchNorm2d
 */
export function batchNorm(input: TensorLike, options: BatchNormOptions): SymbolicTensor {
  const { mean, variance, weight, bias, counts, epsilon = 1e-5 } = options;
  const [output] = record('batchNorm', [input, weight, bias, mean, variance, counts], {
    epsilon: requireNumber('epsilon', epsilon, 0, Number.MAX_VALUE),
  });
  return withCount(output!, counts, 0);
}
