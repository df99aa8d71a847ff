import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { requirePositiveInteger } from '../runtime/validate.js';
import { requireActivation, requirePair, type Activation, type Pair } from './conv2d.js';

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
  const { bias, counts, groups } = options;
  const [output] = record('convTranspose2d', [input, weight, bias, counts], {
    stride: requirePair('stride', options.stride, 1),
    padding: requirePair('padding', options.padding, 0),
    outputPadding: requirePair('outputPadding', options.outputPadding, 0),
    dilation: requirePair('dilation', options.dilation, 1),
    groups: groups === undefined ? undefined : requirePositiveInteger('groups', groups),
    activation: requireActivation(options.activation),
  });
  return withCount(output!, counts, 0);
}
