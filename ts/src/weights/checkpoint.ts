import { openSafetensors } from './safetensors.js';
import { describeFirstBytes } from './sniff.js';
import { openSourceFile, toPath } from './source-file.js';
import { checkpointError, type TensorInfo } from './tensor-info.js';
import { openTorchZip } from './torch-zip.js';

export type { CheckpointDType, TensorInfo } from './tensor-info.js';

/** Formats that can be read. */
export type CheckpointFormat = 'safetensors' | 'torch-zip';

/** An open checkpoint file: the list of its tensors, and their data on demand. */
export interface Checkpoint extends AsyncDisposable {
  readonly path: string;
  readonly format: CheckpointFormat;
  /** `__metadata__` of a safetensors file, otherwise {}. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every tensor of the file. Names of nested dictionaries are joined with "/": `optimizer/state/4/momentum_buffer`. */
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
  /** Closes the file; reads under way reject with ERR_DISPOSED. May be called more than once. */
  close(): Promise<void>;
}

export interface OpenCheckpointOptions {
  /** Aborts opening and every later read with `signal.reason`. */
  readonly signal?: AbortSignal | undefined;
}

const READERS = { safetensors: openSafetensors, 'torch-zip': openTorchZip };

/** Enough for every signature; the last one (tar) sits at byte 257. */
const HEAD_BYTES = 512;

/**
 * Opens a checkpoint and reads its list of tensors. The format is recognised from the first bytes, never from the
 * file's extension; nothing in the file is ever executed.
 *
 * Rejects with ERR_FILE (missing, unreadable, a directory), ERR_CHECKPOINT (not a checkpoint, damaged, or of a format
 * that cannot be read yet; the message says what the file is) or ERR_CHECKPOINT_UNSAFE (a pickle that names anything
 * but tensors and containers).
 */
export async function openCheckpoint(path: string | URL, options: OpenCheckpointOptions = {}): Promise<Checkpoint> {
  const file = await openSourceFile(toPath(path), options.signal);
  try {
    const first = describeFirstBytes(await file.bytes(0, Math.min(HEAD_BYTES, file.size)));
    if (first.format === undefined) throw checkpointError(file.path, first.problem);
    return await READERS[first.format](file);
  } catch (error) {
    await file.close();
    throw error;
  }
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
