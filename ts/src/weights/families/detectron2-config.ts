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
  oneOf,
  positive,
} from './check-config.js';
import type { BatchNormConfig, BoxCoding, RoiAlignConfig } from './mask-rcnn-config.js';

// What detectron2's Mask R-CNN with FPN is, spelled out as in mask-rcnn-config.ts.

/** How a photograph becomes the network's input: Pillow's resize on 8 bits, then (x - mean) / std. Sizes in pixels. */
export interface Detectron2ImageConfig {
  readonly channelOrder: 'bgr' | 'rgb';
  /** Per channel, in channel order, on values from 0 to 255. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** The shorter side is resized to this, unless the longer one would exceed `maxSize`. */
  readonly minSize: number;
  readonly maxSize: number;
  /** Zeros are added at the right and the bottom up to a multiple of this. */
  readonly sizeDivisor: number;
  readonly resizeRounding: 'half-up';
  readonly resample: 'pillow';
}

/** A ResNet or ResNeXt of bottleneck blocks; one entry a stage (C2 to C5) in each list. */
export interface Detectron2BackboneConfig {
  readonly blocks: readonly number[];
  /** Output channels of the 7x7 convolution. */
  readonly stem: number;
  /** Channels of the 3x3 convolutions. */
  readonly widths: readonly number[];
  /** Output channels. */
  readonly outputs: readonly number[];
  /** Groups of the 3x3 convolutions. */
  readonly groups: number;
  /** Which convolution of a stage's first block has the stride: the first in Microsoft's ResNets. */
  readonly strideIn: '1x1' | '3x3';
}

/** Boxes that proposals start from: every ratio at every cell of a level. */
export interface Detectron2AnchorConfig {
  /** Sides in pixels of the square anchor: one list a level, the finest first. */
  readonly sizes: readonly (readonly number[])[];
  /** Height over width. */
  readonly ratios: readonly number[];
  /** Pixels from cell to cell, one a level; RoIAlign's scales are their inverses. */
  readonly strides: readonly number[];
  readonly rounding: 'none';
}

/** The region proposal network and what is kept of its proposals. */
export interface Detectron2RpnConfig extends BoxCoding {
  /** Per level, by logit. */
  readonly preNmsTopN: number;
  /** Per image, by logit. */
  readonly postNmsTopN: number;
  readonly nmsThreshold: number;
  /** Both sides of a proposal are larger than this, in pixels. */
  readonly minSize: number;
}

/** How regions are sampled from the pyramid. */
export interface Detectron2RoiAlignConfig extends RoiAlignConfig {
  /** level = floor(canonicalLevel + log2(sqrt(area) / canonicalScale + levelEps)), clamped to the levels that exist. */
  readonly levelRule: 'detectron2';
}

/** The box branch and what is kept of its predictions. */
export interface Detectron2BoxConfig extends BoxCoding {
  /** Widths of the dense layers. */
  readonly fcs: readonly number[];
  /** A detection needs a score above this. */
  readonly scoreThreshold: number;
  readonly nmsThreshold: number;
  readonly maxDetections: number;
  /** Where the background is among the class scores; it has neither boxes nor masks. */
  readonly background: 'last';
}

/** The mask branch and how masks get into the image. */
export interface Detectron2MaskConfig {
  /** Widths of the 3x3 convolutions. */
  readonly convs: readonly number[];
  /** Output channels of the 2x2 transposed convolution. */
  readonly predictor: number;
  readonly paste: 'detectron2';
  /** A pixel belongs to the mask where its probability is at least this. */
  readonly threshold: number;
}

/** Everything that the forward pass of detectron2's Mask R-CNN depends on. */
export interface Detectron2Config {
  readonly family: 'detectron2';
  readonly model: string;
  /** The background included. */
  readonly numClasses: number;
  /** One a class; the last is the background. */
  readonly classNames: readonly string[];
  /** What `category_id` of a result is, one a class; 0 for the background. */
  readonly categoryIds: readonly number[];
  readonly image: Detectron2ImageConfig;
  readonly backbone: Detectron2BackboneConfig;
  readonly batchNorm: BatchNormConfig;
  readonly fpn: { readonly channels: number };
  readonly anchors: Detectron2AnchorConfig;
  readonly rpn: Detectron2RpnConfig;
  readonly roiAlign: Detectron2RoiAlignConfig;
  readonly box: Detectron2BoxConfig;
  readonly mask: Detectron2MaskConfig;
}

const STAGES = 4;
const LEVELS = STAGES + 1;

const coding = { coderWeights: list(positive, 4), coderClamp: positive };

/** The form of the configuration; what its fields say together is not looked at. */
export const detectron2Fields = fields({
  family: oneOf('detectron2'),
  ...classFields,
  image: fields({
    channelOrder: oneOf('bgr', 'rgb'),
    mean: list(finite, CHANNELS),
    std: list(positive, CHANNELS),
    minSize: count,
    maxSize: count,
    sizeDivisor: count,
    resizeRounding: oneOf('half-up'),
    resample: oneOf('pillow'),
  }),
  backbone: fields({
    blocks: list(count, STAGES),
    stem: count,
    widths: list(count, STAGES),
    outputs: list(count, STAGES),
    groups: count,
    strideIn: oneOf('1x1', '3x3'),
  }),
  batchNorm: fields({ kind: oneOf('frozen', 'batch'), epsilon: fromZero }),
  fpn: fields({ channels: count }),
  anchors: fields({
    sizes: list(list(positive), LEVELS),
    ratios: list(positive),
    strides: list(count, LEVELS),
    rounding: oneOf('none'),
  }),
  rpn: fields({ preNmsTopN: count, postNmsTopN: count, nmsThreshold: fraction, minSize: fromZero, ...coding }),
  roiAlign: fields({
    aligned: flag,
    samplingRatio: id,
    boxSize: count,
    maskSize: count,
    levelEps: fromZero,
    levelRule: oneOf('detectron2'),
    canonicalScale: positive,
    canonicalLevel: count,
  }),
  box: fields({
    fcs: list(count),
    scoreThreshold: fraction,
    nmsThreshold: fraction,
    maxDetections: count,
    background: oneOf('last'),
    ...coding,
  }),
  mask: fields({ convs: list(count), predictor: count, paste: oneOf('detectron2'), threshold: fraction }),
});

/** Says why a value is not the configuration of detectron2's Mask R-CNN, or nothing. */
export function findDetectron2Problem(value: unknown): string | undefined {
  const problem = detectron2Fields(value, 'config') ?? findClassProblem(value as Detectron2Config);
  if (problem !== undefined) return problem;
  const { image, anchors, backbone } = value as Detectron2Config;
  if (image.minSize > image.maxSize) return `minSize ${image.minSize} is above maxSize ${image.maxSize}`;
  const perLevel = new Set(anchors.sizes.map((sizes) => sizes.length));
  if (perLevel.size > 1) return 'every level needs the same number of anchor sizes';
  if (backbone.widths.some((width) => width % backbone.groups !== 0)) {
    return `widths ${backbone.widths.join(', ')} do not divide into ${backbone.groups} groups`;
  }
  return undefined;
}
