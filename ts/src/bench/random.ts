/** Reproducible inputs: a 31-bit linear congruential generator, and everything from it. */
import { Tensor } from '../runtime/tensor.js';

export function randomSource(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

const count = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** Uniform in [-scale / 2, scale / 2]. */
export function noise(shape: readonly number[], seed: number, scale = 1): Tensor<Float32Array> {
  const next = randomSource(seed);
  const data = new Float32Array(count(shape));
  for (let i = 0; i < data.length; i += 1) data[i] = (next() - 0.5) * scale;
  return Tensor.from(data, shape);
}

/** Uniform in [0, 1], f32. */
export function fractions(shape: readonly number[], seed: number): Tensor<Float32Array> {
  const next = randomSource(seed);
  const data = new Float32Array(count(shape));
  for (let i = 0; i < data.length; i += 1) data[i] = next();
  return Tensor.from(data, shape);
}

/** i32 of 0 to `bound` - 1. */
export function integers(shape: readonly number[], bound: number, seed: number): Tensor<Int32Array> {
  const next = randomSource(seed);
  return Tensor.from(
    Int32Array.from({ length: count(shape) }, () => Math.min(bound - 1, Math.floor(next() * bound))),
    shape,
  );
}

/** f32 [1, count, 4]: boxes of 8 to 400 pixels, small ones more often, inside an image. */
export function boxes(number: number, [height, width]: readonly number[], seed: number): Tensor<Float32Array> {
  const next = randomSource(seed);
  const data = new Float32Array(number * 4);
  for (let i = 0; i < number; i += 1) {
    const w = Math.min(8 + next() ** 2 * 392, width!);
    const h = Math.min(8 + next() ** 2 * 392, height!);
    const [x, y] = [next() * (width! - w), next() * (height! - h)];
    data.set([x, y, x + w, y + h], i * 4);
  }
  return Tensor.from(data, [1, number, 4]);
}

/** u8 [H, W, 3]: grey noise of all sizes would decode slowly; this is noise as it is, for ops and networks. */
export function noiseImage(height: number, width: number, seed = 1): Uint8Array {
  const next = randomSource(seed);
  const data = new Uint8Array(height * width * 3);
  for (let i = 0; i < data.length; i += 1) data[i] = next() * 256;
  return data;
}
