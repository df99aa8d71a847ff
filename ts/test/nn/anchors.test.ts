import test from 'ava';
import { baseAnchors } from '../../src/nn/anchors.js';

test('baseAnchors rounds half to even as torchvision does', (t) => {
  // Numbers of torchvision 0.14.
  t.deepEqual(baseAnchors([32], [0.5, 1, 2]), [-23, -11, 23, 11, -16, -16, 16, 16, -11, -23, 11, 23]);
  t.deepEqual(baseAnchors([37, 45], [1]), [-18, -18, 18, 18, -22, -22, 22, 22]);
});

test('baseAnchors without rounding keeps the area', (t) => {
  const anchors = baseAnchors([32, 64], [0.5, 2], { rounding: 'none' });
  t.is(anchors.length, 16);
  t.is(anchors[2], Math.fround(Math.sqrt(32 * 32 * 2) / 2));
  t.is(anchors[3], Math.fround(Math.sqrt(32 * 32 * 2) / 4));
  t.is(anchors[4 * 3 + 2], Math.fround(Math.sqrt((64 * 64) / 2) / 2));
});
