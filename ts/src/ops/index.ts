/**
 * Single ops, to be called inside of `device.run` or `device.compile`. Images and feature maps are NHWC.
 * @module
 */
/** All ops, one file each. */
export { adaptivePool2d, type AdaptivePool2dOptions } from './adaptive-pool2d.js';
export { add, type AddOptions } from './add.js';
export { anchors, type AnchorsOptions } from './anchors.js';
export { assembleMasks, type AssembleMasksOptions } from './assemble-masks.js';
export { avgPool2d, type AvgPool2dOptions } from './avg-pool2d.js';
export { batchNorm, type BatchNormOptions } from './batch-norm.js';
export { boxIou } from './box-iou.js';
export { cast } from './cast.js';
export { clipBoxes, type ClipBoxesOptions } from './clip-boxes.js';
export { concat, type ConcatOptions } from './concat.js';
export { convTranspose2d, type ConvTranspose2dOptions } from './conv-transpose2d.js';
export { conv2d, type Conv2dOptions } from './conv2d.js';
export { decodeBoxes, type DecodeBoxesOptions } from './decode-boxes.js';
export { decodePriors, type DecodePriorsOptions } from './decode-priors.js';
export { deformConv2d, type DeformConv2dOptions } from './deform-conv2d.js';
export { fastNms, type FastNmsOptions, type FastNmsResult } from './fast-nms.js';
export { filterBoxes, type FilterBoxesOptions, type FilteredBoxes } from './filter-boxes.js';
export { finiteRows } from './finite-rows.js';
export { gatherRows } from './gather-rows.js';
export { gridSample, type GridSampleOptions } from './grid-sample.js';
export { linear, type LinearOptions } from './linear.js';
export { maxPool2d, maxPool2dWithIndices, type MaxPool2dOptions } from './max-pool2d.js';
export { maxUnpool2d, type MaxUnpool2dOptions } from './max-unpool2d.js';
export { multiply } from './multiply.js';
export { nms, type NmsOptions } from './nms.js';
export { normalize, type NormalizeOptions } from './normalize.js';
export type { Activation, CountOptions, Pair } from './options.js';
export { pad, type PadOptions } from './pad.js';
export { pasteMasksRle, type RleMasks } from './paste-masks-rle.js';
export {
  pasteMasks,
  pasteSoftMasks,
  type PasteMasksOptions,
  type PastedRegions,
  type PastedMasks,
  type SoftMasks,
} from './paste-masks.js';
export { preprocess, type PreprocessOptions } from './preprocess.js';
export { preprocessPillow, type PreprocessPillowOptions } from './preprocess-pillow.js';
export { priors, type PriorsOptions } from './priors.js';
export { relu, type ReluOptions } from './relu.js';
export { resize, type ResizeOptions } from './resize.js';
export { roiAlign, type RoiAlignOptions } from './roi-align.js';
export { scaleBoxes } from './scale-boxes.js';
export { selectCandidates, type SelectCandidatesOptions } from './select-candidates.js';
export { selectChannel, type SelectChannelOptions } from './select-channel.js';
export { selectConv2d, type SelectConv2dOptions } from './select-conv2d.js';
export { sigmoid } from './sigmoid.js';
export { slice, type SliceOptions } from './slice.js';
export { softmax, type SoftmaxOptions } from './softmax.js';
export { sort, type SortOptions } from './sort.js';
export { tanh } from './tanh.js';
export { topK, type TopKOptions, type TopK } from './top-k.js';
export { upsampleMasks, upsampleSoftMasks, type UpsampleMasksOptions } from './upsample-masks.js';
export { yolactBoxes, type YolactBoxesOptions } from './yolact-boxes.js';
