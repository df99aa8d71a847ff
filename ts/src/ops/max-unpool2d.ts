import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, type OptionChecks } from '../runtime/options.js';
import { integers, pair, type Pair } from './options.js';

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

const OPTIONS = {
  kernel: pair(1),
  stride: optional(pair(1)),
  padding: optional(pair(0)),
  outputSize: optional(integers(1)),
} satisfies OptionChecks<MaxUnpool2dOptions>;

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
  return record('maxUnpool2d', [input, indices], readOptions('maxUnpool2d', options, OPTIONS))[0]!;
}
