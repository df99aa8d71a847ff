/** What the options of ops share: tensors, sizes and lists. */
import { Constant, SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { optional, type Check, type OptionChecks } from '../runtime/options.js';
import { Tensor } from '../runtime/tensor.js';
import { invalid, requireOneOf } from '../runtime/validate.js';

/** Images whose rows have a fixed capacity, of which not all are valid. */
export interface CountOptions {
  /** i32 [N]: only the first counts[n] rows of image n are computed, the others stay unwritten. Default: all rows. */
  readonly counts?: TensorLike | undefined;
}

/** One number for both axes, or [y, x]. */
export type Pair = number | readonly [number, number];

/** What a convolution or linear applies last. */
export type Activation = 'none' | 'relu' | 'sigmoid' | 'tanh';

export const activation: Check<Activation> = (name, value) =>
  requireOneOf(name, value, ['none', 'relu', 'sigmoid', 'tanh']);

export const tensor: Check<TensorLike> = (name, value) => {
  if (value instanceof SymbolicTensor || value instanceof Tensor || value instanceof Constant) return value;
  throw invalid(name, 'a Tensor, a Constant or a symbolic tensor', value);
};

/** Checks of {@link CountOptions} alone. */
export const COUNT_OPTIONS = { counts: optional(tensor) } satisfies OptionChecks<CountOptions>;

/** A list of at least one input. */
export function requireTensors(name: string, value: unknown): readonly TensorLike[] {
  if (!Array.isArray(value) || value.length === 0) throw invalid(name, 'an array of at least one tensor', value);
  return value.map((item, i) => tensor(`${name}[${i}]`, item));
}

/** An integer of at least `minimum`, or two of them as [y, x]. */
export const pair =
  (minimum: 0 | 1): Check<number[]> =>
  (name, value) => {
    const fits = (size: unknown): size is number => Number.isSafeInteger(size) && (size as number) >= minimum;
    const both: unknown[] = Array.isArray(value) ? value : [value, value];
    if (both.length === 2 && both.every(fits)) return [...both];
    throw invalid(name, `an integer of at least ${minimum}, or two of them as [y, x]`, value);
  };

/** A list of integers of at least `minimum`. */
export const integers =
  (minimum: number): Check<number[]> =>
  (name, value) => {
    const fits = (item: unknown): item is number => Number.isSafeInteger(item) && (item as number) >= minimum;
    if (Array.isArray(value) && value.every(fits)) return [...value];
    throw invalid(name, `an array of integers of at least ${minimum}`, value);
  };

const isFiniteNumber = (item: unknown): item is number => Number.isFinite(item);

/** A list of finite numbers. */
export const numbers: Check<number[]> = (name, value) => {
  if (Array.isArray(value) && value.every(isFiniteNumber)) return [...value];
  throw invalid(name, 'an array of finite numbers', value);
};

/** A list of finite numbers above 0. */
export const positiveNumbers: Check<number[]> = (name, value) => {
  if (Array.isArray(value) && value.every(isFiniteNumber) && value.every((item) => item > 0)) return [...value];
  throw invalid(name, 'an array of positive numbers', value);
};
