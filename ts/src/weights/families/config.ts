import { InstasegError } from '../../runtime/errors.js';
import { classList } from '../coco-classes.js';
import { number, object, optional, text, texts, type OptionChecks } from '../../runtime/options.js';
import { oneOf, refuseProblem } from './check-config.js';
import {
  type Detectron2AnchorConfig,
  type Detectron2BackboneConfig,
  type Detectron2BoxConfig,
  type Detectron2Config,
  type Detectron2ImageConfig,
  type Detectron2MaskConfig,
  type Detectron2RoiAlignConfig,
  type Detectron2RpnConfig,
  detectron2Fields,
  findDetectron2Problem,
} from './detectron2-config.js';
import {
  type AnchorConfig,
  type BoxConfig,
  findMaskRcnnProblem,
  maskRcnnFields,
  type ImageConfig,
  type MaskConfig,
  type MaskRcnnConfig,
  type RoiAlignConfig,
  type RpnConfig,
} from './mask-rcnn-config.js';
import {
  findYolactProblem,
  type YolactAnchorConfig,
  type YolactConfig,
  type YolactDetectConfig,
  type YolactImageConfig,
  type YolactMaskConfig,
  yolactFields,
  yolactPreset,
} from './yolact-config.js';

export type * from './detectron2-config.js';
export type * from './mask-rcnn-config.js';
export type * from './yolact-config.js';

/** The configuration of a model of any family; `family` tells them apart. */
export type ModelConfig = MaskRcnnConfig | Detectron2Config | YolactConfig;

/** Fields to replace; undefined leaves a field as it is. */
type Changes<T> = { readonly [K in keyof T]?: T[K] | undefined };

/** Fields of any of these; where families disagree about a field's type, what one of them takes is refused by the others. */
type AnyChanges<A, B = unknown, C = unknown> = {
  readonly [K in keyof A | keyof B | keyof C]?:
    | (K extends keyof A ? A[K] : never)
    | (K extends keyof B ? B[K] : never)
    | (K extends keyof C ? C[K] : never)
    | undefined;
};

/**
 * What the caller knows better than the file. Anything that is left out stays as recorded or inferred; sections and
 * fields that the model's family does not have are refused.
 */
export interface ConfigOverrides {
  /**
   * Name of the configuration that the weights were trained with. `yolact_im700` and `yolact_im400` also set the input
   * size and the anchors: their weights look like those of `yolact_base`.
   */
  readonly model?: string | undefined;
  /** Without the background, or with it at its place: the first, in detectron2 the last. */
  readonly classNames?: readonly string[] | undefined;
  /** For weights trained with another epsilon than their family's published ones. */
  readonly batchNormEpsilon?: number | undefined;
  readonly image?: AnyChanges<ImageConfig, YolactImageConfig, Detectron2ImageConfig> | undefined;
  /** detectron2: where a ResNet's strides are, which weights do not show. */
  readonly backbone?: Changes<Pick<Detectron2BackboneConfig, 'strideIn'>> | undefined;
  readonly anchors?: AnyChanges<AnchorConfig, YolactAnchorConfig, Detectron2AnchorConfig> | undefined;
  /** Mask R-CNN only. */
  readonly rpn?: AnyChanges<RpnConfig, Detectron2RpnConfig> | undefined;
  /** Mask R-CNN only. */
  readonly roiAlign?: AnyChanges<RoiAlignConfig, Detectron2RoiAlignConfig> | undefined;
  /** Mask R-CNN only. */
  readonly box?: AnyChanges<BoxConfig, Detectron2BoxConfig> | undefined;
  /** YOLACT only. */
  readonly detect?: Changes<YolactDetectConfig> | undefined;
  readonly mask?: AnyChanges<MaskConfig, Omit<YolactMaskConfig, 'rescore'>, Detectron2MaskConfig> | undefined;
}

/** Checks of {@link ConfigOverrides}; the fields of the sections are checked with the configuration that they go into. */
export const CONFIG_OPTIONS = {
  model: optional(text),
  classNames: optional(texts),
  batchNormEpsilon: optional(number(0, Number.MAX_VALUE)),
  image: optional(object),
  backbone: optional(object),
  anchors: optional(object),
  rpn: optional(object),
  roiAlign: optional(object),
  box: optional(object),
  detect: optional(object),
  mask: optional(object),
} satisfies OptionChecks<ConfigOverrides>;

const SECTIONS = ['image', 'backbone', 'anchors', 'rpn', 'roiAlign', 'box', 'detect', 'mask'] as const;

type SectionChanges = Pick<ConfigOverrides, (typeof SECTIONS)[number]>;

/** A copy of a configuration with the overrides in it; ERR_ARGUMENT where the result makes no sense. */
export function overrideConfig<Config extends ModelConfig>(config: Config, overrides: ConfigOverrides): Config {
  const { numClasses } = config;
  const { classNames: names, model = config.model } = overrides;
  const background = backgroundOf(config);
  if (names && names.length !== numClasses && names.length !== numClasses - 1) {
    throw new InstasegError(
      'ERR_ARGUMENT',
      `Expected ${numClasses - 1} class names (or ${numClasses} with the background ${background}) for classNames, received ${names.length}`,
    );
  }
  const preset = config.family === 'yolact' && overrides.model !== undefined ? yolactPreset(overrides.model) : {};
  const merged = {
    ...changeSections(changeSections(config, preset), overrides),
    model,
    ...(names && classList(numClasses, names, background)),
    batchNorm: { ...config.batchNorm, epsilon: overrides.batchNormEpsilon ?? config.batchNorm.epsilon },
  };
  const problem = findProblem(merged);
  if (problem !== undefined) throw new InstasegError('ERR_ARGUMENT', `Expected a consistent configuration: ${problem}`);
  return structuredClone(merged); // shares nothing with the defaults or the caller
}

const backgroundOf = ({ family }: ModelConfig): 'first' | 'last' => (family === 'detectron2' ? 'last' : 'first');

/**
 * The names of a model's classes, in their order, without the background.
 * @throws InstasegError ERR_ARGUMENT for what is not a configuration
 */
export function objectNames(config: ModelConfig): readonly string[] {
  return backgroundOf(requireConfig(config)) === 'last' ? config.classNames.slice(0, -1) : config.classNames.slice(1);
}

function changeSections<Config extends ModelConfig>(config: Config, changes: SectionChanges): Config {
  const changed: Record<string, unknown> = { ...config };
  for (const section of SECTIONS) {
    const given = Object.entries(changes[section] ?? {}).filter(([, value]) => value !== undefined);
    if (given.length === 0) continue;
    if (!Object.hasOwn(config, section)) {
      throw new InstasegError(
        'ERR_ARGUMENT',
        `Expected no "${section}" (${given.map(([key]) => key).join(', ')}): models of the ${config.family} family have none`,
      );
    }
    changed[section] = { ...(changed[section] as object), ...Object.fromEntries(given) };
  }
  return changed as unknown as Config;
}

const METADATA_KEY = 'instaseg.config';
const METADATA_VERSION = 1;

/**
 * The configuration as entries for the metadata of a safetensors file.
 * @throws InstasegError ERR_ARGUMENT for what is not a configuration
 */
export function configToMetadata(config: ModelConfig): Record<string, string> {
  return { [METADATA_KEY]: JSON.stringify({ version: METADATA_VERSION, config: requireConfig(config) }) };
}

/**
 * The configuration that `configToMetadata` wrote, or undefined where there is none. ERR_CHECKPOINT if it is broken or
 * of a version that this package does not know.
 */
export function configFromMetadata(metadata: Readonly<Record<string, string>>): ModelConfig | undefined {
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
  return value.config as ModelConfig;
}

const FAMILIES = { torchvision: findMaskRcnnProblem, yolact: findYolactProblem, detectron2: findDetectron2Problem };
const FIELDS = { torchvision: maskRcnnFields, yolact: yolactFields, detectron2: detectron2Fields };
const knownFamily = oneOf(...Object.keys(FAMILIES));

/** ERR_ARGUMENT for what does not have the form of a configuration. */
function requireConfig(config: ModelConfig): ModelConfig {
  refuseProblem(familyProblem(config) ?? FIELDS[config.family](config, 'config'));
  return config;
}

/** Says why a value is not the configuration of any family, or nothing. */
function findProblem(value: unknown): string | undefined {
  return familyProblem(value) ?? FAMILIES[(value as ModelConfig).family](value);
}

function familyProblem(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return 'expected an object for config';
  return knownFamily((value as { family?: unknown }).family, 'config.family');
}
