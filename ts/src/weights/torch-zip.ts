import type { Checkpoint } from './checkpoint.js';
import { unpickle } from './pickle.js';
import type { PickleValue, StorageRef } from './pickle-values.js';
import { pickledCheckpoint } from './pickled-checkpoint.js';
import { chunksOf, type SourceFile } from './source-file.js';
import { checkpointError, inFile, ITEM_SIZE } from './tensor-info.js';
import { openZip, type ZipArchive, type ZipEntry } from './zip.js';

// torch.save since PyTorch 1.6: a zip archive with one folder that holds `data.pkl` (the object, with tensors as views
// of storages), `data/<key>` (the raw bytes of each storage), `version`, and in newer files `byteorder`.

/** The pickle lists tensors in some 150 bytes each. */
const MAX_PICKLE_BYTES = 64 * 1024 * 1024;

/**
 * Reads the list of tensors of a zip-format PyTorch checkpoint. Storages are read, and their checksums checked, when
 * tensors are. Memory stays at one chunk, or the span of one tensor where that is stored with gaps.
 */
export async function openTorchZip(file: SourceFile): Promise<Checkpoint> {
  const zip = await openZip(file);
  const folder = findFolder(file, zip);
  await checkByteOrder(file, zip, folder);
  const pickle = await readSmall(file, zip, zip.entries.get(`${folder}data.pkl`) as ZipEntry, MAX_PICKLE_BYTES);
  return pickledCheckpoint(file, {
    format: 'torch-zip',
    root: readPickle(file, pickle),
    readPickle: (start, end) => chunksOf(pickle, start, end),
    openStorage: (storage, name) => {
      const entry = storageEntry(file, zip, folder, storage, name);
      return (start, end) => zip.read(entry, start, end);
    },
    verify: () => zip.verify(),
  });
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

function readPickle(file: SourceFile, bytes: Buffer): PickleValue {
  const { value, end } = inFile(file.path, () => unpickle(bytes));
  if (end < bytes.length) throw checkpointError(file.path, 'data.pkl has bytes after the end of its pickle');
  return value;
}

/** The zip entry of a storage; ERR_CHECKPOINT if it is missing or shorter than the pickle says. */
function storageEntry(
  file: SourceFile,
  zip: ZipArchive,
  folder: string,
  { key, numel, dtype }: StorageRef,
  name: string,
): ZipEntry {
  const entry = zip.entries.get(`${folder}data/${key}`);
  if (!entry) throw checkpointError(file.path, `storage "${key}" of tensor "${name}" is missing`);
  const bytes = numel * ITEM_SIZE[dtype];
  if (bytes > entry.size) {
    throw checkpointError(
      file.path,
      `storage "${key}" of tensor "${name}" has ${entry.size} bytes, the tensor lies within ${bytes}`,
    );
  }
  return entry;
}
