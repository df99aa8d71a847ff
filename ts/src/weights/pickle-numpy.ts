import {
  type ArrayContent,
  type ArrayRef,
  broken,
  type DTypeRef,
  isIndex,
  isKind,
  type LongRef,
  type PickleValue,
} from './pickle-values.js';
import { type CheckpointDType, elementCount, isShape, ITEM_SIZE } from './tensor-info.js';

// How NumPy pickles its arrays: an empty array that is given its state (protocols 2 to 4, and arrays with gaps), or a
// buffer with a type, a shape and an order (protocol 5). The data are bytes; protocol 2 writes bytes as text that is to
// be encoded in latin-1, and Python 2 as a string.

const DTYPES: Readonly<Record<string, CheckpointDType>> = {
  f8: 'f64',
  f4: 'f32',
  f2: 'f16',
  i8: 'i64',
  i4: 'i32',
  i2: 'i16',
  i1: 'i8',
  u1: 'u8',
  b1: 'bool',
};

/** numpy.dtype(code, align, copy) */
export function makeDType([name]: readonly PickleValue[]): DTypeRef {
  const [, order = '', code] = (typeof name === 'string' && /^([<>|=]?)([a-zA-Z]\d{0,9})$/.exec(name)) || [];
  if (code === undefined) throw broken('a NumPy type has no name');
  return { kind: 'dtype', code, order };
}

/** (version, byte order, subtype, names, fields, size, alignment, flags) */
export function setDTypeState(dtype: DTypeRef, state: PickleValue): void {
  const order = Array.isArray(state) ? state[1] : undefined;
  if (typeof order !== 'string' || !/^[<>|=]$/.test(order)) throw broken('a NumPy type has a state that is not one');
  dtype.order = order;
}

/** _reconstruct(numpy.ndarray, (0,), b'b') */
export function reconstructArray([type]: readonly PickleValue[]): ArrayRef {
  if (!isKind(type, 'global') || type.name !== 'numpy.ndarray') throw broken('a NumPy array is built of another type');
  return { kind: 'array', content: undefined };
}

/** (version, shape, dtype, is in Fortran order, data), the version missing in very old files */
export function setArrayState(array: ArrayRef, state: PickleValue): void {
  if (array.content) throw broken('a NumPy array is given its data twice');
  if (!Array.isArray(state) || state.length < 4 || state.length > 5) throw broken('a NumPy array has no data');
  const [shape, dtype, fortran, data] = state.slice(-4) as [PickleValue, PickleValue, PickleValue, PickleValue];
  array.content = arrayContent(shape, dtype, data, fortran === true || fortran === 1 ? 'F' : 'C');
}

/** _frombuffer(buffer, dtype, shape, order, axes): with order 'K', the shape's axes are put into another order. */
export function arrayFromBuffer([data, dtype, shape, order, axes]: readonly PickleValue[]): ArrayRef {
  if (order !== 'C' && order !== 'F' && order !== 'K') throw broken('a NumPy array has an unknown order of elements');
  const content = arrayContent(shape, dtype, data, order === 'F' ? 'F' : 'C');
  return { kind: 'array', content: order === 'K' && axes ? transposed(content, axes) : content };
}

function arrayContent(
  shape: PickleValue | undefined,
  dtype: PickleValue | undefined,
  data: PickleValue | undefined,
  order: 'C' | 'F',
): ArrayContent {
  if (!isKind(dtype, 'dtype') || !isShape(shape)) throw broken('a NumPy array has an invalid type or shape');
  const type = elementType(dtype);
  const bytes = asBytes(data);
  if (bytes === undefined) throw broken('the data of a NumPy array are not bytes');
  if (type !== undefined) checkLength(bytes, elementCount(shape) * ITEM_SIZE[type]);
  // Copied: what was a list in the pickle could still grow after this check.
  return { dtype: type, shape: [...shape], strides: stridesOf(shape, order), data: bytes };
}

function elementType({ code, order }: DTypeRef): CheckpointDType | undefined {
  if (code.startsWith('O')) throw broken('a NumPy array holds Python objects, not numbers');
  const type = DTYPES[code];
  if (order === '>' && type !== undefined && ITEM_SIZE[type] > 1) {
    throw broken('a NumPy array is in big-endian byte order, expected little-endian');
  }
  return type;
}

/** `encoded` text takes one or two bytes for each byte of data: how many, `checkArrays` finds out. */
function checkLength(data: Uint8Array | LongRef, expected: number): void {
  const { length } = data;
  const encoded = isKind(data, 'long') && data.form === 'encoded';
  if (encoded ? length >= expected && length <= 2 * expected : length === expected) return;
  throw broken(`the data of a NumPy array have ${length} bytes, expected ${expected}`);
}

/** The bytes that a value stands for: itself, or for Python 2 a string. */
function asBytes(value: PickleValue | undefined): Uint8Array | LongRef | undefined {
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string') return fromLatin1(value);
  return isKind(value, 'long') && value.form !== 'utf8' ? value : undefined;
}

function fromLatin1(text: string): Uint8Array | undefined {
  const bytes = Buffer.from(text, 'latin1');
  return bytes.toString('latin1') === text ? bytes : undefined;
}

/** _codecs.encode(text, 'latin1'): how protocol 2 writes bytes. */
export function encode([text, encoding]: readonly PickleValue[]): PickleValue {
  if (typeof encoding !== 'string' || !/^(latin-?1|iso-?8859-?1)$/i.test(encoding)) {
    throw broken('the pickle encodes text in something else than latin-1');
  }
  const bytes = typeof text === 'string' ? fromLatin1(text) : undefined;
  if (bytes) return bytes;
  if (isKind(text, 'long') && text.form === 'utf8') return { ...text, form: 'encoded' };
  throw broken('the pickle encodes what is not latin-1 text');
}

/** Of contiguous elements. */
function stridesOf(shape: readonly number[], order: 'C' | 'F'): number[] {
  let next = 1;
  const take = (size: number): number => {
    const stride = next;
    next *= Math.max(size, 1);
    return stride;
  };
  return order === 'F' ? shape.map(take) : [...shape].reverse().map(take).reverse();
}

function transposed({ shape, strides, ...rest }: ArrayContent, axes: PickleValue): ArrayContent {
  if (!Array.isArray(axes) || axes.length !== shape.length || new Set(axes).size !== axes.length) {
    throw broken('a NumPy array has an invalid order of axes');
  }
  const pick = (values: readonly number[]): number[] =>
    axes.map((axis) => {
      const value = isIndex(axis) ? values[axis] : undefined;
      if (value === undefined) throw broken('a NumPy array has an invalid order of axes');
      return value;
    });
  return { ...rest, shape: pick(shape), strides: pick(strides) };
}
