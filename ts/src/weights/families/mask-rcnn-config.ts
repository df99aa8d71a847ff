import {
  CHANNELS,
  classFields,
  count,
  fields,
  findClassProblem,
  finite,
  flag,
  fraction,
  fromZero,
  id,
  list,
  never,
  oneOf,
  positive,
} from './check-config.js';

// What a Mask R-CNN is, spelled out: nothing that a forward pass needs is left to a default elsewhere. A configuration
// is plain JSON, and the converter writes it into the metadata of the safetensors file.

/** How a photograph becomes the network's input. Sizes in pixels. */
export interface ImageConfig {
  readonly channelOrder: 'rgb';
  /** Factor on 8-bit values, before the mean is subtracted. */
  readonly scale: number;
  /** Per channel, in channel order, on scaled values. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly normalizeBeforeResize: boolean;
  /** The shorter side is resized to this, unless the longer one would exceed `maxSize`. */
  readonly minSize: number;
  readonly maxSize: number;
  /** Zeros are added at the right and the bottom up to a multiple of this. */
  readonly sizeDivisor: number;
  readonly resizeRounding: 'floor';
  readonly antialias: false;
}

/** A ResNet of bottleneck blocks; one entry a stage (C2 to C5) in each list. */
export interface BackboneConfig {
  readonly blocks: readonly number[];
  /** Output channels of the 7x7 convolution. */
  readonly stem: number;
  /** Channels of the 3x3 convolutions. */
  readonly widths: readonly number[];
  /** Output channels. */
  readonly outputs: readonly number[];
  /** Groups of the 3x3 convolutions. */
  readonly groups: number;
  /** Which convolution of a stage's first block has the stride. */
  readonly strideIn: '3x3';
}

/** Every batch normalisation of the network, in its inference form. */
export interface BatchNormConfig {
  readonly kind: 'frozen' | 'batch';
  /** Added to the variance. */
  readonly epsilon: number;
}

/** The feature pyramid (Lin et al., 2017). */
export interface FpnConfig {
  readonly channels: number;
  /** Batch normalisation, and no bias, after each convolution. */
  readonly norm: boolean;
}

/** Boxes that proposals start from: every ratio at every cell of a level. */
export interface AnchorConfig {
  /** Sides in pixels of the square anchor: one list a level, the finest first. */
  readonly sizes: readonly (readonly number[])[];
  /** Height over width. */
  readonly ratios: readonly number[];
  readonly rounding: 'round-half-even';
}

export interface BoxCoding {
  /** Weights of dx, dy, dw, dh. */
  readonly coderWeights: readonly number[];
  /** Upper limit of dw and dh before the exponential. */
  readonly coderClamp: number;
}

/** The region proposal network and what is kept of its proposals. */
export interface RpnConfig extends BoxCoding {
  /** 3x3 convolutions before the two predictors. */
  readonly convDepth: number;
  /** Per level, by logit. */
  readonly preNmsTopN: number;
  /** Per image, by score. */
  readonly postNmsTopN: number;
  readonly nmsThreshold: number;
  /** Proposals with a side below this, in pixels, are dropped. */
  readonly minSize: number;
  readonly scoreThreshold: number;
}

/** How regions are sampled from the pyramid. */
export interface RoiAlignConfig {
  readonly aligned: boolean;
  /** Samples per bin and axis. */
  readonly samplingRatio: number;
  /** Bins a side. */
  readonly boxSize: number;
  readonly maskSize: number;
  /** level = floor(canonicalLevel + log2(sqrt(area) / canonicalScale) + levelEps), clamped to the levels that exist. */
  readonly levelEps: number;
  readonly canonicalScale: number;
  readonly canonicalLevel: number;
}

/** The box branch and what is kept of its predictions. */
export interface BoxConfig extends BoxCoding {
  /** `convs` are the widths of 3x3 convolutions with batch normalisation, `fcs` those of the dense layers after them. */
  readonly head:
    | { readonly kind: 'fc'; readonly fcs: readonly number[] }
    | { readonly kind: 'conv+fc'; readonly convs: readonly number[]; readonly fcs: readonly number[] };
  /** A detection needs a score above this. */
  readonly scoreThreshold: number;
  readonly nmsThreshold: number;
  readonly maxDetections: number;
  /** Detections with a side below this, in pixels of the resized image, are dropped. */
  readonly minSize: number;
  /** Where the background is among the class scores. */
  readonly background: 'first';
}

/** The mask branch and how masks get into the image. */
export interface MaskConfig {
  /** Widths of the 3x3 convolutions. */
  readonly convs: readonly number[];
  /** Batch normalisation, and no bias, after each of them. */
  readonly norm: boolean;
  /** Output channels of the 2x2 transposed convolution. */
  readonly predictor: number;
  readonly paste: 'torchvision';
  /** A pixel belongs to the mask where its probability is above this. */
  readonly threshold: number;
}

/** Everything that the forward pass of torchvision's Mask R-CNN depends on. */
export interface MaskRcnnConfig {
  readonly family: 'torchvision';
  readonly model: string;
  /** The background included. */
  readonly numClasses: number;
  /** One a class; index 0 is the background. */
  readonly classNames: readonly string[];
  /** What `category_id` of a result is, one a class; 0 for the background. */
  readonly categoryIds: readonly number[];
  readonly image: ImageConfig;
  readonly backbone: BackboneConfig;
  readonly batchNorm: BatchNormConfig;
  readonly fpn: FpnConfig;
  readonly anchors: AnchorConfig;
  readonly rpn: RpnConfig;
  readonly roiAlign: RoiAlignConfig;
  readonly box: BoxConfig;
  readonly mask: MaskConfig;
}

const STAGES = 4;
const LEVELS = STAGES + 1;

const coding = { coderWeights: list(positive, 4), coderClamp: positive };
const fcHead = fields({ kind: oneOf('fc'), fcs: list(count) });
const convHead = fields({ kind: oneOf('conv+fc'), convs: list(count), fcs: list(count) });

/** The form of the configuration; what its fields say together is not looked at. */
export const maskRcnnFields = fields({
  family: oneOf('torchvision'),
  ...classFields,
  image: fields({
    channelOrder: oneOf('rgb'),
    scale: positive,
    mean: list(finite, CHANNELS),
    std: list(positive, CHANNELS),
    normalizeBeforeResize: flag,
    minSize: count,
    maxSize: count,
    sizeDivisor: count,
    resizeRounding: oneOf('floor'),
    antialias: never,
  }),
  backbone: fields({
    blocks: list(count, STAGES),
    stem: count,
    widths: list(count, STAGES),
    outputs: list(count, STAGES),
    groups: count,
    strideIn: oneOf('3x3'),
  }),
  batchNorm: fields({ kind: oneOf('frozen', 'batch'), epsilon: fromZero }),
  fpn: fields({ channels: count, norm: flag }),
  anchors: fields({ sizes: list(list(positive), LEVELS), ratios: list(positive), rounding: oneOf('round-half-even') }),
  rpn: fields({
    convDepth: count,
    preNmsTopN: count,
    postNmsTopN: count,
    nmsThreshold: fraction,
    minSize: fromZero,
    scoreThreshold: fraction,
    ...coding,
  }),
  roiAlign: fields({
    aligned: flag,
    samplingRatio: id,
    boxSize: count,
    maskSize: count,
    levelEps: fromZero,
    canonicalScale: positive,
    canonicalLevel: count,
  }),
  box: fields({
    head: (value, at) => ((value as { kind?: unknown } | null)?.kind === 'fc' ? fcHead : convHead)(value, at),
    scoreThreshold: fraction,
    nmsThreshold: fraction,
    maxDetections: count,
    minSize: fromZero,
    background: oneOf('first'),
    ...coding,
  }),
  mask: fields({ convs: list(count), norm: flag, predictor: count, paste: oneOf('torchvision'), threshold: fraction }),
});

/** Says why a value is not the configuration of a Mask R-CNN, or nothing. */
export function findMaskRcnnProblem(value: unknown): string | undefined {
  const problem = maskRcnnFields(value, 'config') ?? findClassProblem(value as MaskRcnnConfig);
  if (problem !== undefined) return problem;
  const { image, anchors } = value as MaskRcnnConfig;
  if (image.minSize > image.maxSize) return `minSize ${image.minSize} is above maxSize ${image.maxSize}`;
  const perLevel = new Set(anchors.sizes.map((sizes) => sizes.length));
  if (perLevel.size > 1) return 'every level needs the same number of anchor sizes';
  return undefined;
}
