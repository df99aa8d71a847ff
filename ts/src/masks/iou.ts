import { invalid, requireList } from '../runtime/validate.js';
import { readRle, runArea, runBounds, walkRuns, type RleInput } from './rle.js';

/** [x, y, width, height] in pixels. */
export type Box = readonly [x: number, y: number, width: number, height: number];

/**
 * Intersection over union of every detection with every ground truth mask, as pycocotools computes it: for a crowd the
 * denominator is the area of the detection alone.
 * @returns dt.length rows of gt.length values
 * @throws InstasegError ERR_ARGUMENT when a mask is malformed or the sizes differ
 */
export function rleIou(dt: readonly RleInput[], gt: readonly RleInput[], isCrowd?: readonly boolean[]): Float64Array {
  const prepare = (input: RleInput) => {
    const runs = readRle(input);
    const { x, y, width, height } = runBounds(runs);
    return { runs, area: runArea(runs), box: [x, y, width, height] as const };
  };
  const truths = requireList('gt', gt).map(prepare);
  return matrix(requireList('dt', dt).map(prepare), truths, isCrowd, (d, g, crowd) => {
    if (boxIntersection(d.box, g.box) === 0) return 0;
    let intersection = 0;
    walkRuns(d.runs, g.runs, (inD, inG, start, end) => {
      if (inD && inG) intersection += end - start;
    });
    return intersection === 0 ? 0 : intersection / (crowd ? d.area : d.area + g.area - intersection);
  });
}

/**
 * Intersection over union of every detected with every ground truth box; a crowd as in `rleIou`.
 * @returns dt.length rows of gt.length values
 * @throws InstasegError ERR_ARGUMENT
 */
export function boxIou(dt: readonly Box[], gt: readonly Box[], isCrowd?: readonly boolean[]): Float64Array {
  requireList('dt', dt).forEach((box, i) => requireBox(`dt[${i}]`, box));
  requireList('gt', gt).forEach((box, i) => requireBox(`gt[${i}]`, box));
  return matrix(dt, gt, isCrowd, (d, g, crowd) => {
    const intersection = boxIntersection(d, g);
    return intersection === 0 ? 0 : intersection / (crowd ? d[2] * d[3] : d[2] * d[3] + g[2] * g[3] - intersection);
  });
}

function requireBox(name: string, value: unknown): void {
  const fits = Array.isArray(value) && value.length === 4 && value.every((item) => typeof item === 'number');
  if (!fits) throw invalid(name, 'a box [x, y, width, height]', value);
}

function boxIntersection(a: Box, b: Box): number {
  const width = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  return width > 0 && height > 0 ? width * height : 0;
}

function matrix<T>(
  dt: readonly T[],
  gt: readonly T[],
  isCrowd: readonly boolean[] | undefined,
  iou: (d: T, g: T, crowd: boolean) => number,
): Float64Array {
  if (isCrowd !== undefined && requireList('isCrowd', isCrowd).length !== gt.length)
    throw invalid('isCrowd', `a list of ${gt.length}`, isCrowd);
  const values = new Float64Array(dt.length * gt.length);
  dt.forEach((d, row) => {
    gt.forEach((g, column) => {
      values[row * gt.length + column] = iou(d, g, isCrowd?.[column] ?? false);
    });
  });
  return values;
}
