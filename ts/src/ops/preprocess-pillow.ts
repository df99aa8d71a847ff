import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, integer, type OptionChecks } from '../runtime/options.js';
import { numbers, positiveNumbers, requireTensors } from './options.js';

/** Options of {@link preprocessPillow}. */
export interface PreprocessPillowOptions {
  /** Size of each image's slot in the batch, in pixels. */
  readonly height: number;
  readonly width: number;
  /** Three numbers, in the order of the result's channels. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Reverses the images' channels before normalising; default false. */
  readonly swapChannels?: boolean | undefined;
}

const OPTIONS = {
  height: integer(1),
  width: integer(1),
  mean: numbers,
  std: positiveNumbers,
  swapChannels: optional(flag),
} satisfies OptionChecks<PreprocessPillowOptions>;

/**
 * Images of any size to one batch, as detectron2 prepares them: each is resized, normalised, (x - mean) / std, and placed
 * at the top left of its slot; the rest is 0. 8-bit images are resized as Pillow does it, bit by bit: a triangle filter
 * that antialiases where the image shrinks, in fixed point, rounded to 8 bits after each axis. f32 images are resized
 * bilinearly at pixel centres without antialiasing.
 * @param images N tensors u8 or f32 [H, W, 3]; H and W may be unknown (-1) until the plan runs
 * @param sizes i32 [N, 4], a row an image: original height, original width, resized height, resized width
 * @returns f32 [N, height, width, 3]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE; the run rejects with ERR_SHAPE where an image does not have
 *   its row's size or its resized size does not fit the slot
 * @see Pillow's Image.resize with BILINEAR; ResizeTransform and GeneralizedRCNN.preprocess_image of detectron2
 */
export function preprocessPillow(
  images: readonly TensorLike[],
  sizes: TensorLike,
  options: PreprocessPillowOptions,
): SymbolicTensor {
  const attributes = readOptions('preprocessPillow', options, OPTIONS);
  return record('preprocessPillow', [sizes, ...requireTensors('images', images)], attributes)[0]!;
}
