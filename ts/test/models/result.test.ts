import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import test from 'ava';
import type { DecodedImage } from '../../src/image/decode.js';
import { Mask } from '../../src/masks/mask.js';
import { SegmentationResult, type Instance } from '../../src/models/result.js';

const data = new Uint8Array(4 * 3 * 3).fill(50);
const image: DecodedImage = { data, width: 4, height: 3, channels: 3 };
const mask = Mask.fromRLE({ size: [3, 4], counts: [4, 2, 1, 2, 3] });
const cat: Instance = {
  label: 'cat',
  classId: 15,
  categoryId: 17,
  score: Math.fround(0.98765),
  box: [1, 0.30000001192092896, 2.1, 1 / 3],
  area: 4,
  mask,
};

test('JSON.stringify gives COCO results in full precision', (t) => {
  const result = new SegmentationResult({ ...image, name: '000000000139' }, [cat, cat]);
  const parsed: unknown = JSON.parse(JSON.stringify(result));
  const expected = {
    image_id: 139,
    category_id: 17,
    label: 'cat',
    bbox: [1, 0.30000001192092896, 2.1, 1 / 3],
    score: Math.fround(0.98765),
    segmentation: { size: [3, 4], counts: mask.toRLE().counts },
  };
  t.deepEqual(parsed, [expected, expected]);
  t.is(typeof expected.segmentation.counts, 'string');
  t.is(JSON.stringify(new SegmentationResult(image, [])), '[]');
});

test('the image id comes from the caller, else from the name', (t) => {
  const id = (name: string | undefined, imageId?: string | number): [unknown, unknown] => {
    const named = name === undefined ? image : { ...image, name };
    const result = new SegmentationResult(named, [cat], imageId === undefined ? {} : { imageId });
    return [result.imageId, result.toJSON()[0]!.image_id];
  };
  t.deepEqual(id('000000000139'), [139, 139]);
  t.deepEqual(id('street'), ['street', 'street']);
  t.deepEqual(id('12a'), ['12a', '12a']);
  t.deepEqual(id('-5'), ['-5', '-5']);
  t.deepEqual(id('1e3'), ['1e3', '1e3']);
  t.deepEqual(id('٣'), ['٣', '٣']);
  t.deepEqual(id('99999999999999999999'), ['99999999999999999999', '99999999999999999999']);
  t.deepEqual(id('street', 7), [7, 7]);
  t.deepEqual(id(undefined, 'a'), ['a', 'a']);
  t.deepEqual(id(undefined, 0), [0, 0]);
  t.deepEqual(id(undefined), [null, 0]);
});

test('a result tells the size of its image and keeps the pixels to itself', (t) => {
  const result = new SegmentationResult(image, [cat]);
  t.deepEqual([result.width, result.height], [4, 3]);
  t.deepEqual(Object.keys(result).toSorted(), ['height', 'imageId', 'instances', 'profile', 'timings', 'width']);
  t.is(result.timings, null);
  const timings = { decode: 2, forward: 30 };
  t.deepEqual(new SegmentationResult(image, [cat], { timings }).timings, timings);
  result.toJSON()[0]!.bbox[0] = 99;
  t.is(result.instances[0]!.box[0], 1);
});

test('who takes data only loads neither sharp nor the drawing code', (t) => {
  const script = `
    const { decodeImage } = require(${JSON.stringify(join(__dirname, '../../src/image/decode.js'))});
    const { Mask } = require(${JSON.stringify(join(__dirname, '../../src/masks/mask.js'))});
    const { SegmentationResult } = require(${JSON.stringify(join(__dirname, '../../src/models/result.js'))});
    decodeImage({ data: new Uint8Array(12), width: 2, height: 2, channels: 3 }).then((image) => {
      const mask = Mask.fromRLE({ size: [2, 2], counts: [0, 4] });
      const result = new SegmentationResult(image, [{ label: 'a', box: [0, 0, 2, 2], score: 1, mask }]);
      JSON.stringify(result);
      mask.toPolygons();
      const loaded = Object.keys(require.cache).filter((file) => /overlay|canvas|[\\\\/]sharp[\\\\/]/.test(file));
      if (loaded.length > 0) throw new Error(loaded.join());
    });`;
  const { status, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' });
  t.is(status, 0, stderr);
});
