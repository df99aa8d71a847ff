/** Anchor boxes of region proposal networks (Ren et al., Faster R-CNN, 2015). */
import { roundHalfEven } from '../runtime/rounding.js';

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
