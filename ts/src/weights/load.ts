import { basename } from 'node:path';
import { InstasegError } from '../runtime/errors.js';
import { type Checkpoint, openCheckpoint, type OpenCheckpointOptions, stateDict } from './checkpoint.js';
import { checkWeights, describeFamily, isTrainingCounter } from './families/check-weights.js';
import type { ConfigOverrides, ModelConfig } from './families/config.js';
import { FAMILIES, type Family } from './families/family.js';
import type { TensorInfo } from './tensor-info.js';

/** A tensor of an opened model. */
export interface LoadedTensor {
  /** Under the canonical name. */
  readonly info: TensorInfo;
  /** See `Checkpoint.read`. */
  read(this: void): AsyncIterable<Uint8Array>;
}

/** A checkpoint whose tensors are known to be complete and to fit its configuration. */
export interface LoadedCheckpoint extends AsyncDisposable {
  readonly config: ModelConfig;
  /** By canonical name (the family's own, current one), exactly those that the model needs. */
  readonly tensors: ReadonlyMap<string, LoadedTensor>;
  /** Closes the file. May be called more than once. */
  close(this: void): Promise<void>;
}

export interface LoadCheckpointOptions extends ConfigOverrides, OpenCheckpointOptions {}

/**
 * Opens a checkpoint of any family and format that can be read: finds its family and configuration (from the metadata
 * where the converter wrote it, otherwise from names and shapes), checks names, shapes and types, and gives access to
 * the data under canonical names. No tensor data are read yet.
 *
 * Rejects as `openCheckpoint` does, and with ERR_WEIGHTS for an unknown family or incomplete weights, ERR_UNSUPPORTED for
 * a backbone that is not supported, ERR_ARGUMENT for overrides that do not fit.
 */
export async function loadCheckpoint(
  path: string | URL,
  options: LoadCheckpointOptions = {},
): Promise<LoadedCheckpoint> {
  const checkpoint = await openCheckpoint(path, options);
  try {
    const stored = stateDict(checkpoint);
    const { family, config } = inFile(checkpoint.path, () => findFamily(checkpoint, stored, options));
    const names = inFile(checkpoint.path, () => family.canonicalNames(stored.keys()));
    const tensors = new Map<string, LoadedTensor>();
    for (const [original, { name: rawName, dtype, shape }] of stored) {
      const name = names.get(original);
      if (name === undefined || isTrainingCounter(name)) continue;
      tensors.set(name, { info: { name, dtype, shape }, read: () => checkpoint.read(rawName) });
    }
    inFile(checkpoint.path, () =>
      checkWeights(family.tensors(config), new Map([...tensors].map(([name, { info }]) => [name, info]))),
    );
    const close = (): Promise<void> => checkpoint.close();
    return { config, tensors, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

function findFamily(
  { path, metadata }: Checkpoint,
  stored: ReadonlyMap<string, TensorInfo>,
  overrides: ConfigOverrides,
): { family: Family; config: ModelConfig } {
  for (const family of FAMILIES) {
    const config = family.infer(stored, metadata, overrides, basename(path));
    if (config) return { family, config };
  }
  const expected = FAMILIES.map(({ description }) => description).join(' or ');
  const looks = describeFamily(stored.keys());
  const found = looks === undefined ? '' : ` By their names these look like ${looks}.`;
  throw new InstasegError('ERR_WEIGHTS', `expected ${expected}.${found}`);
}

/** Puts the file's path in front of what a step has to say about it; errors about arguments stay as they are. */
function inFile<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof InstasegError) || error.code === 'ERR_ARGUMENT') throw error;
    throw new InstasegError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}
