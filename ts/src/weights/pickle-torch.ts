import { broken, isIndex, isKind, type PickleValue, type StorageRef, type TensorRef } from './pickle-values.js';
import { type CheckpointDType, elementCount, isShape } from './tensor-info.js';

// What torch.save puts into a pickle: tensors as views of storages, which persistent ids name.

export const STORAGE_DTYPES: Readonly<Record<string, CheckpointDType>> = {
  'torch.DoubleStorage': 'f64',
  'torch.FloatStorage': 'f32',
  'torch.HalfStorage': 'f16',
  'torch.BFloat16Storage': 'bf16',
  'torch.LongStorage': 'i64',
  'torch.IntStorage': 'i32',
  'torch.ShortStorage': 'i16',
  'torch.CharStorage': 'i8',
  'torch.ByteStorage': 'u8',
  'torch.BoolStorage': 'bool',
};

/** _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, ...) */
export function rebuildTensor([storage, offset, shape, strides]: readonly PickleValue[]): TensorRef {
  if (!isKind(storage, 'storage')) throw broken('a tensor is built without a storage');
  if (!isIndex(offset) || !isShape(shape)) throw broken('a tensor has an invalid offset or shape');
  if (!Array.isArray(strides) || strides.length !== shape.length || !strides.every(isIndex)) {
    throw broken('a tensor has invalid strides');
  }
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * (strides[i] as number), offset);
  const { offset: start, numel } = storage.view ?? { offset: 0, numel: storage.numel };
  if (elementCount(shape) > 0 && last >= numel) {
    throw broken(`a tensor reaches element ${last} of storage "${storage.key}", which has ${numel}`);
  }
  // Copied: what was a list in the pickle could still grow after this check.
  return { kind: 'tensor', storage, offset: start + offset, shape: [...shape], strides: [...strides] };
}

/**
 * Persistent ids of torch.save: ('storage', storage type, key, location, number of elements), in legacy files followed
 * by None or (key of the view, offset, number of elements).
 */
export function loadStorage(id: PickleValue, known: Map<string, StorageRef>): StorageRef {
  if (!Array.isArray(id) || id.length < 5 || id[0] !== 'storage') throw broken('a persistent id is not a storage');
  const [, type, key, , numel, viewId = null] = id;
  const dtype = isKind(type, 'global') ? STORAGE_DTYPES[type.name] : undefined;
  if (dtype === undefined || typeof key !== 'string' || !isIndex(numel)) throw broken('a storage is not well formed');
  const first = known.get(key);
  if (first && (first.dtype !== dtype || first.numel !== numel)) {
    throw broken(`storage "${key}" is named with two types or sizes`);
  }
  const whole: StorageRef = first ?? { kind: 'storage', dtype, key, numel };
  known.set(key, whole);
  if (viewId === null) return whole;
  const [, offset, size] = Array.isArray(viewId) ? viewId : [];
  if (!isIndex(offset) || !isIndex(size) || offset + size > numel) {
    throw broken(`a view of storage "${key}" is not well formed`);
  }
  return { ...whole, view: { offset, numel: size } };
}
