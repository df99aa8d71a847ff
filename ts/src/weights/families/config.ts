import { InstasegError } from '../../runtime/errors.js';
import { classList } from '../coco-classes.js';
import { oneOf } from './check-config.js';
import {
  type AnchorConfig,
  type BoxConfig,
  findMaskRcnnProblem,
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
  yolactPreset,
} from './yolact-config.js';

export type * from './mask-rcnn-config.js';
export type * from './yolact-config.js';

/** The configuration of a model of any family; `family` tells them apart. */
export type ModelConfig = MaskRcnnConfig | YolactConfig;

/** Fields to replace; undefined leaves a field as it is. */
type Changes<T> = { readonly [K in keyof T]?: T[K] | undefined };

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
  /** With or without the background in front. */
  readonly classNames?: readonly string[] | undefined;
  /** For weights trained with another epsilon than their family's published ones. */
  readonly batchNormEpsilon?: number | undefined;
  readonly image?: Changes<ImageConfig & YolactImageConfig> | undefined;
  readonly anchors?: Changes<AnchorConfig & YolactAnchorConfig> | undefined;
  /** Mask R-CNN only. */
  readonly rpn?: Changes<RpnConfig> | undefined;
  /** Mask R-CNN only. */
  readonly roiAlign?: Changes<RoiAlignConfig> | undefined;
  /** Mask R-CNN only. */
  readonly box?: Changes<BoxConfig> | undefined;
  /** YOLACT only. */
  readonly detect?: Changes<YolactDetectConfig> | undefined;
  readonly mask?: Changes<MaskConfig & Omit<YolactMaskConfig, 'rescore'>> | undefined;
}

const SECTIONS = ['image', 'anchors', 'rpn', 'roiAlign', 'box', 'detect', 'mask'] as const;

type SectionChanges = Pick<ConfigOverrides, (typeof SECTIONS)[number]>;

/** A copy of a configuration with the overrides in it; ERR_ARGUMENT where the result makes no sense. */
export function overrideConfig<Config extends ModelConfig>(config: Config, overrides: ConfigOverrides): Config {
  const { numClasses } = config;
  const { classNames: names, model = config.model } = overrides;
  if (names && names.length !== numClasses && names.length !== numClasses - 1) {
    throw new InstasegError(
      'ERR_ARGUMENT',
      `Expected ${numClasses - 1} class names (or ${numClasses} with the background first) for classNames, received ${names.length}`,
    );
  }
  const preset = config.family === 'yolact' && overrides.model !== undefined ? yolactPreset(overrides.model) : {};
  const merged = {
    ...changeSections(changeSections(config, preset), overrides),
    model,
    ...(names && classList(numClasses, names)),
    batchNorm: { ...config.batchNorm, epsilon: overrides.batchNormEpsilon ?? config.batchNorm.epsilon },
  };
  const problem = findProblem(merged);
  if (problem !== undefined) throw new InstasegError('ERR_ARGUMENT', `Expected a consistent configuration: ${problem}`);
  return structuredClone(merged); // shares nothing with the defaults or the caller
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

/** The configuration as entries for the metadata of a safetensors file. */
export function configToMetadata(config: ModelConfig): Record<string, string> {
  return { [METADATA_KEY]: JSON.stringify({ version: METADATA_VERSION, config }) };
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

const FAMILIES = { torchvision: findMaskRcnnProblem, yolact: findYolactProblem };
const knownFamily = oneOf(...Object.keys(FAMILIES));

/** Says why a value is not the configuration of any family, or nothing. */
function findProblem(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return 'expected an object for config';
  const { family } = value as { family?: unknown };
  return knownFamily(family, 'config.family') ?? FAMILIES[family as keyof typeof FAMILIES](value);
}
