import test from 'ava';
import { unpackBits } from '../../src/masks/bits.js';
import { erode } from '../../src/masks/erode.js';
import { maskCases, type Frame } from './support.js';

/** One layer less: a pixel stays if all of its 4 or 8 neighbours are set. */
function erodeNaively({ data, width, height }: Frame, diagonals: boolean): Frame {
  const isSet = (x: number, y: number): boolean =>
    x >= 0 && x < width && y >= 0 && y < height && data[y * width + x] === 1;
  const eroded = data.map((_, i) => {
    const [x, y] = [i % width, Math.floor(i / width)];
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        if ((diagonals || dx === 0 || dy === 0) && !isSet(x + dx, y + dy)) return 0;
      }
    }
    return 1;
  });
  return { data: eroded, width, height };
}

test('erosion agrees with looking at neighbours', (t) => {
  for (const { frame, bits, title } of maskCases()) {
    let expected = frame;
    for (let steps = 0; steps <= 4; steps++) {
      t.deepEqual(unpackBits(erode(bits, steps)).data, expected.data, `${title}, ${steps} steps`);
      expected = erodeNaively(expected, steps % 2 === 1);
    }
  }
});
