/**
 * Networks of full size with random weights, reproducible from a description of a page (benchmarks/models): what can be
 * measured anywhere, without a download. PyTorch's side builds the same (benchmarks/peers).
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, parse } from 'node:path';
import { InstasegError } from '../runtime/errors.js';
import { configToMetadata, type MaskRcnnConfig, type ModelConfig } from '../weights/families/config.js';
import { torchvisionTensors } from '../weights/families/torchvision.js';
import { yolactTensors } from '../weights/families/yolact.js';
import { writeSafetensors } from '../weights/safetensors.js';
import { seededWeights, type SeededRule } from '../weights/seeded.js';
import { PACKAGE_ROOT } from './package-root.js';

const FOLDER = join(PACKAGE_ROOT, 'benchmarks', 'models');

/** What a file of benchmarks/models holds. */
interface Description {
  readonly image: { readonly height: number; readonly width: number };
  readonly seed: number;
  /** Factors that keep a network with random weights alive: detections of all sizes, no exploding activations. */
  readonly rules: readonly SeededRule[];
  /** Without class names and ids, which mean nothing here. */
  readonly config: Readonly<Record<string, unknown>> & { readonly numClasses: number };
}

export interface SeededModel {
  /** Of the photograph that the figures of the network are usually given for. */
  readonly image: { readonly height: number; readonly width: number };
  readonly seed: number;
  /** A file with the weights. */
  readonly file: string;
  remove(): void;
}

/** Names of the networks that there are descriptions of. */
export function seededModels(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.json'))
    .map((file) => parse(file).name)
    .sort();
}

function readDescription(name: string): Description {
  if (!seededModels().includes(name)) {
    throw new InstasegError(
      'ERR_ARGUMENT',
      `random weights exist for ${seededModels().join(', ')}; received "${name}"`,
    );
  }
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as Description;
}

/** The configuration of a described network; its classes have names that mean nothing. */
export function seededConfig(name: string): ModelConfig {
  const { config } = readDescription(name);
  const ids = Array.from({ length: config.numClasses }, (_, i) => i);
  return { ...config, classNames: ids.map((id) => `class ${id}`), categoryIds: ids } as unknown as ModelConfig;
}

/**
 * The size of the photograph that the figures of a described network are usually given for.
 * @throws InstasegError ERR_ARGUMENT for a name that there is no description of
 */
export function seededImage(name: string): Description['image'] {
  return readDescription(name).image;
}

/** Writes the weights into a temporary folder; they take some 200 MB until `remove`. */
export async function writeSeededModel(name: string): Promise<SeededModel> {
  const { image, seed, rules } = readDescription(name);
  const config = seededConfig(name);
  const shapes = config.family === 'yolact' ? yolactTensors(config) : torchvisionTensors(config as MaskRcnnConfig);
  const folder = mkdtempSync(join(tmpdir(), 'instaseg-bench-'));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const file = join(folder, `${name}.safetensors`);
    await writeSafetensors(file, seededWeights(shapes, seed, rules), configToMetadata(config));
    return { image, seed, file, remove };
  } catch (error) {
    remove();
    throw error;
  }
}
