import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, integer, number, oneOf, type OptionChecks } from '../runtime/options.js';
import { numbers, pair, tensor, requireTensors, type CountOptions, type Pair } from './options.js';

/** Options of {@link roiAlign}. */
export interface RoiAlignOptions extends CountOptions {
  /** Bins of each region, [height, width]. */
  readonly output: Pair;
  /** Map pixels per image pixel of each level (1/4, 1/8 ...). */
  readonly scales: readonly number[];
  /** Samples a bin and axis; default 0: ceil(region / output), so one a map pixel. */
  readonly samplingRatio?: number | undefined;
  /** Shifts regions by half a pixel, so that pixel centres lie at .5, and leaves small regions small; default false. */
  readonly aligned?: boolean | undefined;
  /** With several levels: a box of this side (sqrt of the area) belongs to `canonicalLevel`; default 224. */
  readonly canonicalScale?: number | undefined;
  /** Default 4. */
  readonly canonicalLevel?: number | undefined;
  /** Number of the first level; default -log2(scales[0]). */
  readonly minLevel?: number | undefined;
  /**
   * "torchvision" (default): floor(canonicalLevel + log2(side / canonicalScale) + epsilon);
   * "detectron2": floor(canonicalLevel + log2(side / canonicalScale + epsilon)).
   */
  readonly levelRule?: 'torchvision' | 'detectron2' | undefined;
  /** Default 1e-6 for torchvision's rule, 1e-8 for detectron2's. */
  readonly levelEpsilon?: number | undefined;
}

const OPTIONS = {
  output: pair(1),
  scales: numbers,
  samplingRatio: optional(integer(0)),
  aligned: optional(flag),
  canonicalScale: optional(number()),
  canonicalLevel: optional(number()),
  minLevel: optional(integer(-64)),
  levelRule: optional(oneOf('torchvision', 'detectron2')),
  levelEpsilon: optional(number()),
  counts: optional(tensor),
} satisfies OptionChecks<RoiAlignOptions>;

/**
 * Regions of one or several feature maps, bilinearly sampled to a fixed size. With several maps each box takes the one
 * that its size belongs to. Samples more than a pixel outside the map count as 0, others are clamped to it. Adaptive
 * grids visit only samples on the map, so that no box, however large, takes long. A box with NaN gives 0; with several
 * levels so does one of negative area.
 * @param boxes f32 [N, K, 4], x1, y1, x2, y2 in image pixels
 * @param features f32 (on a GPU also f16, bf16) [N, H, W, C] of each level, finest first
 * @returns [N * K, height, width, C] in the dtype of the features; sums are f32
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torchvision.ops.roi_align and MultiScaleRoIAlign (He et al., Mask R-CNN, 2017; Lin et al., FPN, 2017)
 */
export function roiAlign(boxes: TensorLike, features: readonly TensorLike[], options: RoiAlignOptions): SymbolicTensor {
  const maps = requireTensors('features', features);
  const { counts, ...attributes } = readOptions('roiAlign', options, OPTIONS);
  const [output] = record('roiAlign', [boxes, counts, ...maps], attributes);
  return withCount(output!, counts, 0);
}
