import { types } from 'node:util';
import { invalid, requireInteger, requireList } from '../runtime/validate.js';
import { elementCount, type TensorInfo } from './tensor-info.js';

// Seeded weights: every tensor of a model is a pure function of its name, shape, seed and rules, so that this package
// and PyTorch can build the same model without exchanging a file. Only 32-bit integer arithmetic is involved until the
// last step, which is done in float64 and rounded once to float32.

/**
 * `[regular expression, gain, offset]`: the first expression found in the full tensor name applies. The gain scales
 * weights; the offset is added to biases, and then `extra` to single elements (flat index) of a bias.
 */
export type SeededRule = readonly [
  pattern: string,
  gain: number,
  offset: number,
  extra?: Readonly<Record<string, number>>,
];

function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * The values of one state-dict tensor, row-major. `shape` is the tensor's shape in PyTorch's order (out, in, ...);
 * `seed` an unsigned 32-bit integer; `isBatchNorm` says that a sibling `.running_mean` exists, which gives biases a
 * wider range. `.num_batches_tracked` is 0.
 */
export function seededTensor(
  name: string,
  shape: readonly number[],
  seed: number,
  rules: readonly SeededRule[] = [],
  isBatchNorm = false,
): Float32Array {
  requireInteger('seed', seed, 0, 0xffffffff);
  const values = new Float32Array(elementCount(shape));
  if (name.endsWith('.num_batches_tracked')) return values;
  const [, gain, offset, extra = {}] = rules.find(([pattern]) => new RegExp(pattern).test(name)) ?? ['', 1, 0];
  const hash = fnv1a32(name) ^ seed;
  if (name.endsWith('.running_mean')) fill(values, hash, (u) => (2 * u - 1) * 0.2);
  else if (name.endsWith('.running_var')) fill(values, hash, (u) => 0.5 + u);
  else if (name.endsWith('.bias')) {
    const range = isBatchNorm ? 0.2 : 0.05;
    const bias = (u: number): number => (2 * u - 1) * range + offset;
    fill(values, hash, bias);
    for (const [index, more] of Object.entries(extra))
      values[Number(index)] = bias(uniform(hash, Number(index))) + more;
  } else if (shape.length === 1) fill(values, hash, (u) => (0.5 + u) * gain);
  else {
    const bound = Math.sqrt(6 / elementCount(shape.slice(1))); // fan-in
    fill(values, hash, (u) => (2 * u - 1) * bound * gain);
  }
  return values;
}

/** Element `i` of the uniform sequence of a hash: a multiple of 2^-24 in [0, 1). */
function uniform(hash: number, i: number): number {
  let x = hash + Math.imul(i + 1, 0x9e3779b1);
  x ^= x >>> 16;
  x = Math.imul(x, 0x85ebca6b);
  x ^= x >>> 13;
  x = Math.imul(x, 0xc2b2ae35);
  x ^= x >>> 16;
  return (x >>> 8) / 0x1000000;
}

function fill(values: Float32Array, hash: number, value: (u: number) => number): void {
  for (let i = 0; i < values.length; i++) values[i] = value(uniform(hash, i));
}

/** One tensor of `seededWeights`: `values()` computes it, `read()` gives the same as bytes, for `writeSafetensors`. */
export interface SeededTensor extends TensorInfo {
  readonly dtype: 'f32';
  /** The numbers, computed now. */
  values(this: void): Float32Array;
  /** The same as bytes, little-endian. */
  read(this: void): Iterable<Uint8Array>;
}

/**
 * The seeded tensors of a whole model, from its names and shapes; each is computed only when it is asked for.
 * @throws InstasegError ERR_ARGUMENT
 */
export function seededWeights(
  shapes: ReadonlyMap<string, readonly number[]>,
  seed: number,
  rules: readonly SeededRule[] = [],
): SeededTensor[] {
  if (!types.isMap(shapes)) throw invalid('shapes', 'a Map of names and shapes', shapes);
  requireInteger('seed', seed, 0, 0xffffffff);
  requireList('rules', rules);
  return [...shapes].map(([name, shape]) => {
    const isBatchNorm = shapes.has(name.replace(/[^.]*$/, 'running_mean'));
    const values = (): Float32Array => seededTensor(name, shape, seed, rules, isBatchNorm);
    return { name, dtype: 'f32', shape, values, read: () => [new Uint8Array(values().buffer)] };
  });
}
