/** PyTorch's NCHW and instaseg's NHWC. */
import { Tensor } from '../../src/index.js';
import type { GoldenTensor } from './case-files.js';

type Shape4 = readonly [number, number, number, number];

function shape4({ shape }: { readonly shape: readonly number[] }): Shape4 {
  if (shape.length !== 4) throw new Error(`expected four dimensions, the shape is [${shape.join(', ')}]`);
  return shape as unknown as Shape4;
}

/** A tensor of the reference data as it is. */
export function toTensor({ data, shape }: GoldenTensor): Tensor {
  return Tensor.from(data, shape);
}

/** [N, C, H, W] to [N, H, W, C]. */
export function toNhwc(tensor: GoldenTensor): Tensor {
  const [n, c, h, w] = shape4(tensor);
  const data = tensor.data.slice();
  for (let image = 0; image < n; image += 1) {
    for (let channel = 0; channel < c; channel += 1) {
      const from = (image * c + channel) * h * w;
      for (let p = 0; p < h * w; p += 1) data[(image * h * w + p) * c + channel] = tensor.data[from + p]!;
    }
  }
  return Tensor.from(data, [n, h, w, c]);
}

/** [N, H, W, C] to [N, C, H, W]. */
export function toNchw(tensor: Tensor): GoldenTensor {
  const [n, h, w, c] = shape4(tensor);
  const data = tensor.data.slice() as GoldenTensor['data'];
  for (let image = 0; image < n; image += 1) {
    for (let channel = 0; channel < c; channel += 1) {
      const to = (image * c + channel) * h * w;
      for (let p = 0; p < h * w; p += 1) data[to + p] = tensor.data[(image * h * w + p) * c + channel]!;
    }
  }
  return { shape: [n, c, h, w], data };
}

/**
 * Every `step`-th element of the row-major NCHW tensor of that shape, out of our NHWC tensor. Tensors of fewer
 * dimensions have one layout only. `row` says in which row of ours a row of the reference is.
 */
export function sampleOf(
  tensor: Tensor,
  shape: readonly number[],
  step: number,
  row: (index: number) => number = (index) => index,
): Float32Array {
  const size = shape.reduce((product, dim) => product * dim, 1);
  const perRow = size / shape[0]!;
  const [channels, height, width] = shape.length === 4 ? (shape.slice(1) as [number, number, number]) : [1, 1, perRow];
  return Float32Array.from({ length: Math.ceil(size / step) }, (_, k) => {
    const flat = k * step;
    const inRow = flat % perRow;
    const channel = Math.floor(inRow / (height * width));
    const position = inRow % (height * width);
    return tensor.data[row((flat - inRow) / perRow) * perRow + position * channels + channel]!;
  });
}
