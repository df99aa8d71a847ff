/** Rows of tensors: of one image, and in another order. */
import { Tensor } from '../../src/index.js';
import type { GoldenTensor } from './case-files.js';

/** [n, ...] as one image [1, n, ...]. */
export function oneImage({ data, shape }: GoldenTensor): Tensor {
  return Tensor.from(data, [1, ...shape]);
}

/** [1, n, ...] as [n, ...]. */
export function ofOneImage({ data, shape }: Tensor): Tensor {
  return Tensor.from(data, shape.slice(1));
}

/** Rows of a tensor in another order. */
export function pickRows(tensor: Tensor, order: readonly number[]): Tensor {
  const perRow = tensor.length / Math.max(tensor.shape[0]!, 1);
  const data = new Float32Array(order.length * perRow);
  order.forEach((from, to) => data.set(tensor.data.subarray(from * perRow, (from + 1) * perRow), to * perRow));
  return Tensor.from(data, [order.length, ...tensor.shape.slice(1)]);
}
