/** Sizes of the network's input. */
import type { ImageConfig } from '../weights/families/config.js';

export interface Size {
  readonly height: number;
  readonly width: number;
}

/**
 * Size after the resize: the shorter side becomes `minSize` unless the longer one would exceed `maxSize`; rounded down
 * (torchvision 0.28 GeneralizedRCNNTransform, which computes the scale in float64). At least 1 x 1.
 */
export function resizedSize(image: Size, config: Pick<ImageConfig, 'minSize' | 'maxSize'>): Size {
  const short = Math.min(image.height, image.width);
  const long = Math.max(image.height, image.width);
  const scale = Math.min(config.minSize / short, config.maxSize / long);
  return {
    height: Math.max(1, Math.floor(image.height * scale)),
    width: Math.max(1, Math.floor(image.width * scale)),
  };
}

/**
 * Size after the resize: the shorter side becomes `minSize`; where the longer one then exceeds `maxSize`, both shrink;
 * rounded to the nearest (detectron2 ResizeShortestEdge, in its order of operations). At least 1 x 1.
 */
export function resizedShortestEdge(image: Size, { minSize, maxSize }: Pick<ImageConfig, 'minSize' | 'maxSize'>): Size {
  const scale = minSize / Math.min(image.height, image.width);
  let [height, width] = image.height < image.width ? [minSize, scale * image.width] : [scale * image.height, minSize];
  const long = Math.max(height, width);
  if (long > maxSize) {
    height *= maxSize / long;
    width *= maxSize / long;
  }
  const round = (side: number): number => Math.max(1, Math.floor(side + 0.5));
  return { height: round(height), width: round(width) };
}

/** The next multiple of `divisor` in both directions. */
export function paddedSize(size: Size, divisor: number): Size {
  const up = (value: number): number => Math.ceil(value / divisor) * divisor;
  return { height: up(size.height), width: up(size.width) };
}
