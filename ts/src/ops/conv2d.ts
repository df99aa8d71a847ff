import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, integer, type OptionChecks } from '../runtime/options.js';
import { activation, pair, tensor, type Activation, type Pair } from './options.js';

/** Options of {@link conv2d}. */
export interface Conv2dOptions {
  /** f32 [Cout], added after `scale`. */
  readonly bias?: TensorLike | undefined;
  /** f32 [Cout], multiplied with the sums: a frozen batch normalisation needs no change to the weights. */
  readonly scale?: TensorLike | undefined;
  /** Of the output's dtype and shape, added before the activation. */
  readonly residual?: TensorLike | undefined;
  /** i32 [groups]: only the first counts[g] images of group g are computed, the others stay unwritten. */
  readonly counts?: TensorLike | undefined;
  /** Pixels; default 1. */
  readonly stride?: Pair | undefined;
  /** Pixels of zeros on each side; default 0. */
  readonly padding?: Pair | undefined;
  /** Pixels from tap to tap; default 1. */
  readonly dilation?: Pair | undefined;
  /** Channel groups; default 1. */
  readonly groups?: number | undefined;
  /** Default "none". */
  readonly activation?: Activation | undefined;
}

/** Checks of the options that convolutions share. */
export const CONV_OPTIONS = {
  bias: optional(tensor),
  scale: optional(tensor),
  residual: optional(tensor),
  stride: optional(pair(1)),
  padding: optional(pair(0)),
  dilation: optional(pair(1)),
  groups: optional(integer(1)),
  activation: optional(activation),
} satisfies OptionChecks<Omit<Conv2dOptions, 'counts'>>;

const OPTIONS = { ...CONV_OPTIONS, counts: optional(tensor) } satisfies OptionChecks<Conv2dOptions>;

/**
 * 2-D convolution: activation(convolution(input, weight) * scale + bias + residual).
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, Cin]
 * @param weight f32 [Cout, Cin / groups, KH, KW], constant (a weight, not something that the plan computes)
 * @returns the input's dtype, [N, OH, OW, Cout] with OH = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.conv2d
 */
export function conv2d(input: TensorLike, weight: TensorLike, options: Conv2dOptions = {}): SymbolicTensor {
  const { bias, scale, residual, counts, ...attributes } = readOptions('conv2d', options, OPTIONS);
  const [output] = record('conv2d', [input, weight, bias, scale, residual, counts], attributes);
  return withCount(output!, counts, 0);
}
