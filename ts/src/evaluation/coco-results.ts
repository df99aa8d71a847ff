/** Detections in COCO's results format (https://cocodataset.org/#format-results). */
import type { Box } from '../masks/iou.js';
import { pathOf, readJsonFile, rowsOf } from './json-file.js';
import { segmentationOf, type CocoSegmentation } from './segmentation.js';

/** A detection as it is in the file. It has a box, a mask or both. */
export interface CocoResultRow {
  /** Has to be an integer for an evaluation; the type leaves room for results of images without a number. */
  readonly image_id: number | string;
  readonly category_id: number;
  readonly score: number;
  /** [x, y, width, height] in pixels. */
  readonly bbox?: readonly number[] | undefined;
  readonly segmentation?: CocoSegmentation | undefined;
  /** instaseg's addition for YOLACT++: the box's own score, where `score` is the mask's. */
  readonly box_score?: number | undefined;
}

/** A detection that has been checked. */
export interface CocoDetection {
  readonly imageId: number;
  readonly categoryId: number;
  readonly score: number;
  readonly boxScore: number | undefined;
  readonly bbox: Box | undefined;
  readonly segmentation: CocoSegmentation | undefined;
}

/**
 * Reads a results file and checks it, except for the masks' contents.
 *
 * @throws InstasegError ERR_FILE when it cannot be read or is no JSON; ERR_ARGUMENT when it is no results array
 */
export async function loadCocoResults(path: string | URL): Promise<CocoResultRow[]> {
  const file = pathOf(path);
  const json = await readJsonFile(file);
  parseCocoResults(json, file);
  return json as CocoResultRow[];
}

/** Checks a results array, as JSON.parse gives it; `source` names it in errors. Throws ERR_ARGUMENT. */
export function parseCocoResults(json: unknown, source = 'results'): CocoDetection[] {
  return Array.from(rowsOf(source, json), (row): CocoDetection => ({
    imageId: row.integer('image_id'),
    categoryId: row.integer('category_id'),
    score: row.number('score'),
    boxScore: row.has('box_score') ? row.number('box_score') : undefined,
    bbox: row.box('bbox'),
    segmentation: segmentationOf(row),
  }));
}
