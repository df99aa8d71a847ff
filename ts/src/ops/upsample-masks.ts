import { record, withCount, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, number, type OptionChecks } from '../runtime/options.js';
import { tensor, COUNT_OPTIONS, type CountOptions } from './options.js';
import type { PastedMasks, SoftMasks } from './paste-masks.js';

/** Options of {@link upsampleMasks}. */
export interface UpsampleMasksOptions extends CountOptions {
  /** At least 0; default 0.5. */
  readonly threshold?: number | undefined;
}

const OPTIONS = {
  threshold: optional(number(0)),
  counts: optional(tensor),
} satisfies OptionChecks<UpsampleMasksOptions>;

/**
 * Masks of whole images enlarged to the original size, stored only in the region where they can be more than 0: the
 * pixels that sample a cell other than 0. The bits are exactly those of the enlarged mask, compared with the threshold.
 * @param masks f32 [N * D, PH, PW, 1], or [N, D, PH, PW] (PW more than 1)
 * @param sizes i32 [N, 4], of which height and width of the original image come first
 * @returns as `pasteMasks`; pixels above the threshold are set
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE; ERR_OUT_OF_MEMORY above 8 GB when it runs
 * @see torch.nn.functional.interpolate (bilinear, align_corners=False), as output_utils.postprocess of dbolya/yolact
 *   calls it
 */
export function upsampleMasks(masks: TensorLike, sizes: TensorLike, options: UpsampleMasksOptions = {}): PastedMasks {
  const { counts, ...attributes } = readOptions('upsampleMasks', options, OPTIONS);
  const [regions, offsets, bits] = record('upsampleMasks', [masks, sizes, counts], attributes);
  return { regions: withCount(regions!, counts, 1), offsets: withCount(offsets!, counts, 1), bits: bits! };
}

/** The values that {@link upsampleMasks} compares with its threshold; arguments and errors are the same. */
export function upsampleSoftMasks(masks: TensorLike, sizes: TensorLike, options: CountOptions = {}): SoftMasks {
  const { counts } = readOptions('upsampleSoftMasks', options, COUNT_OPTIONS);
  const [regions, offsets, values] = record('upsampleMasks', [masks, sizes, counts], { output: 'soft' });
  return { regions: withCount(regions!, counts, 1), offsets: withCount(offsets!, counts, 1), values: values! };
}
