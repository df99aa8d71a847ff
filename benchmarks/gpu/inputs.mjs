// Inputs that ours and PyTorch's side make alike: a 31-bit linear congruential generator, and everything from it.
import { readFileSync } from 'node:fs';
import { Tensor } from '../../dist/src/index.mjs';

export const shapes = JSON.parse(readFileSync(new URL('../shapes/gpu.json', import.meta.url), 'utf8'));

export function source(seed) {
  let state = seed;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

export function noise(shape, seed, scale = 1) {
  const next = source(seed);
  const length = shape.reduce((product, dim) => product * dim, 1);
  return Tensor.from(
    Float32Array.from({ length }, () => (next() - 0.5) * scale),
    shape,
  );
}

/** Boxes [1, count, 4] of 8 to 400 pixels inside an image. */
export function boxes(count, [height, width], seed) {
  const next = source(seed);
  const data = new Float32Array(count * 4);
  for (let i = 0; i < count; i += 1) {
    const [w, h] = [8 + next() ** 2 * 392, 8 + next() ** 2 * 392];
    const [x, y] = [next() * (width - w), next() * (height - h)];
    data.set([x, y, x + w, y + h], i * 4);
  }
  return Tensor.from(data, [1, count, 4]);
}
