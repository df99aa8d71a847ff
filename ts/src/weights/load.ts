import { basename } from 'node:path';
import { InstasegError } from '../runtime/errors.js';
import { type Checkpoint, openCheckpoint, type OpenCheckpointOptions, stateDict } from './checkpoint.js';
import { checkWeights, describeFamily, isTrainingCounter } from './families/check-weights.js';
import type { ConfigOverrides, ModelConfig } from './families/config.js';
import { FAMILIES, type Family } from './families/family.js';
import { inFile, type TensorInfo } from './tensor-info.js';

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
    const { config, tensors: infos } = identify(checkpoint, options);
    const tensors = new Map(
      [...infos].map(([name, { name: rawName, dtype, shape }]) => [
        name,
        { info: { name, dtype, shape }, read: () => checkpoint.read(rawName) },
      ]),
    );
    const close = (): Promise<void> => checkpoint.close();
    return { config, tensors, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/**
 * The configuration of the model that a checkpoint holds, and its tensors by canonical name, each under the `name` that
 * it has in the file. Throws what `loadCheckpoint` says about a file that can be read.
 */
export function identify(
  checkpoint: Checkpoint,
  overrides: ConfigOverrides = {},
): { config: ModelConfig; tensors: Map<string, TensorInfo> } {
  return inFile(checkpoint.path, () => {
    const stored = stateDict(checkpoint);
    const { family, config } = findFamily(checkpoint, stored, overrides);
    const names = family.canonicalNames(stored.keys());
    const tensors = new Map<string, TensorInfo>();
    for (const [original, info] of stored) {
      const name = names.get(original);
      if (name !== undefined && !isTrainingCounter(name)) tensors.set(name, info);
    }
    checkWeights(family.tensors(config), tensors);
    return { config, tensors };
  });
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
