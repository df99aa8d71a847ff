import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, number, oneOf, type OptionChecks } from '../runtime/options.js';
import { tensor, type CountOptions } from './options.js';

/** Options of {@link pasteMasks}, {@link pasteSoftMasks} and {@link pasteMasksRle}. */
export interface PasteMasksOptions extends CountOptions {
  /**
   * "torchvision" (default): the mask gets a border of zeros, the box grows accordingly and is cut to whole pixels, the
   * mask is resized to it; pixels above the threshold are set.
   * "detectron2": the mask is sampled at pixel centres within the box as it is; pixels from the threshold on are set.
   */
  readonly rule?: 'torchvision' | 'detectron2' | undefined;
  /** Default 0.5. */
  readonly threshold?: number | undefined;
}

const SOFT_OPTIONS = {
  rule: optional(oneOf('torchvision', 'detectron2')),
  counts: optional(tensor),
} satisfies OptionChecks<Omit<PasteMasksOptions, 'threshold'>>;

/** @internal */
export const PASTE_OPTIONS = {
  ...SOFT_OPTIONS,
  threshold: optional(number()),
} satisfies OptionChecks<PasteMasksOptions>;

/** Where masks lie: each has pixels only in its region of the image. */
export interface PastedRegions {
  /** i32 [N, K, 4]: x, y, width and height of the region, all 0 where no pixel of the image is covered. */
  readonly regions: SymbolicTensor;
  /** i32 [N, K]: where each region begins in the values, in 32-bit words (or in values of the soft result). */
  readonly offsets: SymbolicTensor;
}

/** Masks as bits, see {@link pasteMasks}. */
export interface PastedMasks extends PastedRegions {
  /**
   * u8, its length known when the plan has run: for each region rows top to bottom, each of ceil(width / 32)
   * little-endian 32-bit words; pixel x is bit x & 31 of word x >> 5, bits past the width are 0.
   */
  readonly bits: SymbolicTensor;
}

/** Masks as probabilities, see {@link pasteSoftMasks}. */
export interface SoftMasks extends PastedRegions {
  /** f32, its length known when the plan has run: for each region height x width probabilities, before the threshold. */
  readonly values: SymbolicTensor;
}

/**
 * Masks resized into their boxes, stored only inside them: the memory is the sum of the regions.
 * @param masks f32 probabilities [N, K, mh, mw], or [N * K, mh, mw]
 * @param boxes f32 [N, K, 4] (x1, y1, x2, y2) in the original images
 * @param sizes i32 [N, 4], of which height and width of the original image come first
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE; ERR_OUT_OF_MEMORY above 8 GB when it runs
 * @see torchvision.models.detection.roi_heads.paste_masks_in_image, detectron2.layers.paste_masks_in_image
 */
export function pasteMasks(
  masks: TensorLike,
  boxes: TensorLike,
  sizes: TensorLike,
  options: PasteMasksOptions = {},
): PastedMasks {
  const { counts, ...attributes } = readOptions('pasteMasks', options, PASTE_OPTIONS);
  const [regions, offsets, bits] = record('pasteMasks', [masks, boxes, sizes, counts], attributes);
  return { regions: withCount(regions!, counts, 1), offsets: withCount(offsets!, counts, 1), bits: bits! };
}

/** The probabilities that {@link pasteMasks} compares with its threshold; arguments and errors are the same. */
export function pasteSoftMasks(
  masks: TensorLike,
  boxes: TensorLike,
  sizes: TensorLike,
  options: Omit<PasteMasksOptions, 'threshold'> = {},
): SoftMasks {
  const { counts, ...attributes } = readOptions('pasteSoftMasks', options, SOFT_OPTIONS);
  const inputs = [masks, boxes, sizes, counts];
  const [regions, offsets, values] = record('pasteMasks', inputs, { ...attributes, output: 'soft' });
  return { regions: withCount(regions!, counts, 1), offsets: withCount(offsets!, counts, 1), values: values! };
}
