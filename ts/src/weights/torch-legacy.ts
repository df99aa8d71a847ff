import type { Checkpoint } from './checkpoint.js';
import { unpickleFile } from './pickle.js';
import type { PickleValue, StorageRef } from './pickle-values.js';
import { pickledCheckpoint } from './pickled-checkpoint.js';
import type { SourceFile } from './source-file.js';
import { checkpointError, ITEM_SIZE } from './tensor-info.js';

// torch.save up to PyTorch 1.5, and with _use_new_zipfile_serialization=False later: five pickles (a magic number, a
// protocol number, facts about the writer, the object with tensors as views of storages, the keys of the storages), then
// for each key an int64 number of elements and the raw bytes. There are no checksums.

const PROTOCOL = 1001;

/** Read to learn one number of elements; more of them may follow closely. */
const WINDOW_BYTES = 4096;

/**
 * Reads the list of tensors of a legacy PyTorch checkpoint and finds every storage. Tensors are read from the file when
 * they are asked for.
 */
export async function openTorchLegacy(file: SourceFile): Promise<Checkpoint> {
  const magic = await unpickleFile(file, 0); // known to be right from the first bytes
  const protocol = await unpickleFile(file, magic.end);
  if (protocol.value !== PROTOCOL) {
    throw checkpointError(file.path, `is a PyTorch checkpoint of an unknown protocol, expected ${PROTOCOL}`);
  }
  const writer = await unpickleFile(file, protocol.end);
  checkByteOrder(file, writer.value);
  const object = await unpickleFile(file, writer.end);
  const keys = await unpickleFile(file, object.end);
  const starts = await locateStorages(file, keys.value, keys.end, object.storages);
  return pickledCheckpoint(file, {
    format: 'torch-legacy',
    root: object.value,
    readPickle: (start, end) => file.read(start, end),
    openStorage: ({ key }, name) => {
      const at = starts.get(key);
      if (at === undefined) throw checkpointError(file.path, `storage "${key}" of tensor "${name}" is missing`);
      return (start, end) => file.read(at + start, at + end);
    },
    verify: () => Promise.resolve(), // the places of all storages are known to be right
  });
}

function checkByteOrder(file: SourceFile, writer: PickleValue): void {
  const little = writer instanceof Map ? writer.get('little_endian') : undefined;
  if (little === true) return;
  const problem =
    little === false ? 'was written on a machine of big-endian byte order' : 'does not say its byte order';
  throw checkpointError(file.path, `${problem}, expected little-endian`);
}

/** Where the bytes of each storage start. They fill the file from `start` to its end. */
async function locateStorages(
  file: SourceFile,
  keys: PickleValue,
  start: number,
  storages: ReadonlyMap<string, StorageRef>,
): Promise<Map<string, number>> {
  if (!Array.isArray(keys)) throw checkpointError(file.path, 'does not list its storages');
  const starts = new Map<string, number>();
  let at = start;
  let window: Buffer = Buffer.alloc(0);
  let base = at;
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.get(key) : undefined;
    if (!storage) throw checkpointError(file.path, 'lists a storage that no tensor is in');
    const name = `storage "${storage.key}"`;
    if (starts.has(storage.key)) throw checkpointError(file.path, `lists ${name} twice`);
    if (at + 8 > file.size) throw checkpointError(file.path, `ends before ${name}: the file is truncated`);
    if (at + 8 > base + window.length) {
      window = await file.bytes(at, Math.min(at + WINDOW_BYTES, file.size));
      base = at;
    }
    const numel = window.readBigInt64LE(at - base);
    if (numel !== BigInt(storage.numel)) {
      throw checkpointError(file.path, `${name} has ${numel} elements, expected ${storage.numel}`);
    }
    starts.set(storage.key, at + 8);
    at += 8 + storage.numel * ITEM_SIZE[storage.dtype];
    if (at > file.size) throw checkpointError(file.path, `ends within ${name}: the file is truncated`);
  }
  if (at < file.size) throw checkpointError(file.path, `has ${file.size - at} bytes after the last storage`);
  return starts;
}
