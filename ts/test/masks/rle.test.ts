import { createHash } from 'node:crypto';
import test from 'ava';
import type { MaskBits } from '../../src/masks/bits.js';
import { boxIou, rleIou, type Box } from '../../src/masks/iou.js';
import { Mask } from '../../src/masks/mask.js';
import {
  compressCounts,
  decodeRle,
  encodeRle,
  encodeRuns,
  mergeRle,
  parseCounts,
  rleArea,
  rleToBbox,
  type Rle,
  type RleInput,
} from '../../src/masks/rle.js';
import { frame, maskCases, readReference, seededRandom, testWithReference, type Frame } from './support.js';

function columnMajor({ data, width, height }: Frame): Uint8Array {
  return Uint8Array.from({ length: width * height }, (_, i) => data[(i % height) * width + Math.floor(i / height)]!);
}

function countsNaively(picture: Frame): number[] {
  const counts = [0];
  let value = 0;
  for (const pixel of columnMajor(picture)) {
    if (pixel !== value) counts.push(0);
    value = pixel;
    counts[counts.length - 1]!++;
  }
  return counts;
}

/** The compressed form in 64-bit integers, straight from its description. */
function compressNaively(counts: readonly number[]): string {
  let text = '';
  counts.forEach((count, i) => {
    let rest = BigInt(count) - (i > 2 ? BigInt(counts[i - 2]!) : 0n);
    for (let more = true; more;) {
      const group = rest & 31n;
      rest >>= 5n;
      more = !(rest === 0n && (group & 16n) === 0n) && !(rest === -1n && (group & 16n) !== 0n);
      text += String.fromCharCode(48 + Number(group) + (more ? 32 : 0));
    }
  });
  return text;
}

function fullFrame(bits: MaskBits): Uint8Array {
  return new Mask(bits).toBitmap().data;
}

test('encoding and decoding agree with a naive full-frame encoder', (t) => {
  for (const { frame: picture, bits, title } of maskCases()) {
    const counts = countsNaively(picture);
    t.deepEqual([...encodeRuns(bits).counts], counts, title);
    const rle = encodeRle(bits);
    t.deepEqual(rle, { size: [picture.height, picture.width], counts: compressNaively(counts) }, title);
    t.deepEqual([...parseCounts(rle.counts)], counts, title);
    const decoded = decodeRle(rle);
    t.deepEqual(fullFrame(decoded), picture.data, title);
    const { x, y, width, height } = decoded.region;
    t.deepEqual(rleToBbox(rle), [x, y, width, height], title);
    t.is(
      rleArea(rle),
      countsNaively(picture).reduce((sum, count, i) => sum + (i % 2) * count, 0),
      title,
    );
  }
});

test('an image of a billion pixels costs as little as its object', (t) => {
  const bits = {
    imageWidth: 60_000,
    imageHeight: 60_000,
    region: { x: 59_000, y: 40_000, width: 2, height: 3 },
    words: Uint32Array.of(3, 1, 3),
  };
  const start = 59_000 * 60_000 + 40_000;
  const counts = [start, 3, 60_000 - 3, 1, 1, 1, 3_600_000_000 - start - 60_003];
  t.deepEqual([...encodeRuns(bits).counts], counts);
  t.is(encodeRle(bits).counts, compressNaively(counts));
  t.deepEqual(decodeRle(encodeRle(bits)), bits);
});

test('counts of any size and order are written as 64-bit code writes them', (t) => {
  const random = seededRandom(3);
  for (let round = 0; round < 200; round++) {
    const counts = Array.from({ length: round % 9 }, () => Math.floor(random() ** 4 * 2 ** 32));
    t.is(compressCounts(counts), compressNaively(counts));
    t.deepEqual([...parseCounts(compressCounts(counts))], counts);
  }
  const extremes = [2 ** 32 - 1, 0, 0, 2 ** 32 - 1, 2 ** 32 - 1, 0, 15, 16, 31, 32];
  t.is(compressCounts(extremes), compressNaively(extremes));
  t.deepEqual([...parseCounts(compressCounts(extremes))], extremes);
});

test('readers take strings, bytes and lists', (t) => {
  const picture = frame('.##.|####|.#..');
  const counts = countsNaively(picture);
  const text = compressNaively(counts);
  const pooled = Buffer.from(`xx${text}yy`).subarray(2, 2 + text.length);
  for (const form of [text, pooled, Uint8Array.from(pooled), counts, Uint32Array.from(counts)]) {
    const rle: RleInput = { size: [3, 4], counts: form };
    t.deepEqual(Mask.fromRLE(rle).toBitmap().data, picture.data);
    t.is(rleArea(rle), 7);
  }
});

test('empty runs inside the counts are read', (t) => {
  const rle = { size: [2, 3], counts: [1, 0, 1, 2, 0, 1, 1, 0] } as const;
  t.deepEqual(Mask.fromRLE(rle).toBitmap().data, frame('.##|.#.').data);
  t.deepEqual(rleToBbox(rle), [1, 0, 2, 2]);
  t.is(mergeRle([rle, rle]).counts, compressCounts([2, 3, 1]));
});

test('malformed RLE is refused', (t) => {
  const refuse = (rle: unknown, message: RegExp): void => {
    t.throws(() => decodeRle(rle as RleInput), { code: 'ERR_ARGUMENT', message });
  };
  refuse({ size: [2, 2], counts: '5' }, /sum to 5, expected 4/);
  refuse({ size: [2, 2], counts: '' }, /sum to 0/);
  refuse({ size: [2, 2], counts: '4P' }, /ends inside a number/);
  refuse({ size: [2, 2], counts: '4\n' }, /unexpected byte 10 at position 1/);
  refuse({ size: [2, 2], counts: '4é' }, /unexpected byte/);
  refuse({ size: [2, 2], counts: 'oooooooo0' }, /unexpected byte/);
  refuse({ size: [2, 2], counts: 'O' }, /count 0 would be -1/);
  refuse({ size: [2, 2], counts: [4, -1, 1] }, /count 1 is -1/);
  refuse({ size: [2, 2], counts: [4.5] }, /count 0 is 4.5/);
  refuse({ size: [2, 2], counts: null }, /received object/);
  refuse({ size: [2], counts: '4' }, /\[height, width\]/);
  refuse({ size: [0, 2], counts: [0] }, /at least 1x1/);
  refuse({ size: [65536, 65536], counts: [] }, /less than 2\^32 pixels/);
});

test('merge and IoU agree with bitmaps', (t) => {
  const cases = [...maskCases()].filter(({ frame: { width, height } }) => width === 33 && height === 13);
  const masks = cases.map(({ frame: { data }, bits }) => ({ data, rle: encodeRle(bits) }));
  const crowd = masks.map((_, i) => i % 2 === 1);
  const iou = rleIou(
    masks.map(({ rle }) => rle),
    masks.map(({ rle }) => rle),
    crowd,
  );
  const area = (data: Uint8Array): number => data.reduce((sum, value) => sum + value, 0);
  masks.forEach((a, row) => {
    masks.forEach((b, column) => {
      const union = a.data.map((value, i) => value | b.data[i]!);
      const both = a.data.map((value, i) => value & b.data[i]!);
      t.deepEqual(Mask.fromRLE(mergeRle([a.rle, b.rle])).toBitmap().data, union);
      t.deepEqual(Mask.fromRLE(mergeRle([a.rle, b.rle], { intersect: true })).toBitmap().data, both);
      const expected = area(both) === 0 ? 0 : area(both) / (crowd[column] ? area(a.data) : area(union));
      t.is(iou[row * masks.length + column], expected);
    });
  });
});

test('merge and IoU refuse what does not fit', (t) => {
  const [a, b]: [Rle, Rle] = [
    { size: [1, 2], counts: '02' },
    { size: [2, 1], counts: '02' },
  ];
  t.throws(() => mergeRle([]), { code: 'ERR_ARGUMENT' });
  t.throws(() => mergeRle([a, b]), { code: 'ERR_ARGUMENT', message: /differ in size/ });
  t.throws(() => rleIou([a], [b]), { code: 'ERR_ARGUMENT', message: /differ in size/ });
  t.throws(() => rleIou([a], [a], []), { code: 'ERR_ARGUMENT', message: /^isCrowd must be a list of 1/ });
});

interface ReferenceRle {
  encode: (Rle & { uncompressed: number[]; area: number; bbox: number[]; sha256_column_major: string })[];
  mask_iou: { size: [number, number]; dt: string[]; gt: string[]; iscrowd: number[]; iou: number[][] };
  box_iou: { dt: Box[]; gt: Box[]; iscrowd: number[]; iou: number[][] };
  merge: {
    size: [number, number];
    masks: string[];
    union: string;
    intersect_first3: string;
    intersect_self: string;
  };
}

testWithReference('encoding, decoding, area and box are those of pycocotools', (t) => {
  for (const { size, counts, uncompressed, area, bbox, sha256_column_major } of readReference<ReferenceRle>(
    'coco/rle.json',
  ).encode) {
    t.is(compressCounts(uncompressed), counts);
    t.deepEqual([...parseCounts(counts)], uncompressed);
    const mask = Mask.fromRLE({ size, counts });
    t.deepEqual(mask.toRLE(), { size, counts });
    t.is(mask.area, area);
    t.deepEqual(rleToBbox({ size, counts: uncompressed }), bbox as [number, number, number, number]);
    const bitmap = mask.toBitmap();
    t.is(createHash('sha256').update(columnMajor(bitmap)).digest('hex'), sha256_column_major);
    t.is(Mask.fromBitmap(bitmap).toRLE().counts, counts);
  }
});

testWithReference('merge and IoU are those of pycocotools', (t) => {
  const { mask_iou, box_iou, merge } = readReference<ReferenceRle>('coco/rle.json');
  const rles = (size: [number, number], masks: string[]): Rle[] => masks.map((counts) => ({ size, counts }));
  const masks = rles(merge.size, merge.masks);
  t.is(mergeRle(masks).counts, merge.union);
  t.is(mergeRle(masks.slice(0, 3), { intersect: true }).counts, merge.intersect_first3);
  t.is(mergeRle([masks[0]!, masks[0]!], { intersect: true }).counts, merge.intersect_self);

  const [dt, gt] = [rles(mask_iou.size, mask_iou.dt), rles(mask_iou.size, mask_iou.gt)];
  t.deepEqual([...rleIou(dt, gt, mask_iou.iscrowd.map(Boolean))], mask_iou.iou.flat());
  t.deepEqual([...boxIou(box_iou.dt, box_iou.gt, box_iou.iscrowd.map(Boolean))], box_iou.iou.flat());
});
