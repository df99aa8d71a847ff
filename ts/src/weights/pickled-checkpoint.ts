import { type ReadPickle, readArrayData, verifyEncoded } from './array-data.js';
import type { Checkpoint, CheckpointFormat } from './checkpoint.js';
import { nameTensors, type NamedTensor } from './named-tensors.js';
import type { PickleValue, StorageRef } from './pickle-values.js';
import type { SourceFile } from './source-file.js';
import { readStrided } from './strided.js';
import { requireTensor } from './tensor-info.js';

/** What the formats that hold a pickle differ in. */
export interface PickledParts {
  readonly format: CheckpointFormat;
  /** What the pickle holds. */
  readonly root: PickleValue;
  readonly readPickle: ReadPickle;
  /** Gives bytes of a storage; ERR_CHECKPOINT, with the name of its tensor, if it is missing or too short. */
  openStorage(this: void, storage: StorageRef, name: string): (start: number, end: number) => AsyncIterable<Uint8Array>;
  /** See `Checkpoint.verify`. */
  verify(this: void): Promise<void>;
}

/** The checkpoint that a pickle makes. Every storage and the data of every array are known to be there. */
export async function pickledCheckpoint(
  file: SourceFile,
  { format, root, readPickle, openStorage, verify }: PickledParts,
): Promise<Checkpoint> {
  const { tensors, stateDictPrefix } = nameTensors(file, root);
  for (const { name, ref } of tensors.values()) if ('storage' in ref) openStorage(ref.storage, name);
  await verifyEncoded(file.path, tensors.values(), readPickle);

  function read(tensor: NamedTensor): AsyncIterable<Uint8Array> {
    const { ref, name } = tensor;
    if ('storage' in ref) return readStrided(file.path, tensor, ref.offset, openStorage(ref.storage, name));
    // An array is all of its data, whatever their order.
    return readStrided(file.path, tensor, 0, () => readArrayData(file.path, ref.data, readPickle));
  }

  const close = (): Promise<void> => file.close();
  return {
    ...{ path: file.path, format, metadata: {}, tensors, stateDictPrefix, bytes: file.size },
    async *read(name) {
      yield* read(requireTensor(tensors, name, file.path));
    },
    ...{ verify, close, [Symbol.asyncDispose]: close },
  };
}
