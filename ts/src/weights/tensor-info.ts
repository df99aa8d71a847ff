import { InstasegError } from '../runtime/errors.js';
import { show } from '../runtime/validate.js';

/** Element types that a checkpoint may hold. `bool` is one byte, 0 or 1. */
export type CheckpointDType = 'f64' | 'f32' | 'f16' | 'bf16' | 'i64' | 'i32' | 'i16' | 'i8' | 'u8' | 'bool';

/** Bytes of one element. */
export const ITEM_SIZE: Readonly<Record<CheckpointDType, number>> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u8: 1,
  bool: 1,
};

/** Element types as PyTorch and NumPy call them. */
export const DTYPE_NAMES = {
  f64: 'float64',
  f32: 'float32',
  f16: 'float16',
  bf16: 'bfloat16',
  i64: 'int64',
  i32: 'int32',
  i16: 'int16',
  i8: 'int8',
  u8: 'uint8',
  bool: 'bool',
} as const satisfies Record<CheckpointDType, string>;

/** What is known about a tensor without reading its data. `shape` is [] for a single number. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: CheckpointDType;
  readonly shape: readonly number[];
}

/** More dimensions than PyTorch allows: a shape beyond this is damage or malice. */
const MAX_RANK = 64;

/** Number of elements of a shape: 1 for [], 0 if any dimension is 0. Exact for what `isShape` accepts. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** Contiguous size in bytes of a tensor. */
export function byteLength(info: Pick<TensorInfo, 'dtype' | 'shape'>): number {
  return elementCount(info.shape) * ITEM_SIZE[info.dtype];
}

/** True for an array of dimensions (integers from 0) whose contiguous size in bytes is exact in a double. */
export function isShape(value: unknown): value is number[] {
  if (!Array.isArray(value) || value.length > MAX_RANK) return false;
  if (!value.every((size) => Number.isSafeInteger(size) && size >= 0)) return false;
  // The widest element has 8 bytes. Zeros are left out: [2^40, 2^40, 0] would overflow in any reader that multiplies.
  return value.reduce((product: number, size: number) => product * Math.max(size, 1), 8) <= Number.MAX_SAFE_INTEGER;
}

/** "f32 [64, 3, 7, 7]" */
export function describeTensor(info: Pick<TensorInfo, 'dtype' | 'shape'>): string {
  return `${info.dtype} [${info.shape.join(', ')}]`;
}

/** An ERR_CHECKPOINT about a file. */
export function checkpointError(path: string, problem: string, cause?: unknown): InstasegError {
  return new InstasegError('ERR_CHECKPOINT', `${path}: ${problem}`, cause === undefined ? undefined : { cause });
}

/** Puts the file's path in front of what a step has to say about it; errors about arguments stay as they are. */
export function inFile<T>(path: string, step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (!(error instanceof InstasegError) || error.code === 'ERR_ARGUMENT') throw error;
    throw new InstasegError(error.code, `${path}: ${error.message}`, { cause: error });
  }
}

/** The tensor called `name`; ERR_ARGUMENT where there is none. */
export function requireTensor<T>(tensors: ReadonlyMap<string, T>, name: string, path: string): T {
  const info = tensors.get(name);
  if (info === undefined) {
    throw new InstasegError('ERR_ARGUMENT', `Expected the name of a tensor of ${path}, received ${show(name)}`);
  }
  return info;
}
