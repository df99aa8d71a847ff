import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, integer, type OptionChecks } from '../runtime/options.js';
import type { Pair } from './options.js';
import { WINDOW_OPTIONS } from './max-pool2d.js';

/** Options of {@link avgPool2d}. */
export interface AvgPool2dOptions {
  /** Size of the window. */
  readonly kernel: Pair;
  /** Pixels from window to window; default `kernel`. */
  readonly stride?: Pair | undefined;
  /** Pixels of zeros on each side, at most half of the window; default 0. */
  readonly padding?: Pair | undefined;
  /** Adds a last window that covers the rest of the input, unless it would begin in the padding; default false. */
  readonly ceilMode?: boolean | undefined;
  /** Whether the padding's zeros count as elements; default true. */
  readonly countIncludePad?: boolean | undefined;
  /** Divides every sum by this number instead of the count. */
  readonly divisor?: number | undefined;
}

const OPTIONS = {
  ...WINDOW_OPTIONS,
  countIncludePad: optional(flag),
  divisor: optional(integer(1)),
} satisfies OptionChecks<AvgPool2dOptions>;

/**
 * The mean of each window.
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, C]
 * @returns the input's dtype, [N, OH, OW, C] with OH = floor((H + 2 padding - kernel) / stride) + 1
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE where the window does not fit
 * @see torch.nn.functional.avg_pool2d
 */
export function avgPool2d(input: TensorLike, options: AvgPool2dOptions): SymbolicTensor {
  return record('avgPool2d', [input], readOptions('avgPool2d', options, OPTIONS))[0]!;
}
