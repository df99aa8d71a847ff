import test from 'ava';
import { Mask, SegmentationResult, type Instance } from '../../src/index.js';
import { compareResults } from '../../src/bench/model-check.js';

const WIDTH = 200;
const HEIGHT = 100;
const IMAGE = { data: new Uint8Array(WIDTH * HEIGHT * 3), width: WIDTH, height: HEIGHT, channels: 3 } as const;

/** An instance whose mask is its box. */
function instance(x: number, change: Partial<Instance> & { maskX?: number } = {}): Instance {
  const { maskX = x, ...rest } = change;
  // Runs go down the columns.
  const before = Math.round(maskX) * HEIGHT;
  const mask = Mask.fromRLE({
    size: [HEIGHT, WIDTH],
    counts: [before, 10 * HEIGHT, WIDTH * HEIGHT - before - 10 * HEIGHT],
  });
  const box: Instance['box'] = [x, 0, 10, HEIGHT];
  return { label: 'a', classId: 1, categoryId: 1, score: 0.9 - x / 1000, box, area: mask.area, mask, ...rest };
}

const result = (instances: Instance[]): SegmentationResult => new SegmentationResult(IMAGE, instances);
const TEN = Array.from({ length: 10 }, (_, i) => instance(i * 15));
const judge = (actual: Instance[], expected = TEN) => compareResults(result(actual), result(expected), 'f32', 'a test');

test('the same result is right, in any order, and so is no detection on both sides', (t) => {
  const check = judge([...TEN].reverse());
  t.deepEqual(check, {
    against: 'a test',
    expected: 10,
    found: 10,
    matched: 10,
    boxDifference: 0,
    scoreDifference: 0,
    maskIou: 1,
    right: true,
  });
  t.true(judge([], []).right);
});

test('what rounding does is right, and reported', (t) => {
  const [first, ...rest] = TEN;
  const box: Instance['box'] = [0.1, 0, 10, HEIGHT];
  const check = judge([{ ...first!, box, score: first!.score - 5e-4 }, ...rest]);
  t.true(check.right);
  t.is(check.matched, 10);
  t.is(check.boxDifference, 0.1);
  t.true(Math.abs(check.scoreDifference - 5e-4) < 1e-12);
});

test('what rounding does not do is wrong', (t) => {
  const [first, second, ...rest] = TEN as [Instance, Instance, ...Instance[]];
  const wrong: [what: string, actual: Instance[]][] = [
    ['detections are missing', rest],
    ['there are too many', [...TEN, instance(160), instance(180)]],
    ['boxes are elsewhere', [{ ...first, box: [1, 0, 10, HEIGHT] }, { ...second, box: [17, 0, 10, HEIGHT] }, ...rest]],
    ['scores are others', [{ ...first, score: 0.5 }, { ...second, score: 0.4 }, ...rest]],
    ['classes are others', [{ ...first, classId: 2 }, { ...second, classId: 2 }, ...rest]],
    ['masks are elsewhere', TEN.map(({ box: [x] }) => instance(x, { maskX: x + 2 }))],
    ['a coordinate is NaN', [{ ...first, box: [NaN, 0, 1, 1] }, { ...second, box: [NaN, 0, 1, 1] }, ...rest]],
    ['nothing was found', []],
  ];
  for (const [what, actual] of wrong) t.false(judge(actual).right, what);
});

test('one detection in a hundred may be decided differently, not three', (t) => {
  const hundred = Array.from({ length: 100 }, (_, i) => instance(i));
  t.true(judge(hundred.slice(1), hundred).right);
  t.false(judge(hundred.slice(3), hundred).right);
});
