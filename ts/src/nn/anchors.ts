/** Anchor boxes of region proposal networks (Ren et al., Faster R-CNN, 2015). */
import * as ops from '../ops/index.js';
import type { SymbolicTensor } from '../runtime/graph.js';

export interface BaseAnchorOptions {
  /**
   * "half-even" (default): torchvision's anchors, f32 arithmetic, corners rounded to whole pixels, ratios outer, sizes
   * inner. "none": detectron2's, f64 arithmetic, corners not rounded, sizes outer, ratios inner.
   */
  readonly rounding?: 'half-even' | 'none' | undefined;
}

/**
 * The anchors of one cell around the origin: x1, y1, x2, y2 of each, one after the other.
 * @param sizes sides of the square of each anchor's area, in pixels
 * @param ratios height / width
 * @see torchvision AnchorGenerator.generate_anchors, detectron2 DefaultAnchorGenerator.generate_cell_anchors
 */
export function baseAnchors(
  sizes: readonly number[],
  ratios: readonly number[],
  options: BaseAnchorOptions = {},
): number[] {
  const { fround, sqrt } = Math;
  if (options.rounding === 'none') {
    return sizes.flatMap((size) =>
      ratios.flatMap((ratio) => {
        const width = sqrt((size * size) / ratio);
        return corners(fround(width / 2), fround((ratio * width) / 2));
      }),
    );
  }
  return ratios.flatMap((ratio) => {
    const heightRatio = fround(sqrt(fround(ratio)));
    const widthRatio = fround(1 / heightRatio);
    return sizes.flatMap((size) => {
      const width = fround(widthRatio * fround(size));
      const height = fround(heightRatio * fround(size));
      return corners(roundHalfEven(fround(width / 2)), roundHalfEven(fround(height / 2)));
    });
  });
}

function corners(x: number, y: number): number[] {
  return [-x, -y, x, y];
}

function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

/** One level of a feature pyramid. */
export interface AnchorLevel {
  /** Height and width of the feature map. */
  readonly grid: readonly [number, number];
  readonly sizes: readonly number[];
  readonly ratios: readonly number[];
  /** Image pixels from cell to cell; default image size / grid, rounded down (torchvision). */
  readonly stride?: number | undefined;
}

/**
 * The anchors of every level: f32 [h * w * A, 4] in the order y, x, anchor.
 * @param imageSize height and width of the network's input
 */
export function anchorGrid(
  imageSize: readonly [number, number],
  levels: readonly AnchorLevel[],
  options: BaseAnchorOptions = {},
): SymbolicTensor[] {
  return levels.map(({ grid, sizes, ratios, stride }) =>
    ops.anchors({
      grid,
      stride: stride ?? [Math.floor(imageSize[0] / grid[0]), Math.floor(imageSize[1] / grid[1])],
      base: baseAnchors(sizes, ratios, options),
    }),
  );
}
