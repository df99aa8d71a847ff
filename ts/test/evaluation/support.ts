/** Data sets made by scripts/reference/make_coco.py, with what pycocotools computed, and small ones written by hand. */
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseCocoDataset, type CocoDataset, type CocoResultRow } from '../../src/index.js';

export const FIXTURE = resolve(__dirname, '../../../ts/test/fixtures/coco');

/** What pycocotools keeps of one image and category: all sizes, at IoU 0.5 and 0.75. */
export interface ExpectedMatch {
  readonly image_id: number;
  readonly category_id: number;
  readonly gtIds: number[];
  readonly dtScores: number[];
  readonly gtIgnore: number[];
  readonly dtMatches_50: number[];
  readonly dtMatches_75: number[];
  readonly dtIgnore_50: number[];
}

export interface Expected {
  readonly stats: number[];
  readonly per_category_ap: Readonly<Record<string, number>>;
  /** By 'image/category': a row for each detection, a column for each object in the order of the file. */
  readonly ious: Readonly<Record<string, number[][]>>;
  readonly matches: ExpectedMatch[];
}

export interface CocoCase {
  readonly dataset: CocoDataset;
  readonly results: CocoResultRow[];
  readonly expected: (name: string) => Expected;
  readonly tensor: (name: string) => { readonly shape: number[]; readonly data: Float64Array };
}

export function readCase(folder: string): CocoCase {
  const json = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'));
  const all = json('expected.json') as Record<string, Expected>;
  const file = readFileSync(join(folder, 'eval.safetensors'));
  const start = 8 + Number(file.readBigUInt64LE(0));
  type Entry = { shape: number[]; data_offsets: [number, number] };
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<string, Entry>;
  return {
    dataset: parseCocoDataset(json('gt.json'), 'gt.json'),
    results: json('dt.json') as CocoResultRow[],
    expected: (name) => all[name]!,
    tensor(name) {
      const { shape, data_offsets } = header[name]!;
      const bytes = Uint8Array.from(file.subarray(start + data_offsets[0], start + data_offsets[1]));
      return { shape, data: new Float64Array(bytes.buffer) };
    },
  };
}

export interface ObjectRow {
  readonly image_id?: number;
  readonly category_id?: number;
  readonly bbox: readonly [number, number, number, number];
  readonly iscrowd?: 0 | 1;
  readonly area?: number;
  readonly id?: number;
}

/** Images 1, 2 ... of 200x200 with boxes as objects; areas are those of the boxes, ids count from 1. */
export function boxes(objects: readonly ObjectRow[], images = 1, categories = 1): CocoDataset {
  return parseCocoDataset({
    images: Array.from({ length: images }, (_, i) => ({ id: i + 1, width: 200, height: 200 })),
    categories: Array.from({ length: categories }, (_, i) => ({ id: i + 1, name: `category ${i + 1}` })),
    annotations: objects.map(({ bbox, ...rest }, i) => {
      const [x, y, w, h] = bbox;
      const segmentation = [[x, y, x + w, y, x + w, y + h, x, y + h]];
      return { id: i + 1, image_id: 1, category_id: 1, iscrowd: 0, area: w * h, bbox, segmentation, ...rest };
    }),
  });
}

/** A detection in image 1 of category 1. */
export function found(bbox: readonly number[], score: number, rest: Partial<CocoResultRow> = {}): CocoResultRow {
  return { image_id: 1, category_id: 1, bbox, score, ...rest };
}
