import { InstasegError } from '../runtime/errors.js';
import { roundHalfEven } from '../runtime/rounding.js';
import { type CheckpointDType, ITEM_SIZE } from './tensor-info.js';

// Tensor data from one floating-point type to another, in a stream. Rounding is to the nearest, ties to even; f64 goes
// through f32, as in PyTorch.

/** Element types that weights may be converted to. */
export type WeightDType = 'f32' | 'f16' | 'bf16';

/** Elements of `bytes`, which begin anywhere in memory, as f32. */
function decode(bytes: Uint8Array, dtype: CheckpointDType): Float32Array {
  const { buffer, byteOffset, byteLength } = bytes;
  const view = new DataView(buffer, byteOffset, byteLength);
  const count = byteLength / ITEM_SIZE[dtype];
  const values = new Float32Array(count);
  switch (dtype) {
    case 'f64':
      for (let i = 0; i < count; i++) values[i] = view.getFloat64(8 * i, true);
      return values;
    case 'f32':
      new Uint8Array(values.buffer).set(bytes);
      return values;
    case 'f16':
      for (let i = 0; i < count; i++) values[i] = fromHalf(view.getUint16(2 * i, true));
      return values;
    case 'bf16': {
      const bits = new Uint32Array(values.buffer);
      for (let i = 0; i < count; i++) bits[i] = view.getUint16(2 * i, true) << 16;
      return values;
    }
    default:
      throw new InstasegError('ERR_DTYPE', `Expected a tensor of floating-point numbers, received ${dtype}`);
  }
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/** f16 of an f32, both as bits. */
function toHalf(bits: number, value: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520, half-way beyond the largest
  if (magnitude < 0x38800000) return sign | roundHalfEven(Math.abs(value) * 2 ** 24); // below 2^-14: subnormal
  const rebiased = magnitude - 0x38000000;
  return sign | ((rebiased + 0xfff + ((rebiased >> 13) & 1)) >> 13);
}

/** bf16 of an f32, both as bits. */
function toBrain(bits: number): number {
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40; // NaN
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

const ENCODERS = {
  f16: { encode: toHalf, exponent: 0x7c00 },
  bf16: { encode: toBrain, exponent: 0x7f80 },
} as const;

function encode(name: string, values: Float32Array, dtype: WeightDType): Uint8Array {
  if (dtype === 'f32') return new Uint8Array(values.buffer);
  const { encode: round, exponent } = ENCODERS[dtype];
  const bits = new Uint32Array(values.buffer);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < out.length; i++) {
    const value = values[i] as number;
    const rounded = round(bits[i] as number, value);
    if ((rounded & 0x7fff) === exponent && Number.isFinite(value)) throw tooLarge(name, value, dtype);
    out[i] = rounded;
  }
  return new Uint8Array(out.buffer);
}

function tooLarge(name: string, value: number, dtype: 'f16' | 'bf16'): InstasegError {
  const [largest, others] = dtype === 'f16' ? ['65504', 'bf16 or f32'] : ['3.39e38', 'f32'];
  return new InstasegError(
    'ERR_WEIGHTS',
    `The tensor "${name}" holds ${value}, more than ${dtype} can (${largest}): convert to ${others}`,
  );
}

/**
 * The data of the tensor `name`, of type `from`, as type `to`. Throws ERR_WEIGHTS for a number that `to` cannot hold,
 * ERR_DTYPE where `from` is no floating-point type.
 */
export async function* castData(
  name: string,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  from: CheckpointDType,
  to: WeightDType,
): AsyncGenerator<Uint8Array, void, undefined> {
  let rest = new Uint8Array(0); // of an element that two chunks share
  for await (const chunk of chunks) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = bytes.length - (bytes.length % ITEM_SIZE[from]);
    rest = Uint8Array.from(bytes.subarray(whole));
    if (whole > 0) yield encode(name, decode(bytes.subarray(0, whole), from), to);
  }
}
