import type { Tensor } from '../runtime/tensor.js';

/** Row `row` of a tensor whose last dimension is one row's. */
export function rowOf(tensor: Tensor, row: number): number[] {
  const width = tensor.shape.at(-1)!;
  return [...tensor.data.subarray(row * width, (row + 1) * width)];
}
