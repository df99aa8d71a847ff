/** Checks that the tests of element-wise, pooling and resampling ops share. */
import type { ExecutionContext } from 'ava';
import {
  Device,
  InstasegError,
  listDevices,
  listKernels,
  Tensor,
  type ErrorCode,
  type SymbolicTensor,
} from '../../src/index.js';

/** The call is refused with this code, and the message says what was wrong. */
export async function refused(
  t: ExecutionContext,
  body: () => unknown,
  code: ErrorCode,
  message: RegExp,
): Promise<void> {
  const device = await Device.open('cpu', { threads: 1 });
  try {
    const error = await t.throwsAsync(async () => device.run(body as () => SymbolicTensor));
    t.true(error instanceof InstasegError, String(error));
    t.is((error as InstasegError | undefined)?.code, code, error?.message);
    t.regex(error?.message ?? '', message);
  } finally {
    await device.dispose();
  }
}

/**
 * Every variant gives the same bits with any number of threads, and the fast variants (all but "reference") give the
 * same bits as each other.
 */
export async function sameBits(t: ExecutionContext, op: string, body: () => SymbolicTensor): Promise<void> {
  const levels = ['baseline', 'avx2', 'avx512'];
  const highest = levels.indexOf(listDevices()[0]?.isa ?? 'baseline');
  const rows = listKernels().filter((row) => row.op === op && row.device === 'cpu');
  const variants = new Set(rows.filter((row) => levels.indexOf(row.isa) <= highest).map((row) => row.variant));
  let fast: string | undefined;
  for (const variant of variants) {
    let first: string | undefined;
    for (const threads of [1, 2, 3]) {
      const device = await Device.open('cpu', { threads, variant });
      const { data } = await device.run(body);
      const bits = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');
      first ??= bits;
      t.true(bits === first, `${op} [${variant}] differs with ${threads} threads`);
      await device.dispose();
    }
    if (variant === 'reference') continue;
    fast ??= first;
    t.true(first === fast, `${op} [${variant}] differs from the other fast variant`);
  }
}

/** The positions of a tensor in row-major order, as index lists. */
export function* positions(shape: readonly number[]): Generator<number[]> {
  const total = shape.reduce((product, dim) => product * dim, 1);
  for (let i = 0; i < total; i += 1) {
    const index: number[] = [];
    let rest = i;
    for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
      index.unshift(rest % shape[axis]!);
      rest = Math.floor(rest / shape[axis]!);
    }
    yield index;
  }
}

/** Row-major position of an index list. */
export function offsetOf(shape: readonly number[], index: readonly number[]): number {
  return index.reduce((offset, at, axis) => offset * shape[axis]! + at, 0);
}

/** The dtypes of images and feature maps. */
export type FloatDType = 'f32' | 'f16' | 'bf16';
export const FLOAT_DTYPES: readonly FloatDType[] = ['f32', 'f16', 'bf16'];

const FORMATS = {
  f32: { mantissa: 23, least: -126, most: 127 },
  f16: { mantissa: 10, least: -14, most: 15 },
  bf16: { mantissa: 7, least: -126, most: 127 },
} as const;

/** The distance between the numbers of a dtype around `value` (at the least exponent: that of subnormal numbers). */
export function ulp(dtype: FloatDType, value: number): number {
  const { mantissa, least, most } = FORMATS[dtype];
  const magnitude = Math.abs(value);
  let exponent = magnitude > 0 && Number.isFinite(magnitude) ? Math.floor(Math.log2(magnitude)) : least;
  // log2 rounds: a number just below a power of two may seem to have reached it.
  if (2 ** exponent > magnitude) exponent -= 1;
  if (2 ** (exponent + 1) <= magnitude) exponent += 1;
  return 2 ** (Math.min(Math.max(exponent, least), most) - mantissa);
}

/** The number of a dtype nearest to `value`, ties to even. */
export function roundTo(dtype: FloatDType, value: number): number {
  if (!Number.isFinite(value)) return value;
  if (dtype === 'f32') return Math.fround(value);
  const unit = ulp(dtype, value);
  const steps = Math.abs(value) / unit;
  const below = Math.floor(steps);
  const rest = steps - below;
  const rounded = (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below) * unit;
  const { most } = FORMATS[dtype];
  return Math.sign(value) * (rounded >= 2 ** (most + 1) ? Infinity : rounded);
}

const word = new DataView(new ArrayBuffer(4));

/** Bits of the half precision number nearest to `value`. */
export function toHalf(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const rounded = Math.abs(roundTo('f16', value));
  if (Number.isNaN(value)) return 0x7e00;
  if (rounded === Infinity) return sign | 0x7c00;
  if (rounded < 2 ** -14) return sign | (rounded * 2 ** 24);
  const exponent = Math.floor(Math.log2(rounded));
  return sign | ((exponent + 15) << 10) | ((rounded * 2 ** -exponent - 1) * 1024);
}

export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
}

/** Bits of the bfloat16 number nearest to `value`. */
export function toBfloat16(value: number): number {
  word.setFloat32(0, roundTo('bf16', value));
  return word.getUint16(0);
}

export function fromBfloat16(bits: number): number {
  word.setUint32(0, bits * 2 ** 16);
  return word.getFloat32(0);
}

/** A tensor of `dtype` with these numbers, each rounded to the nearest. */
export function floatTensor(dtype: FloatDType, values: ArrayLike<number>, shape?: readonly number[]): Tensor {
  if (dtype === 'f32') return Tensor.from(Float32Array.from(values), shape);
  return Tensor.from(Uint16Array.from(values, dtype === 'f16' ? toHalf : toBfloat16), shape, dtype);
}

/** The numbers of a tensor of any dtype. */
export function numbersOf(tensor: Tensor): Float64Array {
  const read = { f16: fromHalf, bf16: fromBfloat16 } as Partial<Record<string, (bits: number) => number>>;
  return Float64Array.from(tensor.data, read[tensor.dtype] ?? ((value: number) => value));
}

/**
 * The policy for f16 and bf16 (and f32, where bits are not prescribed): an error of at most twice that of a plain
 * computation - inputs rounded to the dtype, f32 arithmetic, one rounding at the end - plus one unit in the last place,
 * both against the exact result of the rounded inputs. NaN and infinities are those of the plain computation.
 * @param options.per the plain error to compare with: that of the same element, or (`tensor`) the largest of all, for
 * long sums, where another order moves the error from one element to another
 */
export function assertWithinPolicy(
  t: ExecutionContext,
  dtype: FloatDType,
  actual: ArrayLike<number>,
  exact: ArrayLike<number>,
  plain: ArrayLike<number>,
  options: { per?: 'element' | 'tensor'; label?: string } = {},
): void {
  const { per = 'element', label = dtype } = options;
  t.deepEqual([actual.length, plain.length], [exact.length, exact.length], `${label}: length`);
  const errors = Array.from(exact, (value, i) => Math.abs(roundTo(dtype, plain[i]!) - value));
  const largest = errors.reduce((worst, error) => (error > worst ? error : worst), 0);
  for (let i = 0; i < exact.length; i += 1) {
    const [a, e, p] = [actual[i]!, exact[i]!, roundTo(dtype, plain[i]!)];
    if (a === p || (Number.isNaN(a) && Number.isNaN(p))) continue;
    const allowed = 2 * (per === 'element' ? errors[i]! : largest) + ulp(dtype, e);
    if (!(Math.abs(a - e) <= allowed)) {
      t.fail(`${label}: element ${i} is ${a}, exact ${e}, plain ${p}: an error of at most ${allowed} is allowed`);
      return;
    }
  }
}
