/** What the tests of the box ops share: random boxes, f32 arithmetic written out, an awkward value here and there. */
import type { ExecutionContext } from 'ava';
import { InstasegError, Tensor, type ErrorCode } from '../../src/index.js';
import { randomSource } from './ops.js';

export const f32 = Math.fround;

/** `count` boxes x1, y1, x2, y2 with centres in [0, extent)^2 and sides in [1, side). */
export function randomBoxes(seed: number, count: number, extent = 100, side = 40): Float32Array {
  const next = randomSource(seed);
  const boxes = new Float32Array(count * 4);
  for (let i = 0; i < count; i += 1) {
    const [x, y] = [next() * extent, next() * extent];
    const [w, h] = [1 + next() * (side - 1), 1 + next() * (side - 1)];
    boxes.set([x - w / 2, y - h / 2, x + w / 2, y + h / 2], i * 4);
  }
  return boxes;
}

/** Integers in [low, high]. */
export function randomIntegers(seed: number, count: number, low: number, high: number): Int32Array {
  const next = randomSource(seed);
  return Int32Array.from({ length: count }, () => low + Math.floor(next() * (high - low + 1)));
}

/** Puts NaN, infinities, huge and tiny numbers in the place of some values. */
export function spoil(seed: number, values: Float32Array, share = 0.05): Float32Array {
  const next = randomSource(seed);
  const special = [NaN, Infinity, -Infinity, 0, -0, 3e9, -3e9, 1e30, -1e30, 1e-30];
  return values.map((value) => (next() < share ? special[Math.floor(next() * special.length)]! : value));
}

/** Intersection over union in f32, operation by operation. */
export function iou(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const area = (box: ArrayLike<number>): number => f32(f32(box[2]! - box[0]!) * f32(box[3]! - box[1]!));
  const overlap = (low: number, high: number): number =>
    Math.max(f32(Math.min(a[high]!, b[high]!) - Math.max(a[low]!, b[low]!)), 0);
  const intersection = f32(overlap(0, 2) * overlap(1, 3));
  return f32(intersection / f32(f32(area(a) + area(b)) - intersection));
}

export function box(boxes: ArrayLike<number>, index: number): number[] {
  return [0, 1, 2, 3].map((i) => boxes[index * 4 + i]!);
}

export function ints(values: readonly number[], shape: readonly number[] = [values.length]): Tensor<Int32Array> {
  return Tensor.from(Int32Array.from(values), shape);
}

export function floats(values: readonly number[], shape: readonly number[] = [values.length]): Tensor<Float32Array> {
  return Tensor.from(Float32Array.from(values), shape);
}

/** Expects a rejection with one of the package's codes. */
export async function rejects(t: ExecutionContext, code: ErrorCode, body: () => Promise<unknown>): Promise<void> {
  const error = await t.throwsAsync(body, { instanceOf: InstasegError });
  t.is((error as InstasegError | undefined)?.code, code, error?.message);
}
