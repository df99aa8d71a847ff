import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, finite, type OptionChecks } from '../runtime/options.js';
import { numbers, positiveNumbers } from './options.js';

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

const OPTIONS = {
  mean: numbers,
  std: positiveNumbers,
  scale: optional(finite),
  swapChannels: optional(flag),
} satisfies OptionChecks<NormalizeOptions>;

/**
 * (x * scale - mean) / std, channel by channel.
 * @param input u8 or f32 [N, H, W, C]
 * @returns f32 [N, H, W, C]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE
 * @see torchvision.transforms.Normalize
 */
export function normalize(input: TensorLike, options: NormalizeOptions): SymbolicTensor {
  return record('normalize', [input], readOptions('normalize', options, OPTIONS))[0]!;
}
