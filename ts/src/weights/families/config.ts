import { InstasegError } from '../../runtime/errors.js';
import { classList } from '../coco-classes.js';

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
  readonly antialias: boolean;
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

export interface FpnConfig {
  readonly channels: number;
  /** Batch normalisation, and no bias, after each convolution. */
  readonly norm: boolean;
}

export interface AnchorConfig {
  /** Sides in pixels of the square anchor: one list a level, the finest first. */
  readonly sizes: readonly (readonly number[])[];
  /** Height over width. */
  readonly ratios: readonly number[];
  readonly rounding: 'round-half-even';
}

interface BoxCoding {
  /** Weights of dx, dy, dw, dh. */
  readonly coderWeights: readonly number[];
  /** Upper limit of dw and dh before the exponential. */
  readonly coderClamp: number;
}

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

/** Fields to replace; undefined leaves a field as it is. */
type Changes<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** The configuration of a model of any family; `family` tells them apart. */
export type ModelConfig = MaskRcnnConfig;

/** What the caller knows better than the file. Anything that is left out stays as recorded or inferred. */
export interface ConfigOverrides {
  /** With or without the background in front. */
  readonly classNames?: readonly string[] | undefined;
  /** For weights trained with another epsilon than their family's published ones. */
  readonly batchNormEpsilon?: number | undefined;
  readonly image?: Changes<ImageConfig> | undefined;
  readonly anchors?: Changes<AnchorConfig> | undefined;
  readonly rpn?: Changes<RpnConfig> | undefined;
  readonly roiAlign?: Changes<RoiAlignConfig> | undefined;
  readonly box?: Changes<BoxConfig> | undefined;
  readonly mask?: Changes<MaskConfig> | undefined;
}

/** A copy of a configuration with the overrides in it; ERR_ARGUMENT where the result makes no sense. */
export function overrideConfig(config: MaskRcnnConfig, overrides: ConfigOverrides): MaskRcnnConfig {
  const { numClasses } = config;
  const names = overrides.classNames;
  if (names && names.length !== numClasses && names.length !== numClasses - 1) {
    throw new InstasegError(
      'ERR_ARGUMENT',
      `Expected ${numClasses - 1} class names (or ${numClasses} with the background first) for classNames, received ${names.length}`,
    );
  }
  const merged = {
    ...config,
    ...(names && classList(numClasses, names)),
    batchNorm: { ...config.batchNorm, epsilon: overrides.batchNormEpsilon ?? config.batchNorm.epsilon },
    image: change(config.image, overrides.image),
    anchors: change(config.anchors, overrides.anchors),
    rpn: change(config.rpn, overrides.rpn),
    roiAlign: change(config.roiAlign, overrides.roiAlign),
    box: change(config.box, overrides.box),
    mask: change(config.mask, overrides.mask),
  };
  const problem = findProblem(merged);
  if (problem !== undefined) throw new InstasegError('ERR_ARGUMENT', `Expected a consistent configuration: ${problem}`);
  return structuredClone(merged); // shares nothing with the defaults or the caller
}

function change<T extends object>(section: T, changes: Changes<T> = {}): T {
  const given = Object.entries(changes).filter(([, value]) => value !== undefined);
  return { ...section, ...Object.fromEntries(given) };
}

const METADATA_KEY = 'instaseg.config';
const METADATA_VERSION = 1;

/** The configuration as entries for the metadata of a safetensors file. */
export function configToMetadata(config: MaskRcnnConfig): Record<string, string> {
  return { [METADATA_KEY]: JSON.stringify({ version: METADATA_VERSION, config }) };
}

/**
 * The configuration that `configToMetadata` wrote, or undefined where there is none. ERR_CHECKPOINT if it is broken or
 * of a version that this package does not know.
 */
export function configFromMetadata(metadata: Readonly<Record<string, string>>): MaskRcnnConfig | undefined {
  const text = metadata[METADATA_KEY];
  if (text === undefined) return undefined;
  let value: { version?: unknown; config?: unknown } | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch (error) {
    throw new InstasegError('ERR_CHECKPOINT', `The metadata entry ${METADATA_KEY} is not valid JSON`, { cause: error });
  }
  if (value?.version !== METADATA_VERSION) {
    throw new InstasegError(
      'ERR_CHECKPOINT',
      `The metadata entry ${METADATA_KEY} has version ${JSON.stringify(value?.version)}, expected ${METADATA_VERSION}`,
    );
  }
  const problem = findProblem(value.config);
  if (problem !== undefined)
    throw new InstasegError('ERR_CHECKPOINT', `The metadata entry ${METADATA_KEY} is broken: ${problem}`);
  return value.config as MaskRcnnConfig;
}

/** Says what is wrong with a value at a place, or nothing. */
type Check = (value: unknown, at: string) => string | undefined;

const expect =
  (what: string, test: (value: unknown) => boolean): Check =>
  (value, at) =>
    test(value) ? undefined : `expected ${what} for ${at}, received ${JSON.stringify(value)}`;

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value);
const count = expect('an integer from 1', (value) => Number.isSafeInteger(value) && (value as number) >= 1);
const id = expect('an integer from 0', (value) => Number.isSafeInteger(value) && (value as number) >= 0);
const positive = expect('a number above 0', (value) => isNumber(value) && value > 0);
const fromZero = expect('a number from 0', (value) => isNumber(value) && value >= 0);
const fraction = expect('a number from 0 to 1', (value) => isNumber(value) && value >= 0 && value <= 1);
const finite = expect('a number', isNumber);
const text = expect('a string', (value) => typeof value === 'string');
const flag = expect('true or false', (value) => typeof value === 'boolean');
const oneOf = (...values: readonly string[]): Check =>
  expect(values.map((value) => `'${value}'`).join(' or '), (value) => values.includes(value as string));

/** An array of `length` items, or of at least one. */
const list =
  (item: Check, length?: number): Check =>
  (value, at) => {
    if (!Array.isArray(value) || (length === undefined ? value.length === 0 : value.length !== length)) {
      return `expected a list of ${length ?? 'one or more'} items for ${at}, received ${JSON.stringify(value)}`;
    }
    return firstProblem(value.map((entry, i) => item(entry, `${at}[${i}]`)));
  };

/** An object with exactly these fields. */
const fields =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value, at) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return `expected an object for ${at}`;
    const unknown = Object.keys(value).find((key) => !Object.hasOwn(checks, key));
    if (unknown !== undefined) return `${at} has the unknown field "${unknown}"`;
    const entry = value as Record<string, unknown>;
    return firstProblem(Object.entries(checks).map(([key, check]) => check(entry[key], `${at}.${key}`)));
  };

const firstProblem = (problems: readonly (string | undefined)[]): string | undefined =>
  problems.find((problem) => problem !== undefined);

const STAGES = 4;
const LEVELS = STAGES + 1;
const CHANNELS = 3;

const coding = { coderWeights: list(positive, 4), coderClamp: positive };
const fcHead = fields({ kind: oneOf('fc'), fcs: list(count) });
const convHead = fields({ kind: oneOf('conv+fc'), convs: list(count), fcs: list(count) });

const configFields = fields({
  family: oneOf('torchvision'),
  model: text,
  numClasses: count,
  classNames: list(text),
  categoryIds: list(id),
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
    antialias: flag,
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

function findProblem(value: unknown): string | undefined {
  const problem = configFields(value, 'config');
  if (problem !== undefined) return problem;
  const { numClasses, classNames, categoryIds, image, anchors } = value as MaskRcnnConfig;
  if (numClasses < 2) return 'a model needs a class beside the background';
  if (classNames.length !== numClasses || categoryIds.length !== numClasses) {
    return `there are ${numClasses} classes, ${classNames.length} names and ${categoryIds.length} category ids`;
  }
  if (image.minSize > image.maxSize) return `minSize ${image.minSize} is above maxSize ${image.maxSize}`;
  const perLevel = new Set(anchors.sizes.map((sizes) => sizes.length));
  if (perLevel.size > 1) return 'every level needs the same number of anchor sizes';
  return undefined;
}
