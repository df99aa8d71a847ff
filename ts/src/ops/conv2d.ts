import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { invalid, requireOneOf, requirePositiveInteger } from '../runtime/validate.js';

/** What a convolution or linear applies last. */
export type Activation = 'none' | 'relu' | 'sigmoid' | 'tanh';

/** One number for both axes, or [y, x]. */
export type Pair = number | readonly [number, number];

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

/** Checks an optional number or [y, x] of integers that are at least `minimum`. */
export function requirePair(name: string, value: unknown, minimum: 0 | 1): number | number[] | undefined {
  if (value === undefined) return undefined;
  const pair: unknown[] = Array.isArray(value) ? value : [value, value];
  const fits = (size: unknown): size is number => Number.isSafeInteger(size) && (size as number) >= minimum;
  if (pair.length !== 2 || !pair.every(fits)) {
    throw invalid(name, `an integer of at least ${minimum}, or two of them as [y, x]`, value);
  }
  return [...pair];
}

const ACTIVATIONS: readonly Activation[] = ['none', 'relu', 'sigmoid', 'tanh'];

export function requireActivation(value: unknown): Activation | undefined {
  return value === undefined ? undefined : requireOneOf('activation', value, ACTIVATIONS);
}

/**
 * 2-D convolution: activation(convolution(input, weight) * scale + bias + residual).
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, Cin]
 * @param weight f32 [Cout, Cin / groups, KH, KW], constant (a weight, not something that the plan computes)
 * @returns the input's dtype, [N, OH, OW, Cout] with OH = floor((H + 2 padding - dilation (KH - 1) - 1) / stride) + 1
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.conv2d
 */
export function conv2d(input: TensorLike, weight: TensorLike, options: Conv2dOptions = {}): SymbolicTensor {
  const { bias, scale, residual, counts, groups } = options;
  const [output] = record('conv2d', [input, weight, bias, scale, residual, counts], {
    stride: requirePair('stride', options.stride, 1),
    padding: requirePair('padding', options.padding, 0),
    dilation: requirePair('dilation', options.dilation, 1),
    groups: groups === undefined ? undefined : requirePositiveInteger('groups', groups),
    activation: requireActivation(options.activation),
  });
  return withCount(output!, counts, 0);
}
