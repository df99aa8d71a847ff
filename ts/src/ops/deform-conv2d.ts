import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, oneOf, type OptionChecks } from '../runtime/options.js';
import { CONV_OPTIONS, type Conv2dOptions } from './conv2d.js';
import { tensor } from './options.js';

/** Options of {@link deformConv2d}. */
export interface DeformConv2dOptions extends Omit<Conv2dOptions, 'counts'> {
  /** f32 [N, OH, OW, G * K]: a factor for each sample (DCNv2); without one all are 1 (DCNv1). */
  readonly mask?: TensorLike | undefined;
  /**
   * `offset` is [N, OH, OW, 3 * G * K]: the 2 * G * K offsets, then the G * K masks, as one convolution computes them for
   * DCNv2 (YOLACT++: conv_offset_mask). Default false; excludes `mask`.
   */
  readonly packedMask?: boolean | undefined;
  /** "sigmoid" where the masks are logits; default "none". */
  readonly maskActivation?: 'none' | 'sigmoid' | undefined;
}

const OPTIONS = {
  ...CONV_OPTIONS,
  mask: optional(tensor),
  packedMask: optional(flag),
  maskActivation: optional(oneOf('none', 'sigmoid')),
} satisfies OptionChecks<DeformConv2dOptions>;

/**
 * Deformable convolution, v1 and v2: activation(deform_conv(input, weight, offset, mask) * scale + bias + residual).
 *
 * Tap (i, j) of output pixel (y, x) is sampled bilinearly at (y stride - padding + i dilation + dy, x stride - padding +
 * j dilation + dx) and multiplied with its mask. What lies outside the image is 0: corners of a sample, and whole
 * samples at -1 or less, at H or W or more, or at NaN (whatever their mask).
 *
 * With K = KH * KW there are G = (channels of `offset`) / 2K offset groups: input channels in G equal parts, each with
 * its own offsets. As in PyTorch, channels 2k and 2k + 1 of a group's 2K are dy and dx, in pixels of the input, of tap
 * k = i * KW + j.
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, Cin]
 * @param weight f32 [Cout, Cin / groups, KH, KW], constant (a weight, not something that the plan computes)
 * @param offset f32 [N, OH, OW, 2 * G * K], or with `packedMask` [N, OH, OW, 3 * G * K]
 * @returns the input's dtype, [N, OH, OW, Cout] with OH = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torchvision.ops.deform_conv2d; Dai et al. 2017 (v1), Zhu et al. 2019 (v2)
 */
export function deformConv2d(
  input: TensorLike,
  weight: TensorLike,
  offset: TensorLike,
  options: DeformConv2dOptions = {},
): SymbolicTensor {
  const { mask, bias, scale, residual, ...attributes } = readOptions('deformConv2d', options, OPTIONS);
  return record('deformConv2d', [input, weight, offset, mask, bias, scale, residual], attributes)[0]!;
}
