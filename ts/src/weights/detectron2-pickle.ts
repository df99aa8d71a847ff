import type { Checkpoint, PickleFormat } from './checkpoint.js';
import { unpickleFile } from './pickle.js';
import { pickledCheckpoint } from './pickled-checkpoint.js';
import type { SourceFile } from './source-file.js';
import { checkpointError } from './tensor-info.js';

// A dictionary of NumPy arrays as one pickle: detectron2's model zoo ({'model': {name: array}, '__author__': ...}), and
// before it Caffe2's Detectron, in Python 2.

/**
 * Reads the list of arrays of a pickle. Their data, which are inside the pickle, are passed over, and read from the file
 * when they are asked for.
 */
export async function openPickle(file: SourceFile, format: PickleFormat): Promise<Checkpoint> {
  const { value, end } = await unpickleFile(file, 0);
  if (end < file.size) throw checkpointError(file.path, `has ${file.size - end} bytes after the end of its pickle`);
  return pickledCheckpoint(file, {
    format,
    root: value,
    readPickle: (from, to) => file.read(from, to),
    openStorage: ({ key }, name) => {
      throw checkpointError(
        file.path,
        `storage "${key}" of tensor "${name}" is missing: this is a part of a checkpoint`,
      );
    },
    verify: () => Promise.resolve(), // the places of all data are known to be right
  });
}
