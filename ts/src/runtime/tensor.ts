/** Tensors in JavaScript memory: what goes into ops and plans and what comes out. */
import { types } from 'node:util';
import type { NativeData, NativeTensor } from './addon.js';
import { InstasegError } from './errors.js';
import { invalid, requireOneOf } from './validate.js';

/** Element types. `f16` and `bf16` are held as their bits in a Uint16Array. */
export type DType = 'f32' | 'f16' | 'bf16' | 'i32' | 'u8';
export const DTYPES: readonly DType[] = ['f32', 'f16', 'bf16', 'i32', 'u8'];
const ZEROS = ['f32', 'i32', 'u8'] as const;

function inferDType(data: NodeJS.TypedArray | DataView): DType {
  if (types.isFloat32Array(data)) return 'f32';
  if (types.isInt32Array(data)) return 'i32';
  if (types.isUint8Array(data) || types.isUint8ClampedArray(data)) return 'u8';
  throw invalid('data', 'a Float32Array, Int32Array, Uint8Array, or a Uint16Array with dtype "f16" or "bf16"', data);
}

function dtypeFits(data: unknown, dtype: DType): boolean {
  switch (dtype) {
    case 'f32':
      return types.isFloat32Array(data);
    case 'i32':
      return types.isInt32Array(data);
    case 'u8':
      return types.isUint8Array(data) || types.isUint8ClampedArray(data);
    case 'f16':
    case 'bf16':
      return types.isUint16Array(data);
  }
}

/** Checks a shape: an array of integers that are not negative, at most six. */
export function requireShape(name: string, shape: unknown, options: { dynamic?: boolean } = {}): readonly number[] {
  const minimum = options.dynamic ? -1 : 0;
  if (
    !Array.isArray(shape) ||
    shape.length > 6 ||
    !shape.every((dim) => Number.isSafeInteger(dim) && (dim as number) >= minimum)
  ) {
    throw invalid(name, 'an array of at most six integers that are not negative', shape);
  }
  return Object.freeze([...(shape as number[])]);
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/**
 * A dense row-major tensor in JavaScript memory. Images and feature maps are NHWC. Nothing to dispose: it is garbage
 * collected like any typed array.
 */
export class Tensor<D extends NativeData = NativeData> implements NativeTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The elements; a sub-array view is fine and is read as such. */
  readonly data: D;

  private constructor(data: D, shape: readonly number[], dtype: DType) {
    this.data = data;
    this.shape = shape;
    this.dtype = dtype;
  }

  /**
   * Wraps a typed array without copying it; ops copy it when they run.
   * @param data Float32Array (f32), Int32Array (i32), Uint8Array or Uint8ClampedArray (u8), or Uint16Array with `dtype` f16 or bf16
   * @param shape sizes, their product being data.length; one dimension of data.length where it is left out
   * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE
   */
  static from<D extends NativeData>(data: D, shape?: readonly number[], dtype?: DType): Tensor<D> {
    if (!types.isTypedArray(data)) throw invalid('data', 'a typed array', data);
    const type = dtype === undefined ? inferDType(data) : requireOneOf('dtype', dtype, DTYPES);
    if (!dtypeFits(data, type)) throw invalid('data', `a typed array that holds ${type}`, data);
    const dims = requireShape('shape', shape ?? [data.length]);
    if (elementCount(dims) !== data.length) {
      throw new InstasegError(
        'ERR_SHAPE',
        `shape [${dims.join(', ')}] does not hold the ${data.length} elements of data`,
      );
    }
    return new Tensor(data, dims, type);
  }

  /**
   * Zeros.
   * @throws InstasegError ERR_ARGUMENT, ERR_OUT_OF_MEMORY
   */
  static zeros(shape: readonly number[], dtype: 'f32' | 'i32' | 'u8' = 'f32'): Tensor {
    const count = elementCount(requireShape('shape', shape));
    const data = { f32: Float32Array, i32: Int32Array, u8: Uint8Array }[requireOneOf('dtype', dtype, ZEROS)];
    try {
      return Tensor.from(new data(count), shape);
    } catch (cause) {
      // Of V8, beyond the length of its arrays and where memory is short.
      if (!(cause instanceof RangeError)) throw cause;
      const bytes = count * data.BYTES_PER_ELEMENT;
      throw new InstasegError('ERR_OUT_OF_MEMORY', `no memory for zeros of ${bytes} bytes`, { cause });
    }
  }

  /** Number of elements. */
  get length(): number {
    return this.data.length;
  }
}
