import { createHash } from 'node:crypto';
import { InstasegError } from '../runtime/errors.js';
import { abortSignal, unchecked, type OptionChecks } from '../runtime/options.js';
import { show } from '../runtime/validate.js';
import { openPickle } from './detectron2-pickle.js';
import { openSafetensors } from './safetensors.js';
import { describeFirstBytes } from './sniff.js';
import { openSourceFile, type SourceFile, toPath } from './source-file.js';
import { checkpointError, type TensorInfo } from './tensor-info.js';
import { openTorchLegacy } from './torch-legacy.js';
import { openTorchZip } from './torch-zip.js';

export type { CheckpointDType, TensorInfo } from './tensor-info.js';

/** A pickle of NumPy arrays, such as detectron2's, with its protocol. */
export type PickleFormat = 'pickle-2' | 'pickle-3' | 'pickle-4' | 'pickle-5';

/** Formats that can be read. `torch-legacy` is that of PyTorch 1.5 and older. */
export type CheckpointFormat = 'safetensors' | 'torch-zip' | 'torch-legacy' | PickleFormat;

/** An open checkpoint file: the list of its tensors, and their data on demand. */
export interface Checkpoint extends AsyncDisposable {
  readonly path: string;
  readonly format: CheckpointFormat;
  /** `__metadata__` of a safetensors file, otherwise {}. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Size of the file in bytes. */
  readonly bytes: number;
  /**
   * Every tensor of the file. Names of nested dictionaries are joined with "/": `optimizer/state/4/momentum_buffer`.
   * What lies in lists has no name and is left out, as are NumPy arrays of complex numbers, strings and the like.
   */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What names of the model's own tensors start with: '' or, where the state dict is nested, `model/` and the like. */
  readonly stateDictPrefix: string;
  /**
   * The contiguous, row-major, little-endian bytes of one tensor in chunks of at most 4 MiB, none of which is reused.
   * The file is never held in memory; a tensor that is stored with gaps is gathered from the span that it occupies.
   * Rejects with ERR_ARGUMENT for an unknown name, ERR_CHECKPOINT for damage (checked before the last chunk is handed
   * out), ERR_FILE, ERR_DISPOSED after `close()`, or the signal's reason.
   */
  read(name: string): AsyncIterable<Uint8Array>;
  /**
   * Checks all checksums that the file has, also of what no tensor needs; those of a zip archive are its only ones.
   * Places and sizes have been checked by `openCheckpoint`. Rejects as `read` does.
   */
  verify(): Promise<void>;
  /** Closes the file; reads under way reject with ERR_DISPOSED. May be called more than once. */
  close(): Promise<void>;
}

export interface OpenCheckpointOptions {
  /** Aborts opening and every later read with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
  /**
   * SHA-256 that the file has to have, as 64 hexadecimal digits or at least the first 8 of them; published files often
   * have these in their names.
   */
  readonly sha256?: string | undefined;
}

const READERS: Readonly<Record<CheckpointFormat, (file: SourceFile) => Promise<Checkpoint>>> = {
  safetensors: openSafetensors,
  'torch-zip': openTorchZip,
  'torch-legacy': openTorchLegacy,
  'pickle-2': (file) => openPickle(file, 'pickle-2'),
  'pickle-3': (file) => openPickle(file, 'pickle-3'),
  'pickle-4': (file) => openPickle(file, 'pickle-4'),
  'pickle-5': (file) => openPickle(file, 'pickle-5'),
};

/** Enough for every signature; the last one (tar) sits at byte 257. */
const HEAD_BYTES = 512;

/**
 * Opens a checkpoint and reads its list of tensors. The format is recognised from the first bytes, never from the
 * file's extension; nothing in the file is ever executed.
 *
 * Rejects with ERR_FILE (missing, unreadable, a directory), ERR_CHECKPOINT (not a checkpoint, damaged, or not
 * the file with that SHA-256; the message says what the file is) or ERR_CHECKPOINT_UNSAFE (a pickle that names anything
 * but tensors and containers), and with ERR_ARGUMENT for a path or SHA-256 that is none.
 */
export async function openCheckpoint(path: string | URL, options: OpenCheckpointOptions = {}): Promise<Checkpoint> {
  const hash = requireHash(options.sha256);
  const file = await openSourceFile(toPath(path), options.signal);
  try {
    const first = describeFirstBytes(await file.bytes(0, Math.min(HEAD_BYTES, file.size)));
    if (first.format === undefined) throw checkpointError(file.path, first.problem);
    if (hash !== undefined) await checkHash(file, hash);
    return await READERS[first.format](file);
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Checks of {@link OpenCheckpointOptions}; the SHA-256 is checked where it is used. */
export const OPEN_OPTIONS = { sha256: unchecked, signal: abortSignal } satisfies OptionChecks<OpenCheckpointOptions>;

/** Checks the `sha256` of options and gives it in lower case. */
export function requireHash(hash: string | undefined): string | undefined {
  if (hash === undefined || (typeof hash === 'string' && /^[0-9a-f]{8,64}$/i.test(hash))) return hash?.toLowerCase();
  throw new InstasegError('ERR_ARGUMENT', `Expected 8 to 64 hexadecimal digits for sha256, received ${show(hash)}`);
}

async function checkHash(file: SourceFile, expected: string): Promise<void> {
  const hash = createHash('sha256');
  for await (const chunk of file.read(0, file.size)) hash.update(chunk);
  const actual = hash.digest('hex');
  if (actual.startsWith(expected)) return;
  throw checkpointError(
    file.path,
    `has the SHA-256 ${actual}, expected ${expected}: the download is damaged, or this is another file`,
  );
}

/**
 * The tensors of the model alone, under their own names: {'model': {...}, 'optimizer': {...}} gives what is in 'model'.
 * Each value is the `TensorInfo` whose `name` is what `checkpoint.read` wants.
 */
export function stateDict(checkpoint: Pick<Checkpoint, 'tensors' | 'stateDictPrefix'>): Map<string, TensorInfo> {
  const prefix = checkpoint.stateDictPrefix;
  const own = new Map<string, TensorInfo>();
  for (const [name, info] of checkpoint.tensors) {
    if (name.startsWith(prefix)) own.set(name.slice(prefix.length), info);
  }
  return own;
}
