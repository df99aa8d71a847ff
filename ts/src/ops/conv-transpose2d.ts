import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, integer, type OptionChecks } from '../runtime/options.js';
import { activation, pair, tensor, type Activation, type Pair } from './options.js';

/** Options of {@link convTranspose2d}. */
export interface ConvTranspose2dOptions {
  /** f32 [Cout] */
  readonly bias?: TensorLike | undefined;
  /** i32 [groups]: only the first counts[g] images of group g are computed, the others stay unwritten. */
  readonly counts?: TensorLike | undefined;
  /** Output pixels from input pixel to input pixel; default 1. */
  readonly stride?: Pair | undefined;
  /** Pixels cut off the output on each side; default 0. */
  readonly padding?: Pair | undefined;
  /** Pixels added to the output at the bottom and right, fewer than stride or dilation; default 0. */
  readonly outputPadding?: Pair | undefined;
  /** Output pixels from tap to tap; default 1. */
  readonly dilation?: Pair | undefined;
  /** Channel groups; default 1. */
  readonly groups?: number | undefined;
  /** Default "none". */
  readonly activation?: Activation | undefined;
}

const OPTIONS = {
  bias: optional(tensor),
  counts: optional(tensor),
  stride: optional(pair(1)),
  padding: optional(pair(0)),
  outputPadding: optional(pair(0)),
  dilation: optional(pair(1)),
  groups: optional(integer(1)),
  activation: optional(activation),
} satisfies OptionChecks<ConvTranspose2dOptions>;

/**
 * Transposed 2-D convolution (upsampling): activation(result + bias).
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, Cin]
 * @param weight f32 [Cin, Cout / groups, KH, KW], constant (a weight, not something that the plan computes)
 * @returns the input's dtype, [N, OH, OW, Cout] with OH = (H - 1) stride - 2 padding + dilation (KH - 1) + outputPadding + 1
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.conv_transpose2d
 */
export function convTranspose2d(
  input: TensorLike,
  weight: TensorLike,
  options: ConvTranspose2dOptions = {},
): SymbolicTensor {
  const { bias, counts, ...attributes } = readOptions('convTranspose2d', options, OPTIONS);
  const [output] = record('convTranspose2d', [input, weight, bias, counts], attributes);
  return withCount(output!, counts, 0);
}
