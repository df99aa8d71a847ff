import test from 'ava';
import { Mask } from '../../src/masks/mask.js';
import { rleFromBox, rleFromPolygons } from '../../src/masks/rasterize.js';
import { rleArea, rleToBbox, type Rle } from '../../src/masks/rle.js';
import { frame, readReference, testWithReference } from './support.js';

test('a polygon along pixel edges covers exactly its pixels', (t) => {
  const rle = rleFromPolygons([[1, 1, 5, 1, 5, 4, 3, 4, 3, 2, 1, 2]], 5, 7);
  t.deepEqual(Mask.fromRLE(rle).toBitmap().data, frame('.......|.####..|...##..|...##..|.......').data);
});

test('polygons are united and cut at the image', (t) => {
  const rle = rleFromPolygons(
    [
      [-9, -9, 2, -9, 2, 2, -9, 2],
      [1, 1, 99, 1, 99, 99, 1, 99],
    ],
    3,
    4,
  );
  t.deepEqual(Mask.fromRLE(rle).toBitmap().data, frame('##..|####|.###').data);
});

test('a polygon outside the image is empty, one around it is full', (t) => {
  t.is(rleArea(rleFromBox([20, 20, 5, 5], 10, 10)), 0);
  t.is(rleArea(rleFromBox([-5, -5, 50, 50], 10, 10)), 100);
});

test('malformed polygons are refused', (t) => {
  const refuse = (polygons: number[][]): void => {
    t.throws(() => rleFromPolygons(polygons, 5, 5), { code: 'ERR_ARGUMENT' });
  };
  refuse([]);
  refuse([[0, 0, 1, 1]]);
  refuse([[0, 0, 1, 1, 2, 2, 3]]);
  refuse([[0, 0, 1, NaN, 2, 2]]);
  t.throws(() => rleFromBox([0, 0, 1, 1], 0, 5), { code: 'ERR_ARGUMENT' });
});

interface ReferencePolygons {
  polygons: {
    size: [number, number];
    polygons: number[][];
    each: string[];
    union: string;
    area: number;
    bbox: number[];
  }[];
  boxes: { size: [number, number]; box: [number, number, number, number]; counts: string; area: number }[];
}

testWithReference('polygons and boxes are drawn as pycocotools draws them', (t) => {
  const { polygons, boxes } = readReference<ReferencePolygons>('coco/rle.json');
  for (const { size, polygons: parts, each, union, area, bbox } of polygons) {
    t.deepEqual(
      parts.map((part) => rleFromPolygons([part], ...size).counts),
      each,
    );
    const rle: Rle = rleFromPolygons(parts, ...size);
    t.is(rle.counts, union);
    t.is(rleArea(rle), area);
    t.deepEqual(rleToBbox(rle), bbox as [number, number, number, number]);
  }
  for (const { size, box, counts, area } of boxes) {
    t.is(rleFromBox(box, ...size).counts, counts);
    t.is(rleArea({ size, counts }), area);
  }
});
