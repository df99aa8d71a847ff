/** What the options of the box ops share. */
import type { TensorLike } from '../runtime/graph.js';
import { invalid, requireInteger, requireNumber } from '../runtime/validate.js';

/** Images whose rows have a fixed capacity, of which not all are valid. */
export interface CountOptions {
  /** i32 [N]: only the first counts[n] rows of image n are computed, the others stay unwritten. Default: all rows. */
  readonly counts?: TensorLike | undefined;
}

export function optionalNumber(
  name: string,
  value: number | undefined,
  minimum = -Infinity,
  maximum = Infinity,
): number | undefined {
  return value === undefined ? undefined : requireNumber(name, value, minimum, maximum);
}

export function optionalInteger(name: string, value: number | undefined, minimum: number): number | undefined {
  return value === undefined ? undefined : requireInteger(name, value, minimum);
}

/** A list of numbers, none of them NaN. */
export function requireNumbers(name: string, value: unknown): readonly number[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'number' && !Number.isNaN(item))) {
    throw invalid(name, 'an array of numbers', value);
  }
  return value as number[];
}
