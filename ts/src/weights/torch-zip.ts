import { InstasegError } from '../runtime/errors.js';
import type { Checkpoint } from './checkpoint.js';
import { isTensor, type PickleValue, type TensorRef, unpickle } from './pickle.js';
import { CHUNK_BYTES, type SourceFile } from './source-file.js';
import { checkpointError, elementCount, ITEM_SIZE, requireTensor, type TensorInfo } from './tensor-info.js';
import { openZip, type ZipArchive, type ZipEntry } from './zip.js';

// torch.save since PyTorch 1.6: a zip archive with one folder that holds `data.pkl` (the object, with tensors as views
// of storages), `data/<key>` (the raw bytes of each storage), `version`, and in newer files `byteorder`.

/** The pickle lists tensors in some 150 bytes each. */
const MAX_PICKLE_BYTES = 64 * 1024 * 1024;
/** Dictionaries inside dictionaries. */
const MAX_NESTING = 64;
/** Entries visited in all: a few shared dictionaries can stand for billions of paths. */
const MAX_VISITS = 4_000_000;
/** Largest span, in bytes, from which a tensor with gaps is gathered; it has to be held in memory. */
const MAX_GATHER_BYTES = 2 ** 31;

/** Keys under which training scripts keep the model's state dict. */
const WRAPPERS = ['model', 'state_dict', 'model_state_dict'];

interface StoredTensor extends TensorInfo {
  readonly ref: TensorRef;
}

/**
 * Reads the list of tensors of a zip-format PyTorch checkpoint. Storages are read, and their checksums checked, when
 * tensors are. Memory stays at one chunk, or the span of one tensor where that is stored with gaps.
 */
export async function openTorchZip(file: SourceFile): Promise<Checkpoint> {
  const zip = await openZip(file);
  const folder = findFolder(file, zip);
  await checkByteOrder(file, zip, folder);
  const root = await readPickle(file, zip, folder);
  const tensors = listTensors(file, root);
  for (const tensor of tensors.values()) storageEntry(file, zip, folder, tensor);
  const close = (): Promise<void> => file.close();
  return {
    path: file.path,
    format: 'torch-zip',
    metadata: {},
    tensors,
    stateDictPrefix: findStateDict(root, [...tensors.keys()]),
    async *read(name) {
      const tensor = requireTensor(tensors, name, file.path);
      yield* readTensor(file, zip, storageEntry(file, zip, folder, tensor), tensor);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** "<folder>/" in front of data.pkl. */
function findFolder(file: SourceFile, zip: ZipArchive): string {
  const names = [...zip.entries.keys()];
  const folders = names
    .filter((name) => /^[^/]*\/data\.pkl$/.test(name))
    .map((name) => name.slice(0, -'data.pkl'.length));
  const [folder] = folders;
  if (folder === undefined) {
    throw checkpointError(file.path, 'is a zip archive without data.pkl, not a PyTorch checkpoint');
  }
  if (folders.length > 1) throw checkpointError(file.path, `holds ${folders.length} checkpoints, expected one`);
  if (zip.entries.has(`${folder}constants.pkl`)) {
    throw checkpointError(
      file.path,
      'is a TorchScript program, not a checkpoint: save its weights with torch.save(torch.jit.load(path).state_dict(), new_path)',
    );
  }
  return folder;
}

async function readSmall(file: SourceFile, zip: ZipArchive, entry: ZipEntry, limit: number): Promise<Buffer> {
  if (entry.size > limit) {
    throw checkpointError(file.path, `zip entry ${entry.name} has ${entry.size} bytes, the limit is ${limit}`);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of zip.read(entry)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function checkByteOrder(file: SourceFile, zip: ZipArchive, folder: string): Promise<void> {
  const entry = zip.entries.get(`${folder}byteorder`);
  if (!entry) return; // older writers, which were all little-endian in practice
  const order = (await readSmall(file, zip, entry, 64)).toString('latin1');
  if (order === 'little') return;
  throw checkpointError(file.path, `was written on a machine of ${order}-endian byte order, expected little-endian`);
}

async function readPickle(file: SourceFile, zip: ZipArchive, folder: string): Promise<PickleValue> {
  const bytes = await readSmall(file, zip, zip.entries.get(`${folder}data.pkl`) as ZipEntry, MAX_PICKLE_BYTES);
  try {
    const { value, end } = unpickle(bytes);
    if (end === bytes.length) return value;
  } catch (error) {
    if (!(error instanceof InstasegError)) throw error;
    throw new InstasegError(error.code, `${file.path}: ${error.message}`);
  }
  throw checkpointError(file.path, 'data.pkl has bytes after the end of its pickle');
}

/** All tensors below dictionaries, names joined with "/"; those inside lists have no name and are left out. */
function listTensors(file: SourceFile, root: PickleValue): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  let visits = 0;
  const visit = (dict: ReadonlyMap<PickleValue, PickleValue>, prefix: string, depth: number): void => {
    if (depth > MAX_NESTING) throw checkpointError(file.path, `nests dictionaries deeper than ${MAX_NESTING} levels`);
    for (const [key, value] of dict) {
      if (++visits > MAX_VISITS) throw checkpointError(file.path, `holds more than ${MAX_VISITS} values`);
      if (typeof key !== 'string' && typeof key !== 'number' && typeof key !== 'bigint') continue;
      const name = `${prefix}${key}`;
      if (value instanceof Map) visit(value, `${name}/`, depth + 1);
      else if (isTensor(value)) {
        if (tensors.has(name)) throw checkpointError(file.path, `has two tensors called "${name}"`);
        tensors.set(name, { name, dtype: value.storage.dtype, shape: value.shape, ref: value });
      }
    }
  };
  if (root instanceof Map) visit(root, '', 0);
  if (tensors.size === 0) {
    throw checkpointError(file.path, 'holds no named tensors: save a state dict, torch.save(model.state_dict(), path)');
  }
  return tensors;
}

/**
 * The prefix of the model's own tensors. A state dict holds no dictionaries, so one that holds tensors under a wrapper's
 * key is the wrapped one, whatever lies beside it.
 */
function findStateDict(dict: PickleValue, names: readonly string[], prefix = ''): string {
  if (!(dict instanceof Map)) return prefix;
  const inside = (key: string): string[] => names.filter((name) => name.startsWith(`${prefix}${key}/`));
  const wrapper = WRAPPERS.find((key) => dict.get(key) instanceof Map && inside(key).length > 0);
  if (wrapper === undefined) return prefix;
  return findStateDict(dict.get(wrapper) as PickleValue, inside(wrapper), `${prefix}${wrapper}/`);
}

/** The zip entry of a tensor's storage; ERR_CHECKPOINT if it is missing or shorter than the pickle says. */
function storageEntry(file: SourceFile, zip: ZipArchive, folder: string, tensor: StoredTensor): ZipEntry {
  const { key, numel, dtype } = tensor.ref.storage;
  const entry = zip.entries.get(`${folder}data/${key}`);
  if (!entry) throw checkpointError(file.path, `storage "${key}" of tensor "${tensor.name}" is missing`);
  const bytes = numel * ITEM_SIZE[dtype];
  if (bytes > entry.size) {
    throw checkpointError(
      file.path,
      `storage "${key}" of tensor "${tensor.name}" has ${entry.size} bytes, the tensor lies within ${bytes}`,
    );
  }
  return entry;
}

async function* readTensor(
  file: SourceFile,
  zip: ZipArchive,
  entry: ZipEntry,
  { name, dtype, shape, ref }: StoredTensor,
): AsyncGenerator<Uint8Array, void, undefined> {
  const itemSize = ITEM_SIZE[dtype];
  const count = elementCount(shape);
  if (count === 0) return;
  const start = ref.offset * itemSize;
  if (isContiguous(shape, ref.strides)) {
    yield* zip.read(entry, start, start + count * itemSize);
    return;
  }
  const span = shape.reduce((sum, size, i) => sum + (size - 1) * (ref.strides[i] ?? 0), 1) * itemSize;
  if (span > MAX_GATHER_BYTES) {
    throw checkpointError(file.path, `tensor "${name}" is spread over ${span} bytes: save it with .contiguous()`);
  }
  const source = new Uint8Array(span);
  let at = 0;
  for await (const chunk of zip.read(entry, start, start + span)) {
    source.set(chunk, at);
    at += chunk.length;
  }
  yield* gather(source, itemSize, shape, ref.strides);
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    const size = shape[i] as number;
    if (size !== 1 && strides[i] !== expected) return false;
    expected *= size;
  }
  return true;
}

const WORDS = { 1: Uint8Array, 2: Uint16Array, 4: Uint32Array, 8: BigUint64Array } as const;

/** Elements of `source` at multiples of `strides`, in row-major order, in chunks. There is at least one dimension. */
function* gather(
  source: Uint8Array,
  itemSize: number,
  shape: readonly number[],
  strides: readonly number[],
): Generator<Uint8Array, void, undefined> {
  const Words = WORDS[itemSize as keyof typeof WORDS];
  // One element type stands for all: only whole words are copied.
  const from = new Words(source.buffer as ArrayBuffer) as Uint32Array;
  const count = elementCount(shape);
  const position = shape.map(() => 0);
  let index = 0;
  for (let done = 0; done < count;) {
    const to = new Words(Math.min(count - done, CHUNK_BYTES / itemSize)) as Uint32Array;
    for (let i = 0; i < to.length; i++) {
      to[i] = from[index] as number;
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        const stride = strides[axis] as number;
        const next = (position[axis] = (position[axis] as number) + 1);
        if (next < (shape[axis] as number)) {
          index += stride;
          break;
        }
        position[axis] = 0;
        index -= (next - 1) * stride;
      }
    }
    done += to.length;
    yield new Uint8Array(to.buffer as ArrayBuffer);
  }
}
