/** Pasted masks by their definition, for the tests of pasteMasks and pasteMasksRle. */
import { Tensor } from '../../src/index.js';
import { f32, ints, randomBoxes, spoil } from './boxes.js';
import { integerTensor, randomTensor } from './ops.js';

export type Rule = 'torchvision' | 'detectron2';
export const RULES: readonly Rule[] = ['torchvision', 'detectron2'];

interface Tap {
  /** Mask pixels below and above; outside the mask they are 0. */
  readonly at: number;
  readonly w0: number;
  readonly w1: number;
}

interface Axis {
  readonly begin: number;
  readonly end: number;
  readonly tap: (pixel: number) => Tap;
}

const NOWHERE: Axis = { begin: 0, end: 0, tap: () => ({ at: -9, w0: 0, w1: 0 }) };

function axis(rule: Rule, low: number, high: number, mask: number, expand: number, image: number): Axis {
  if (!(Math.abs(low) < 1e8 && Math.abs(high) < 1e8)) return NOWHERE;
  if (rule === 'torchvision') {
    const half = f32(f32(f32(high - low) * 0.5) * f32(expand));
    const centre = f32(f32(high + low) * 0.5);
    const first = Math.trunc(f32(centre - half));
    const last = Math.trunc(f32(centre + half));
    const scale = f32((mask + 2) / Math.max(last - first + 1, 1));
    const tap = (pixel: number): Tap => {
      const source = Math.max(f32(f32(scale * f32(pixel - first + 0.5)) - 0.5), 0);
      const at = Math.floor(source);
      const w1 = f32(source - at);
      return { at: at - 1, w0: f32(1 - w1), w1 };
    };
    return { begin: Math.max(first, 0), end: Math.min(last + 1, image), tap };
  }
  const side = f32(high - low);
  if (!(side > 0)) return NOWHERE;
  const tap = (pixel: number): Tap => {
    const grid = f32(f32(f32(f32(f32(pixel + 0.5) - low) / side) * 2) - 1);
    const source = f32(f32(f32(grid + 1) * (mask / 2)) - 0.5);
    const at = Math.floor(source);
    const w1 = f32(source - at);
    return { at, w0: f32(1 - w1), w1 };
  };
  return { begin: 0, end: image, tap };
}

/** The probability of every pixel of the image, in f32. */
export function softMask(
  rule: Rule,
  mask: Float32Array,
  [height, width]: readonly [number, number],
  box: ArrayLike<number>,
  [imageHeight, imageWidth]: readonly [number, number],
): Float32Array {
  const expand = (width + 2) / width;
  const x = axis(rule, box[0]!, box[2]!, width, expand, imageWidth);
  const y = axis(rule, box[1]!, box[3]!, height, expand, imageHeight);
  const out = new Float32Array(imageHeight * imageWidth);
  const value = (i: number, j: number): number =>
    i >= 0 && i < height && j >= 0 && j < width ? mask[i * width + j]! : 0;
  for (let row = y.begin; row < y.end; row += 1) {
    for (let column = x.begin; column < x.end; column += 1) {
      const [ty, tx] = [y.tap(row), x.tap(column)];
      const corners = [0, 1].map((i) => [0, 1].map((j) => value(ty.at + i, tx.at + j)));
      const [[a, b], [c, d]] = corners as [[number, number], [number, number]];
      out[row * imageWidth + column] =
        rule === 'torchvision'
          ? f32(f32(f32(f32(a * tx.w0) + f32(b * tx.w1)) * ty.w0) + f32(f32(f32(c * tx.w0) + f32(d * tx.w1)) * ty.w1))
          : f32(
              f32(f32(f32(a * f32(tx.w0 * ty.w0)) + f32(b * f32(tx.w1 * ty.w0))) + f32(c * f32(tx.w0 * ty.w1))) +
                f32(d * f32(tx.w1 * ty.w1)),
            );
    }
  }
  return out;
}

export function threshold(rule: Rule, soft: Float32Array, limit: number): Uint8Array {
  return Uint8Array.from(soft, (value) => Number(rule === 'torchvision' ? value > f32(limit) : value >= f32(limit)));
}

export interface PasteCase {
  readonly masks: Tensor<Float32Array>;
  readonly boxes: Tensor<Float32Array>;
  readonly sizes: Tensor<Int32Array>;
  /** Height and width. */
  readonly mask: readonly [number, number];
  readonly image: readonly [number, number];
  readonly count: number;
}

/** Images narrower and wider than a word and a tile, masks square and not, boxes inside, across and beyond the image. */
export function pasteCases(): PasteCase[] {
  const shapes = [
    [[31, 33], [28, 28], 6],
    [[40, 64], [7, 14], 5],
    [[9, 600], [5, 3], 4],
    [[300, 20], [14, 14], 4],
    [[1, 7], [2, 2], 3],
    [[12, 13], [1, 1], 3],
  ] as const;
  return shapes.map(([image, mask, count], seed) => {
    const extent = Math.max(...image);
    const boxes = randomBoxes(seed, count, extent, extent);
    boxes.set([0, 0, image[1], image[0], -9.5, -30, image[1] + 20, image[0] + 11.25], 0);
    const values =
      seed % 2
        ? integerTensor(seed, [count * mask[0] * mask[1]], 0, 1)
        : randomTensor(seed, [count * mask[0] * mask[1]]);
    return {
      masks: Tensor.from(values.data, [1, count, ...mask]),
      boxes: Tensor.from(seed === 3 ? spoil(1, boxes, 0.1) : boxes, [1, count, 4]),
      sizes: ints([...image, 0, 0], [1, 4]),
      mask,
      image,
      count,
    };
  });
}

/** The definition's probabilities of mask i of a case. */
export function expectedSoft(rule: Rule, paste: PasteCase, i: number): Float32Array {
  const size = paste.mask[0] * paste.mask[1];
  const mask = paste.masks.data.subarray(i * size, (i + 1) * size);
  return softMask(rule, mask, paste.mask, paste.boxes.data.subarray(i * 4, i * 4 + 4), paste.image);
}
