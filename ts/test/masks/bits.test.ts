import test from 'ava';
import {
  checkBits,
  countBits,
  getBit,
  packBitmap,
  tightRegion,
  unpackBits,
  type Region,
} from '../../src/masks/bits.js';
import { maskCases, packNaively, type Frame } from './support.js';

function boundsNaively({ data, width }: Frame): Region | null {
  const set = [...data.keys()].filter((i) => data[i] === 1);
  if (set.length === 0) return null;
  const [xs, ys] = [set.map((i) => i % width), set.map((i) => Math.floor(i / width))];
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(...xs) - x + 1, height: Math.max(...ys) - y + 1 };
}

test('bits agree with the frame they were packed from', (t) => {
  for (const { frame, region, bits, title } of maskCases()) {
    t.notThrows(() => checkBits(bits), title);
    t.is(
      countBits(bits),
      frame.data.reduce((sum, value) => sum + value, 0),
      title,
    );
    t.deepEqual(unpackBits(bits), { ...frame, x: 0, y: 0 }, title);
    const read = Uint8Array.from(frame.data, (_, i) =>
      getBit(bits, i % frame.width, Math.floor(i / frame.width)) ? 1 : 0,
    );
    t.deepEqual(read, frame.data, title);

    const tight = tightRegion(bits);
    const bounds = boundsNaively(frame);
    if (bounds === null) t.is(tight.width * tight.height, 0, title);
    else t.deepEqual(tight, bounds, title);

    const cropped = unpackBits(bits, region);
    t.deepEqual(cropped.data, unpackBits(packNaively(frame, region), region).data, title);
    t.deepEqual([cropped.x, cropped.y, cropped.width, cropped.height], Object.values(region), title);
  }
});

test('packing a full bitmap keeps its bounding box only', (t) => {
  for (const { frame, title } of maskCases()) {
    const bits = packBitmap(
      frame.data.map((value) => value * 255),
      frame.width,
      frame.height,
    );
    t.deepEqual(bits, packNaively(frame, boundsNaively(frame) ?? { x: 0, y: 0, width: 0, height: 0 }), title);
  }
});

test('a window cuts and pads', (t) => {
  const bits = packBitmap(new Uint8Array(40 * 3).fill(1), 40, 3);
  const window = unpackBits(bits, { x: 30, y: 1, width: 5, height: 1 }, 255);
  t.deepEqual(window, { data: new Uint8Array(5).fill(255), x: 30, y: 1, width: 5, height: 1 });
  const inner = packNaively(
    { data: new Uint8Array(100).fill(1), width: 10, height: 10 },
    { x: 4, y: 4, width: 2, height: 2 },
  );
  t.deepEqual(
    [...unpackBits(inner, { x: 3, y: 5, width: 4, height: 2 }).data],
    [0, 1, 1, 0, 0, 0, 0, 0],
    'one row of two pixels lies in the window',
  );
});

test('outside the image, and between pixels, nothing is set', (t) => {
  const bits = packBitmap(Uint8Array.of(1), 1, 1);
  for (const [x, y] of [
    [-1, 0],
    [0, -1],
    [1, 0],
    [0, 1],
    [NaN, 0],
    [0, Infinity],
  ] as const)
    t.false(getBit(bits, x, y));
});

test('bits that do not fit together are refused', (t) => {
  const good = packBitmap(new Uint8Array(33 * 2).fill(1), 33, 2);
  const refuse = (change: object): void => {
    t.throws(() => checkBits({ ...good, ...change }), { code: 'ERR_ARGUMENT' });
  };
  refuse({ words: good.words.slice(1) });
  refuse({ region: { x: 1, y: 0, width: 33, height: 2 } });
  refuse({ region: { x: -1, y: 0, width: 33, height: 2 } });
  refuse({ region: { x: 0, y: 0, width: 32.5, height: 2 } });
  refuse({ imageWidth: 0 });
  refuse({ imageWidth: 2 ** 31, imageHeight: 2 });
  refuse({ words: good.words.map(() => 0xffffffff) });
  t.throws(() => packBitmap(new Uint8Array(5), 2, 3), { code: 'ERR_ARGUMENT' });
});
