/** Whether a result is right: nothing is timed before. */
import type { Tensor } from '../runtime/tensor.js';

export const PRECISIONS = ['f32', 'tf32', 'f16', 'bf16'] as const;
export type OpPrecision = (typeof PRECISIONS)[number];

/**
 * Largest allowed error, ||result - expected|| / ||expected||, against an f32 calculation in another order. f32 leaves
 * room for Winograd's transforms; TF32 and f16 keep 11 bits of a number, bf16 8.
 */
export const ALLOWED: Readonly<Record<OpPrecision, number>> = { f32: 1e-5, tf32: 2e-3, f16: 2e-3, bf16: 1.5e-2 };

/** What was compared with what, and how it came out. */
export interface Check {
  /** What the result was compared with. */
  readonly against: string;
  /** How much of it: "all", or which part. */
  readonly extent: string;
  /** Relative error; 0 for integers that are equal, Infinity for a result of another size or with NaN. */
  readonly error: number;
  readonly allowed: number;
}

/** Relative error of all elements in the norm of the sum of squares; NaN and infinities have to be at the same places. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i += 1) {
    const [a, e] = [actual[i]!, expected[i]!];
    if (Object.is(a, e) || a === e) {
      if (Number.isFinite(e)) norm += e * e;
      continue;
    }
    if (!Number.isFinite(a) || !Number.isFinite(e)) return Infinity;
    difference += (a - e) ** 2;
    norm += e * e;
  }
  return difference === 0 ? 0 : norm === 0 ? Infinity : Math.sqrt(difference / norm);
}

/** Elements of the given channels (last axis) of a tensor with `of` channels. */
export function pickChannels({ data }: Tensor, of: number, channels: readonly number[]): Float64Array {
  const out = new Float64Array((data.length / of) * channels.length);
  let at = 0;
  for (let from = 0; from < data.length; from += of) {
    for (const channel of channels) out[at++] = data[from + channel]!;
  }
  return out;
}

export function isRight({ error, allowed }: Check): boolean {
  return error <= allowed;
}
