import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, type OptionChecks } from '../runtime/options.js';
import { pair, type Pair } from './options.js';

/** Options of {@link maxPool2d} and {@link maxPool2dWithIndices}. */
export interface MaxPool2dOptions {
  /** Size of the window. */
  readonly kernel: Pair;
  /** Pixels from window to window; default `kernel`. */
  readonly stride?: Pair | undefined;
  /** Pixels on each side that never win, at most half of the window; default 0. */
  readonly padding?: Pair | undefined;
  /** Pixels from tap to tap; default 1. */
  readonly dilation?: Pair | undefined;
  /** Adds a last window that covers the rest of the input, unless it would begin in the padding; default false. */
  readonly ceilMode?: boolean | undefined;
}

/** Checks of the options of a sliding window, which pooling ops share. */
export const WINDOW_OPTIONS = {
  kernel: pair(1),
  stride: optional(pair(1)),
  padding: optional(pair(0)),
  ceilMode: optional(flag),
};

const OPTIONS = { ...WINDOW_OPTIONS, dilation: optional(pair(1)) } satisfies OptionChecks<MaxPool2dOptions>;

/**
 * The maximum of each window; NaN wins over numbers.
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, C]
 * @returns the input's dtype, [N, OH, OW, C] with OH = floor((H + 2 padding - dilation (kernel - 1) - 1) / stride) + 1
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE where the window does not fit
 * @see torch.nn.functional.max_pool2d
 */
export function maxPool2d(input: TensorLike, options: MaxPool2dOptions): SymbolicTensor {
  return record('maxPool2d', [input], readOptions('maxPool2d', options, OPTIONS))[0]!;
}

/**
 * Like {@link maxPool2d}, and where each maximum lies, for {@link maxUnpool2d}. The first of equal maxima counts.
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, C]
 * @returns `output` of the input's dtype [N, OH, OW, C]; `indices` i32 of that shape: y * W + x in the input. A window without any input
 *   pixel (possible with dilation) gives -infinity and index 0.
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE
 * @see torch.nn.functional.max_pool2d with return_indices
 */
export function maxPool2dWithIndices(
  input: TensorLike,
  options: MaxPool2dOptions,
): { output: SymbolicTensor; indices: SymbolicTensor } {
  const attributes = readOptions('maxPool2dWithIndices', options, OPTIONS);
  const [output, indices] = record('maxPool2d', [input], { ...attributes, indices: true });
  return { output: output!, indices: indices! };
}
