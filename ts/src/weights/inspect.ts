import { createHash } from 'node:crypto';
import { InstasegError } from '../runtime/errors.js';
import { flag, optional, readOptions, type OptionChecks } from '../runtime/options.js';
import {
  type Checkpoint,
  type CheckpointFormat,
  OPEN_OPTIONS,
  openCheckpoint,
  type OpenCheckpointOptions,
} from './checkpoint.js';
import type { ModelConfig } from './families/config.js';
import { identify } from './load.js';
import { DOWNLOAD_OPTIONS, type DownloadOptions } from './zoo/pull.js';
import { resolveWeights } from './zoo/resolve.js';
import { byteLength, checkpointError, DTYPE_NAMES } from './tensor-info.js';

/**
 * Data that are hashed: beyond this, or this many times the size of the file where that is more, a few bytes stand for
 * many (deflate packs at most 1032 to 1; a tensor may repeat one element without end).
 */
const MAX_HASHED_BYTES = 2 ** 30;
const MAX_HASHED_RATIO = 1032;

/** A tensor as it is stored. */
export interface InspectedTensor {
  /** Names of nested dictionaries are joined with "/". */
  readonly name: string;
  /** As PyTorch and NumPy call it. */
  readonly dtype: (typeof DTYPE_NAMES)[keyof typeof DTYPE_NAMES];
  /** As PyTorch lists it: [out, in, height, width] for convolutions. */
  readonly shape: readonly number[];
  /** Of the contiguous, row-major, little-endian bytes, where hashes were asked for. */
  readonly sha256?: string;
}

/** What a checkpoint file is. */
export interface CheckpointReport {
  readonly format: CheckpointFormat;
  /** Size of the file. */
  readonly bytes: number;
  /** `null` where the file does not hold a whole model of a family that can be loaded. */
  readonly family: ModelConfig['family'] | null;
  readonly config: ModelConfig | null;
  /** Why there is no configuration. */
  readonly problem: string | null;
  /** In the order of the file. */
  readonly tensors: readonly InspectedTensor[];
}

/** Options of {@link inspectCheckpoint}. */
export interface InspectOptions extends OpenCheckpointOptions, DownloadOptions {
  /** Hash the data of every tensor. */
  readonly hash?: boolean | undefined;
}

const OPTIONS = { ...OPEN_OPTIONS, ...DOWNLOAD_OPTIONS, hash: optional(flag) } satisfies OptionChecks<InspectOptions>;

/**
 * Says what a checkpoint of any readable format holds, whether it is a known model or not. All of it is checked: the
 * structure, the place of every tensor, and every checksum.
 * @param source its file, or the name of a model as for `load`
 * @throws InstasegError ERR_ARGUMENT, ERR_DOWNLOAD, ERR_FILE, ERR_CHECKPOINT for a file that is damaged or something else, ERR_CHECKPOINT_UNSAFE; or the
 *   signal's reason
 */
export async function inspectCheckpoint(source: string | URL, options: InspectOptions = {}): Promise<CheckpointReport> {
  const { hash = false, signal, onDownload } = readOptions('inspectCheckpoint', options, OPTIONS);
  const file = await resolveWeights(source, { ...options, signal, onProgress: onDownload });
  await using checkpoint = await openCheckpoint(file, options);
  const { format, bytes } = checkpoint;
  const known = describeModel(checkpoint);
  if (hash) checkAmount(checkpoint);
  const tensors: InspectedTensor[] = [];
  for (const { name, dtype, shape } of checkpoint.tensors.values()) {
    const sha256 = hash ? { sha256: await hashOf(checkpoint, name) } : {};
    tensors.push({ name, dtype: DTYPE_NAMES[dtype], shape, ...sha256 });
  }
  await checkpoint.verify();
  return { format, bytes, ...known, tensors };
}

function describeModel(checkpoint: Checkpoint): Pick<CheckpointReport, 'family' | 'config' | 'problem'> {
  try {
    const { config } = identify(checkpoint);
    return { family: config.family, config, problem: null };
  } catch (error) {
    if (!(error instanceof InstasegError)) throw error;
    return { family: null, config: null, problem: error.message };
  }
}

function checkAmount(checkpoint: Checkpoint): void {
  const total = [...checkpoint.tensors.values()].reduce((sum, info) => sum + byteLength(info), 0);
  if (total <= Math.max(MAX_HASHED_BYTES, MAX_HASHED_RATIO * checkpoint.bytes)) return;
  throw checkpointError(
    checkpoint.path,
    `the tensors stand for ${total} bytes in a file of ${checkpoint.bytes}: too much to hash`,
  );
}

async function hashOf(checkpoint: Checkpoint, name: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of checkpoint.read(name)) hash.update(chunk);
  return hash.digest('hex');
}
