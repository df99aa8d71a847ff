import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { invalid } from '../runtime/validate.js';
import { requirePair, type Pair } from './conv2d.js';
import { requireIntegers } from './slice.js';

/** Options of {@link maxUnpool2d}. */
export interface MaxUnpool2dOptions {
  /** Those of the pooling. */
  readonly kernel: Pair;
  /** Default `kernel`. */
  readonly stride?: Pair | undefined;
  /** Default 0. */
  readonly padding?: Pair | undefined;
  /** [height, width] where several sizes pool to the input's; default (H - 1) * stride - 2 * padding + kernel. */
  readonly outputSize?: readonly [number, number] | undefined;
}

/**
 * Puts every value where {@link maxPool2dWithIndices} found it; the other positions are 0. Where two values share a
 * position, the later one (row-major) stays.
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, C]
 * @param indices i32 [N, H, W, C]: y * OW + x in the output; one outside makes the run reject with ERR_ARGUMENT
 * @returns the input's dtype, [N, OH, OW, C]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.max_unpool2d
 */
export function maxUnpool2d(input: TensorLike, indices: TensorLike, options: MaxUnpool2dOptions): SymbolicTensor {
  const kernel = requirePair('kernel', options?.kernel, 1);
  if (kernel === undefined) throw invalid('kernel', 'an integer of at least 1, or two of them as [y, x]', kernel);
  const { outputSize } = options;
  return record('maxUnpool2d', [input, indices], {
    kernel,
    stride: requirePair('stride', options.stride, 1),
    padding: requirePair('padding', options.padding, 0),
    outputSize: outputSize === undefined ? undefined : requireIntegers('outputSize', outputSize, 1),
  })[0]!;
}
