/** Ground truth in COCO's annotation format (https://cocodataset.org/#format-data, "object detection"). */
import type { Box } from '../masks/iou.js';
import { InstasegError } from '../runtime/errors.js';
import { invalid, requireString } from '../runtime/validate.js';
import { isObject, pathOf, readJsonFile, rowsOf } from './json-file.js';
import { segmentationOf, type CocoSegmentation } from './segmentation.js';

/** An image of a data set; sizes in pixels. */
export interface CocoImage {
  readonly id: number;
  /** In pixels. */
  readonly width: number;
  readonly height: number;
  /** As the file has it: relative to the folder of the images. */
  readonly fileName: string | undefined;
}

/** A kind of object of a data set. */
export interface CocoCategory {
  readonly id: number;
  readonly name: string;
}

/** An object that is really there. */
export interface CocoAnnotation {
  readonly id: number;
  readonly imageId: number;
  readonly categoryId: number;
  /** Pixels of the object; decides whether it is small, medium or large. */
  readonly area: number;
  readonly bbox: Box | undefined;
  readonly segmentation: CocoSegmentation | undefined;
  /** A region full of objects: detections in it are neither right nor wrong. */
  readonly isCrowd: boolean;
  /** As the file has it. pycocotools replaces it with `iscrowd`, so it plays no part in an evaluation. */
  readonly ignore: boolean;
}

/** A data set as COCO's annotation files have it, checked and indexed. */
export interface CocoDataset {
  /** What errors and reports call it: the file's path, where it comes from one. */
  readonly source: string;
  readonly images: readonly CocoImage[];
  readonly categories: readonly CocoCategory[];
  /** In the order of the file, which decides between equals. */
  readonly annotations: readonly CocoAnnotation[];
}

/**
 * Reads an annotations file. Masks themselves are decoded by an evaluation of masks, and only then checked.
 *
 * @throws InstasegError ERR_FILE when it cannot be read or is no JSON; ERR_ARGUMENT when it is no COCO data set, or ids
 *   of images, categories or annotations occur twice
 */
export async function loadCocoDataset(path: string | URL): Promise<CocoDataset> {
  const file = pathOf(path);
  return parseCocoDataset(await readJsonFile(file), file);
}

/**
 * The same of an object, as JSON.parse gives it; `source` names it in errors.
 * @throws InstasegError ERR_ARGUMENT
 */
export function parseCocoDataset(json: unknown, source = 'dataset'): CocoDataset {
  requireString('source', source);
  if (!isObject(json)) throw invalid(source, 'an object with images, annotations and categories', json);
  const images = Array.from(rowsOf(`${source}: images`, json.images), (row): CocoImage => ({
    id: row.integer('id'),
    width: row.integer('width', 1),
    height: row.integer('height', 1),
    fileName: row.has('file_name') ? row.string('file_name') : undefined,
  }));
  const categories = Array.from(rowsOf(`${source}: categories`, json.categories), (row): CocoCategory => ({
    id: row.integer('id'),
    name: row.has('name') ? row.string('name') : String(row.integer('id')),
  }));
  const annotations = Array.from(rowsOf(`${source}: annotations`, json.annotations), (row): CocoAnnotation => ({
    id: row.integer('id'),
    imageId: row.integer('image_id'),
    categoryId: row.integer('category_id'),
    area: row.number('area'),
    bbox: row.box('bbox'),
    segmentation: segmentationOf(row),
    isCrowd: row.flag('iscrowd'),
    ignore: row.flag('ignore'),
  }));
  requireUnique(`${source}: images`, images);
  requireUnique(`${source}: categories`, categories);
  requireUnique(`${source}: annotations`, annotations);
  return { source, images, categories, annotations };
}

function requireUnique(where: string, rows: readonly { readonly id: number }[]): void {
  const indices = new Map<number, number>();
  rows.forEach(({ id }, i) => {
    const first = indices.get(id);
    if (first !== undefined) {
      throw new InstasegError('ERR_ARGUMENT', `${where}[${i}].id is ${id}, which is the id of ${where}[${first}] too`);
    }
    indices.set(id, i);
  });
}
