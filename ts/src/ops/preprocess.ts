import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, finite, integer, oneOf, type OptionChecks } from '../runtime/options.js';
import { numbers, positiveNumbers, requireTensors } from './options.js';

/** Options of {@link preprocess}. */
export interface PreprocessOptions {
  /** Size of each image's slot in the batch, in pixels. */
  readonly height: number;
  readonly width: number;
  /** Three numbers, in the order that the channels have when they are normalised. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Applied to the pixels first; default 1 / 255. */
  readonly scale?: number | undefined;
  /** What comes first; the results differ by rounding only. Default "normalizeFirst". */
  readonly order?: 'normalizeFirst' | 'resizeFirst' | undefined;
  /** Reverses the images' channels before normalising; default false. */
  readonly swapInput?: boolean | undefined;
  /** Reverses the channels after normalising; default false. */
  readonly swapOutput?: boolean | undefined;
}

const OPTIONS = {
  height: integer(1),
  width: integer(1),
  mean: numbers,
  std: positiveNumbers,
  scale: optional(finite),
  order: optional(oneOf('normalizeFirst', 'resizeFirst')),
  swapInput: optional(flag),
  swapOutput: optional(flag),
} satisfies OptionChecks<PreprocessOptions>;

/**
 * Images of any size to one batch: each is normalised, (x * scale - mean) / std, resized bilinearly (pixel centres, no
 * antialiasing, coordinates from original / resized size) and placed at the top left of its slot; the rest is 0.
 * @param images N tensors u8 or f32 [H, W, 3]; H and W may be unknown (-1) until the plan runs
 * @param sizes i32 [N, 4], a row an image: original height, original width, resized height, resized width
 * @returns f32 [N, height, width, 3]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE; the run rejects with ERR_SHAPE where an image does not have
 *   its row's size or its resized size does not fit the slot
 * @see torchvision.models.detection.transform.GeneralizedRCNNTransform ("normalizeFirst"); FastBaseTransform of
 *   dbolya/yolact ("resizeFirst", with scale 1 and both swaps)
 */
export function preprocess(
  images: readonly TensorLike[],
  sizes: TensorLike,
  options: PreprocessOptions,
): SymbolicTensor {
  const attributes = readOptions('preprocess', options, OPTIONS);
  return record('preprocess', [sizes, ...requireTensors('images', images)], attributes)[0]!;
}
