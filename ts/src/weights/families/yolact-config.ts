import {
  CHANNELS,
  type Check,
  classFields,
  count,
  expect,
  fields,
  finite,
  findClassProblem,
  flag,
  fraction,
  fromZero,
  id,
  list,
  never,
  oneOf,
  positive,
} from './check-config.js';
import type { BackboneConfig, BatchNormConfig } from './mask-rcnn-config.js';

// What a YOLACT or YOLACT++ is (dbolya/yolact), spelled out. Levels are the maps that the head sees, the finest (P3)
// first; they come from the backbone's selected stages and then from the FPN's downsampling convolutions.

/** How a photograph becomes the network's input. */
export interface YolactImageConfig {
  /** Of the network's input. */
  readonly channelOrder: 'rgb';
  /** Factor on 8-bit values, before the mean is subtracted: 1, or 1/255 for DarkNet. */
  readonly scale: number;
  /** Order of the channels in `mean` and `std`: normalisation comes before the swap to RGB. */
  readonly statsOrder: 'bgr';
  /** Per channel in `statsOrder`, on scaled values. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly normalizeBeforeResize: boolean;
  /** Both sides are resized to this, whatever the aspect ratio. In pixels. */
  readonly size: number;
  readonly antialias: false;
}

/** A ResNet; one entry a stage (C2 to C5) in each list. */
export interface YolactResNetConfig extends BackboneConfig {
  readonly kind: 'resnet';
  /** Which blocks of each stage have a modulated deformable 3x3 convolution (DCNv2), with a bias. */
  readonly deformable: readonly (readonly boolean[])[];
  /** Stages that the FPN takes, ascending; 0 is C2. */
  readonly selected: readonly number[];
}

/** A DarkNet-53; one entry a stage in each list. Every stage begins with a 3x3 convolution of stride 2. */
export interface YolactDarkNetConfig {
  readonly kind: 'darknet';
  /** Residual blocks after the convolution of stride 2. */
  readonly blocks: readonly number[];
  /** Output channels of the first 3x3 convolution, which has stride 1. */
  readonly stem: number;
  /** Channels of the 1x1 convolutions. */
  readonly widths: readonly number[];
  /** Output channels. */
  readonly outputs: readonly number[];
  /** Slope of the leaky ReLU below zero; it follows every normalisation. */
  readonly negativeSlope: number;
  /** Stages that the FPN takes, ascending; 0 has stride 2. */
  readonly selected: readonly number[];
}

/** The feature pyramid, and the levels that convolutions add to it. */
export interface YolactFpnConfig {
  readonly channels: number;
  /** 3x3 convolutions of stride 2, each on the level before it, that add levels after the selected stages' ones. */
  readonly downsamples: number;
  /** To the exact size of the finer map, without aligned corners. */
  readonly interpolation: 'bilinear';
  /** ReLU after the 3x3 convolutions of the selected stages' levels. */
  readonly reluPredictions: boolean;
  /** ReLU after the downsampling convolutions. */
  readonly reluDownsamples: boolean;
}

/** A convolution with "same" padding and a bias, or a bilinear resize by two without aligned corners. */
export type ProtonetLayer =
  { readonly kind: 'conv'; readonly channels: number; readonly kernel: number } | { readonly kind: 'upsample' };

/** Makes the prototype masks out of the finest level. */
export interface ProtonetConfig {
  /** The channels of the last convolution are the prototypes. */
  readonly layers: readonly ProtonetLayer[];
  /** After every layer, the resize and the last one included. */
  readonly activation: 'relu';
}

/** Predicts boxes, scores and mask coefficients. */
export interface YolactHeadConfig {
  /** One head for all levels. */
  readonly shared: true;
  /** Widths of the 3x3 convolutions with ReLU before the three predictors. */
  readonly upfeature: readonly number[];
  /** Ratios and scales of a level make as many. */
  readonly anchorsPerCell: number;
  /** As many as prototypes. */
  readonly coefficients: number;
  readonly coefficientActivation: 'tanh';
  readonly scoreActivation: 'softmax';
  /** Where the background is among the class scores. */
  readonly background: 'first';
}

/** Anchors (priors) about the centre of each cell; the scale is the outer loop, the ratio the inner one. */
export interface YolactAnchorConfig {
  /** In pixels of the resized image: one list a level, the finest first. */
  readonly scales: readonly (readonly number[])[];
  /** Width over height, before the square root; width = scale * sqrt(ratio), height = scale / sqrt(ratio). */
  readonly ratios: readonly number[];
  /** height = width, as YOLACT (but not YOLACT++) was trained. */
  readonly square: boolean;
  /** Ratios are used as they are, without the square root. */
  readonly preapplySqrt: false;
}

/** From the head's outputs to at most `maxDetections` boxes. */
export interface YolactDetectConfig {
  /** Factors on the predicted centre and on the predicted logarithms of the sides. */
  readonly variances: readonly number[];
  /** An anchor takes part if the best of its foreground scores is above this. */
  readonly confThreshold: number;
  /**
   * 'fast': a class at a time, boxes that are suppressed still suppress others; 'cross-class': the same over the best
   * class of each anchor; 'traditional': greedy, a class at a time.
   */
  readonly nms: 'fast' | 'cross-class' | 'traditional';
  readonly nmsThreshold: number;
  /** Boxes of a class (of all classes with 'cross-class') that enter the fast variants, by score. */
  readonly topK: number;
  /** Over all classes, by score; 'cross-class' has no limit but `topK`. */
  readonly maxDetections: number;
  /** A detection needs a score above this. 0 as in the official evaluation; its demonstrations use 0.15. */
  readonly scoreThreshold: number;
}

/** From prototypes and coefficients to masks. */
export interface YolactMaskConfig {
  /** Of the sum of prototypes. */
  readonly activation: 'sigmoid';
  /** Cells of the prototypes by which the box that crops a mask is larger on each side. */
  readonly cropPadding: number;
  /** From the prototypes to the image, without aligned corners. */
  readonly interpolation: 'bilinear';
  /** A pixel belongs to the mask where its probability is above this. */
  readonly threshold: number;
  /**
   * The network that predicts how good a mask is (YOLACT++): widths of its 3x3 convolutions of stride 2 without padding;
   * a 1x1 convolution to the foreground classes comes after them, ReLU after each, and the maximum of each class.
   * A mask's score is then the box's score times what it says.
   */
  readonly rescore: { readonly convs: readonly number[] } | null;
  /** Of the masks given out: that of the image, of the network's input, or of the prototypes as they are. */
  readonly resolution: 'original' | 'input' | 'prototype';
  /** The box's score too. */
  readonly rescoreBoxes: boolean;
}

/** Everything that the forward pass of a YOLACT or YOLACT++ depends on. */
export interface YolactConfig {
  readonly family: 'yolact';
  readonly model: string;
  /** The background included. */
  readonly numClasses: number;
  /** One a class; index 0 is the background. */
  readonly classNames: readonly string[];
  /** What `category_id` of a result is, one a class; 0 for the background. */
  readonly categoryIds: readonly number[];
  readonly image: YolactImageConfig;
  readonly backbone: YolactResNetConfig | YolactDarkNetConfig;
  readonly batchNorm: BatchNormConfig;
  readonly fpn: YolactFpnConfig;
  readonly protonet: ProtonetConfig;
  readonly head: YolactHeadConfig;
  readonly anchors: YolactAnchorConfig;
  readonly detect: YolactDetectConfig;
  readonly mask: YolactMaskConfig;
}

const RESNET_STAGES = 4;
const DARKNET_STAGES = 5;

const stageCounts = (stages: number): Readonly<Record<string, Check>> => ({
  blocks: list(count, stages),
  stem: count,
  widths: list(count, stages),
  outputs: list(count, stages),
  selected: list(id),
});

const resnet = fields({
  kind: oneOf('resnet'),
  ...stageCounts(RESNET_STAGES),
  groups: count,
  strideIn: oneOf('3x3'),
  deformable: list(list(flag), RESNET_STAGES),
});

const darknet = fields({ kind: oneOf('darknet'), ...stageCounts(DARKNET_STAGES), negativeSlope: fromZero });

const convLayer = fields({ kind: oneOf('conv'), channels: count, kernel: count });
const upsampleLayer = fields({ kind: oneOf('upsample') });

const kindOf = (value: unknown): unknown => (value as { kind?: unknown } | null)?.kind;

/** Like `list(count)`, but it may be empty. */
const widths: Check = (value, at) => (Array.isArray(value) && value.length === 0 ? undefined : list(count)(value, at));

/** The form of the configuration; what its fields say together is not looked at. */
export const yolactFields = fields({
  family: oneOf('yolact'),
  ...classFields,
  image: fields({
    channelOrder: oneOf('rgb'),
    scale: positive,
    statsOrder: oneOf('bgr'),
    mean: list(finite, CHANNELS),
    std: list(positive, CHANNELS),
    normalizeBeforeResize: flag,
    size: count,
    antialias: never,
  }),
  backbone: (value, at) => (kindOf(value) === 'darknet' ? darknet : resnet)(value, at),
  batchNorm: fields({ kind: oneOf('frozen', 'batch'), epsilon: fromZero }),
  fpn: fields({
    channels: count,
    downsamples: id,
    interpolation: oneOf('bilinear'),
    reluPredictions: flag,
    reluDownsamples: flag,
  }),
  protonet: fields({
    layers: list((value, at) => (kindOf(value) === 'upsample' ? upsampleLayer : convLayer)(value, at)),
    activation: oneOf('relu'),
  }),
  head: fields({
    shared: expect('true', (value) => value === true),
    upfeature: widths,
    anchorsPerCell: count,
    coefficients: count,
    coefficientActivation: oneOf('tanh'),
    scoreActivation: oneOf('softmax'),
    background: oneOf('first'),
  }),
  anchors: fields({
    scales: list(list(positive)),
    ratios: list(positive),
    square: flag,
    preapplySqrt: never,
  }),
  detect: fields({
    variances: list(positive, 2),
    confThreshold: fraction,
    nms: oneOf('fast', 'cross-class', 'traditional'),
    nmsThreshold: fraction,
    topK: count,
    maxDetections: count,
    scoreThreshold: fraction,
  }),
  mask: fields({
    activation: oneOf('sigmoid'),
    cropPadding: fromZero,
    interpolation: oneOf('bilinear'),
    threshold: fraction,
    rescore: (value, at) => (value === null ? undefined : fields({ convs: list(count) })(value, at)),
    resolution: oneOf('original', 'input', 'prototype'),
    rescoreBoxes: flag,
  }),
});

/** Says why a value is not the configuration of a YOLACT, or nothing. */
export function findYolactProblem(value: unknown): string | undefined {
  const problem = yolactFields(value, 'config') ?? findClassProblem(value as YolactConfig);
  if (problem !== undefined) return problem;
  const { backbone, fpn, protonet, head, mask } = value as YolactConfig;
  const { selected, blocks } = backbone;
  if (selected.some((stage, i) => stage >= blocks.length || stage <= (selected[i - 1] ?? -1))) {
    return `config.backbone.selected, [${selected.join(', ')}], are not ascending stages below ${blocks.length}`;
  }
  if (backbone.kind === 'resnet' && backbone.deformable.some((stage, i) => stage.length !== blocks[i])) {
    return 'config.backbone.deformable needs an entry a block';
  }
  const last = protonet.layers.at(-1);
  if (last?.kind !== 'conv' || last.channels !== head.coefficients) {
    return `the last layer of the prototype network has to be a convolution to ${head.coefficients} channels`;
  }
  if (mask.rescoreBoxes && mask.rescore === null) return 'rescoreBoxes needs a network that predicts it';
  return findAnchorProblem(value as YolactConfig, selected.length + fpn.downsamples);
}

function findAnchorProblem({ anchors, head }: YolactConfig, levels: number): string | undefined {
  if (anchors.scales.length !== levels)
    return `there are ${levels} levels and ${anchors.scales.length} lists of scales`;
  const perCell = anchors.scales.map((scales) => scales.length * anchors.ratios.length);
  const wrong = perCell.find((number) => number !== head.anchorsPerCell);
  if (wrong === undefined) return undefined;
  return `the head predicts ${head.anchorsPerCell} anchors a cell, scales and ratios make ${wrong}`;
}

/** Sides of the square anchors of YOLACT at 550 pixels: one a level. */
export const BASE_SIZE = 550;
export const BASE_SCALES: readonly number[] = [24, 48, 96, 192, 384];

/** Input sizes of published configurations whose weights look like those of another one. */
const SIZES: Readonly<Record<string, number>> = { yolact_im400: 400, yolact_im700: 700 };

/** Names of configurations that say more than names and shapes of the tensors do. */
export const PRESETS: readonly string[] = Object.keys(SIZES);

/** What a configuration's name says and the tensors do not. */
export function yolactPreset(model: string): {
  image?: Partial<YolactImageConfig>;
  anchors?: Partial<YolactAnchorConfig>;
} {
  const size = Object.hasOwn(SIZES, model) ? SIZES[model] : undefined;
  if (size === undefined) return {};
  return { image: { size }, anchors: { scales: BASE_SCALES.map((scale) => [Math.trunc((scale / BASE_SIZE) * size)]) } };
}
