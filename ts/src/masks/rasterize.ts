/** Polygons and boxes of COCO annotations to masks, pixel for pixel as maskApi of github.com/cocodataset/cocoapi does. */
import { types } from 'node:util';
import { InstasegError } from '../runtime/errors.js';
import { invalid, requireList } from '../runtime/validate.js';
import { checkImageSize } from './bits.js';
import { compressRuns, mergeRle, type Rle } from './rle.js';

/** The outline is drawn on a grid this much finer than the pixels, then reduced to pixel centres. */
const SCALE = 5;

/**
 * The union of polygons, each a flat list x0, y0, x1, y1 ... in pixels (COCO's `segmentation`). Parts outside the image
 * are cut off.
 * @throws InstasegError ERR_ARGUMENT for a list without polygons, or one that has fewer than three points
 */
export function rleFromPolygons(polygons: readonly ArrayLike<number>[], height: number, width: number): Rle {
  checkImageSize(width, height);
  return mergeRle(requireList('polygons', polygons).map((polygon) => rasterize(polygon, height, width)));
}

/**
 * The mask of a box [x, y, width, height] in pixels, drawn as the polygon of its corners.
 * @throws InstasegError ERR_ARGUMENT
 */
export function rleFromBox(box: readonly [number, number, number, number], height: number, width: number): Rle {
  if (!Array.isArray(box) || box.length !== 4 || !box.every(Number.isFinite))
    throw invalid('box', 'four finite numbers [x, y, width, height]', box);
  const [left, top] = box;
  const [right, bottom] = [left + box[2], top + box[3]];
  return rleFromPolygons([[left, top, left, bottom, right, bottom, right, top]], height, width);
}

function rasterize(polygon: ArrayLike<number>, height: number, width: number): Rle {
  if (!Array.isArray(polygon) && !types.isTypedArray(polygon)) throw invalid('a polygon', 'a list of numbers', polygon);
  const values = Array.from(polygon as ArrayLike<number>);
  if (values.length < 6 || values.length % 2 !== 0 || !values.every(Number.isFinite))
    throw new InstasegError(
      'ERR_ARGUMENT',
      `expected a polygon of at least three points as finite numbers x, y ..., received ${values.length} values`,
    );
  const positions = columnCrossings(outline(values), height, width);
  positions.push(height * width);
  positions.sort((a, b) => a - b);
  // Two crossings at one place enclose nothing: the run goes on through them.
  const kept: number[] = [];
  for (const position of positions) {
    if (position === kept.at(-1)) kept.pop();
    else kept.push(position);
  }
  // The end of the image stays, also where a crossing cancelled it.
  if (kept.at(-1) !== height * width) kept.push(height * width);
  const counts = Uint32Array.from(kept, (position, i) => position - (kept[i - 1] ?? 0));
  return compressRuns({ size: [height, width], counts });
}

/** The points of the closed outline on the fine grid, one for each step along the longer axis of every side. */
function outline(polygon: readonly number[]): [x: number, y: number][] {
  const toGrid = (value: number): number => Math.trunc(SCALE * value + 0.5);
  const points: [number, number][] = [];
  for (let i = 0; i < polygon.length; i += 2) {
    const next = (i + 2) % polygon.length;
    addSide(
      points,
      [toGrid(polygon[i]!), toGrid(polygon[i + 1]!)],
      [toGrid(polygon[next]!), toGrid(polygon[next + 1]!)],
    );
  }
  return points;
}

function addSide(points: [number, number][], from: [number, number], to: [number, number]): void {
  const [dx, dy] = [Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])];
  const [along, across] = dx >= dy ? ([0, 1] as const) : ([1, 0] as const);
  // Always rounded from the end with the smaller coordinate, so that a side does not depend on its direction.
  const backwards = from[along] > to[along];
  const [low, high] = backwards ? [to, from] : [from, to];
  const steps = high[along] - low[along];
  const slope = steps === 0 ? 0 : (high[across] - low[across]) / steps;
  for (let step = 0; step <= steps; step++) {
    const t = backwards ? steps - step : step;
    const rounded = Math.trunc(low[across] + slope * t + 0.5);
    points.push(along === 0 ? [low[0] + t, rounded] : [rounded, low[1] + t]);
  }
}

/** The column-major positions at which the outline passes a column's pixel centres: there the mask changes. */
function columnCrossings(points: readonly [number, number][], height: number, width: number): number[] {
  const toPixel = (value: number): number => (value + 0.5) / SCALE - 0.5;
  const positions: number[] = [];
  for (let i = 1; i < points.length; i++) {
    const [x, y] = points[i]!;
    const [previousX, previousY] = points[i - 1]!;
    if (x === previousX) continue;
    const column = toPixel(x < previousX ? x : x - 1);
    if (!Number.isInteger(column) || column < 0 || column > width - 1) continue;
    const row = Math.ceil(Math.min(Math.max(toPixel(Math.min(y, previousY)), 0), height));
    positions.push(column * height + row);
  }
  return positions;
}
