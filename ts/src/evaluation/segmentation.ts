/** The `segmentation` field of COCO's annotations and results. */
import { rleFromPolygons } from '../masks/rasterize.js';
import { readRle, type RleInput, type RunLengths } from '../masks/rle.js';
import { InstasegError } from '../runtime/errors.js';
import { isObject, type Row } from './json-file.js';

/** Polygons, each a flat list x0, y0, x1, y1 ... in pixels, or a run-length encoding with counts of either form. */
export type CocoSegmentation = readonly (readonly number[])[] | RleInput;

/**
 * The field of a row; absent or an empty list is undefined. Only its outer form is checked here: counts and points are
 * when the mask is needed. Throws ERR_ARGUMENT.
 */
export function segmentationOf(row: Row): CocoSegmentation | undefined {
  const value = row.raw('segmentation') ?? [];
  if (Array.isArray(value)) {
    if (value.length === 0) return undefined;
    if (value.every((polygon) => Array.isArray(polygon))) return value as number[][];
  } else if (isObject(value) && Array.isArray(value.size) && value.counts !== undefined) {
    return value as unknown as RleInput;
  }
  throw row.invalid('segmentation', 'polygons [[x, y, ...], ...] or {"size": [height, width], "counts": ...}');
}

/** The mask as run lengths, of the image's size. Throws ERR_ARGUMENT, naming the row, when it is malformed. */
export function maskRuns(name: string, segmentation: CocoSegmentation, height: number, width: number): RunLengths {
  let runs: RunLengths;
  try {
    runs = readRle('counts' in segmentation ? segmentation : rleFromPolygons(segmentation, height, width));
  } catch (cause) {
    if (!(cause instanceof InstasegError)) throw cause;
    throw new InstasegError(cause.code, `${name}.segmentation: ${cause.message}`, { cause });
  }
  if (runs.size[0] === height && runs.size[1] === width) return runs;
  throw new InstasegError(
    'ERR_ARGUMENT',
    `${name}.segmentation has size [${runs.size.join(', ')}]; its image has [${height}, ${width}] (height, width)`,
  );
}
