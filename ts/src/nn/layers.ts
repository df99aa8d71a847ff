/** Layers as checkpoints name them: convolution with optional normalisation and activation. */
import * as ops from '../ops/index.js';
import type { SymbolicTensor, TensorLike } from '../runtime/graph.js';
import type { Parameters } from './parameters.js';

export interface ConvOptions {
  readonly stride?: number;
  readonly padding?: number;
  readonly groups?: number;
  readonly counts?: SymbolicTensor | undefined;
}

/** The convolution `<scope>.weight` with `<scope>.bias` where there is one. NHWC. */
export function conv(input: TensorLike, parameters: Parameters, options: ConvOptions = {}): SymbolicTensor {
  return ops.conv2d(input, parameters.get('weight'), { ...options, bias: parameters.find('bias') });
}

/** Inference batch normalisation with the checkpoint's statistics; the plan folds it into the convolution before it. */
export function batchNorm(
  input: TensorLike,
  parameters: Parameters,
  epsilon: number,
  counts?: SymbolicTensor,
): SymbolicTensor {
  return ops.batchNorm(input, {
    mean: parameters.get('running_mean'),
    variance: parameters.get('running_var'),
    weight: parameters.get('weight'),
    bias: parameters.get('bias'),
    epsilon,
    counts,
  });
}

/**
 * torchvision's Conv2dNormActivation: `<scope>.0` is the convolution, `<scope>.1` its batch normalisation where the
 * checkpoint has one. No activation here.
 */
export function convNorm(
  input: TensorLike,
  parameters: Parameters,
  epsilon: number,
  options: ConvOptions = {},
): SymbolicTensor {
  const output = conv(input, parameters.scope('0'), options);
  const norm = parameters.scope('1');
  return norm.has('running_mean') ? batchNorm(output, norm, epsilon, options.counts) : output;
}
