import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { invalid, requireFinite } from '../runtime/validate.js';

/** Options of {@link normalize}. */
export interface NormalizeOptions {
  /** One number for each channel of the output, subtracted after `scale`. */
  readonly mean: readonly number[];
  /** One positive number for each channel of the output. */
  readonly std: readonly number[];
  /** Applied first; default 1. For bytes and statistics of the range 0 to 1 it is 1 / 255. */
  readonly scale?: number | undefined;
  /** Reverses the channels (RGB to BGR or back); default false. */
  readonly swapChannels?: boolean | undefined;
}

/** Checks a list of numbers that are more than `above`. */
export function requireNumbers(name: string, value: unknown, above = -Infinity): number[] {
  const fits = (item: unknown): item is number => Number.isFinite(item) && (item as number) > above;
  if (!Array.isArray(value) || !value.every(fits)) {
    throw invalid(name, above === 0 ? 'an array of positive numbers' : 'an array of finite numbers', value);
  }
  return [...value];
}

/**
 * (x * scale - mean) / std, channel by channel.
 * @param input u8 or f32 [N, H, W, C]
 * @returns f32 [N, H, W, C]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE
 * @see torchvision.transforms.Normalize
 */
export function normalize(input: TensorLike, options: NormalizeOptions): SymbolicTensor {
  const { mean, std, scale, swapChannels } = options;
  return record('normalize', [input], {
    mean: requireNumbers('mean', mean),
    std: requireNumbers('std', std, 0),
    scale: scale === undefined ? undefined : requireFinite('scale', scale),
    swapChannels,
  })[0]!;
}
