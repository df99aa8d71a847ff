import test, { type ExecutionContext } from 'ava';
import { Mask } from '../../src/masks/mask.js';
import type { Point, Polygon, Ring } from '../../src/masks/polygons.js';
import { frame, maskCases, packNaively, randomFrame, seededRandom, type Frame } from './support.js';

/** Fills rings by the even-odd rule at pixel centres: counts the upright edges left of each centre. */
function fill(rings: readonly Ring[], width: number, height: number): Uint8Array {
  const data = new Uint8Array(width * height);
  for (const ring of rings) {
    for (let i = 1; i < ring.length; i++) {
      const [[x, y0], [, y1]] = [ring[i - 1]!, ring[i]!];
      for (let y = Math.min(y0, y1); y < Math.max(y0, y1); y++) {
        for (let column = x; column < width; column++) data[y * width + column]! ^= 1;
      }
    }
  }
  return data;
}

function signedArea(ring: Ring): number {
  return ring.slice(1).reduce((sum, [x, y], i) => sum + (ring[i]![0] * y - x * ring[i]![1]) / 2, 0);
}

/** The pieces of a frame that hang together by sides, each as the smallest index in it; -1 outside. */
function components({ data, width, height }: Frame): Int32Array {
  const piece = new Int32Array(data.length).fill(-1);
  data.forEach((value, seed) => {
    if (value === 0 || piece[seed] !== -1) return;
    const pending = [seed];
    for (let i = pending.pop(); i !== undefined; i = pending.pop()) {
      if (piece[i] !== -1 || data[i] === 0) continue;
      piece[i] = seed;
      if (i % width > 0) pending.push(i - 1);
      if (i % width < width - 1) pending.push(i + 1);
      if (i >= width) pending.push(i - width);
      if (i < width * (height - 1)) pending.push(i + width);
    }
  });
  return piece;
}

function checkRing(t: ExecutionContext, ring: Ring, hole: boolean, title: string): void {
  const corners = ring.slice(0, -1);
  const bad =
    ring.length < 5 ||
    String(ring[0]) !== String(ring.at(-1)) ||
    new Set(corners.map(String)).size !== corners.length ||
    signedArea(ring) > 0 === hole ||
    // Sides alternate between level and upright: no point is left on a straight line.
    corners.some(([x, y], i) => {
      const [a, b] = [corners.at(i - 1)!, corners[(i + 1) % corners.length]!];
      return (a[0] === x && b[0] === x) || (a[1] === y && b[1] === y) || (a[0] !== x && a[1] !== y);
    });
  if (bad) t.fail(`${title}: not a simple closed ring of the right winding: ${JSON.stringify(ring)}`);
}

function checkPolygons(t: ExecutionContext, picture: Frame, polygons: Polygon[], title: string): void {
  const { width, height } = picture;
  const pieces = components(picture);
  const seeds = new Set<number>();
  for (const polygon of polygons) {
    polygon.forEach((ring, i) => checkRing(t, ring, i > 0, title));
    const filled = fill(polygon, width, height);
    const seed = filled.indexOf(1);
    seeds.add(seed);
    // Each polygon, with its own holes, is exactly one piece.
    const expected = Uint8Array.from(pieces, (piece) => (piece === seed ? 1 : 0));
    if (Buffer.compare(filled, expected) !== 0) t.fail(`${title}: ${JSON.stringify(polygon)} is not one piece`);
  }
  const count = new Set(pieces.filter((piece) => piece >= 0)).size;
  if (polygons.length !== count || seeds.size !== count)
    t.fail(`${title}: ${polygons.length} polygons, ${count} pieces`);
}

test('every mask of 4x4 pixels is traced exactly', (t) => {
  for (let pattern = 0; pattern < 65536; pattern++) {
    const picture = { data: Uint8Array.from({ length: 16 }, (_, i) => (pattern >> i) & 1), width: 4, height: 4 };
    checkPolygons(t, picture, Mask.fromBitmap(picture).toPolygons(), `pattern ${pattern}`);
  }
  t.pass();
});

test('random masks of every density and place are traced exactly', (t) => {
  for (const { frame: picture, bits, title } of maskCases())
    checkPolygons(t, picture, new Mask(bits).toPolygons(), title);
  const random = seededRandom(11);
  for (let round = 0; round < 60; round++) {
    const [width, height] = [20 + (round % 50), 40 - (round % 30)];
    const region = { x: round % 5, y: round % 3, width: width - 9, height: height - 7 };
    const picture = randomFrame(random, width, height, region, 0.3 + (round % 7) / 10);
    checkPolygons(t, picture, new Mask(packNaively(picture, region)).toPolygons(), `round ${round}`);
  }
  t.pass();
});

test('rings within holes within rings belong together', (t) => {
  const picture = frame('#########|#.......#|#.#####.#|#.#.#.#.#|#.#####.#|#.......#|#########');
  const polygons = Mask.fromBitmap(picture).toPolygons();
  checkPolygons(t, picture, polygons, 'nested');
  t.deepEqual(
    polygons.map((polygon) => polygon.length),
    [2, 3],
  );
  const outer = [[0, 0], [9, 0], [9, 7], [0, 7], [0, 0]]; // prettier-ignore
  t.deepEqual(polygons[0]![0], outer as Ring);
  t.deepEqual(
    Mask.fromBitmap(picture)
      .toPolygons({ holes: false })
      .map((polygon) => polygon.length),
    [1, 1],
  );
});

test('pixels that meet at a corner are polygons of their own', (t) => {
  t.deepEqual(Mask.fromBitmap(frame('#.|.#')).toPolygons(), [
    [
      [
        [0, 0],
        [1, 0],
        [1, 1],
        [0, 1],
        [0, 0],
      ],
    ],
    [
      [
        [1, 1],
        [2, 1],
        [2, 2],
        [1, 2],
        [1, 1],
      ],
    ],
  ]);
});

test('GeoJSON is a MultiPolygon, empty for an empty mask', (t) => {
  t.deepEqual(Mask.fromBitmap({ data: new Uint8Array(6), width: 3, height: 2 }).toGeoJSON(), {
    type: 'MultiPolygon',
    coordinates: [],
  });
  const mask = Mask.fromBitmap(frame('.#'));
  t.deepEqual(mask.toGeoJSON(), { type: 'MultiPolygon', coordinates: mask.toPolygons() });
});

/** A disc with a wavy edge and a round hole. */
function flower(size: number): Frame {
  const data = Uint8Array.from({ length: size * size }, (_, i) => {
    const [x, y] = [(i % size) - size / 2, Math.floor(i / size) - size / 2];
    const radius = Math.hypot(x, y) / size;
    return radius > 0.1 && radius < 0.4 + 0.05 * Math.sin(7 * Math.atan2(y, x)) ? 1 : 0;
  });
  return { data, width: size, height: size };
}

function distanceToRing([x, y]: Point, ring: Ring): number {
  return Math.min(
    ...ring.slice(1).map(([bx, by], i) => {
      const [ax, ay] = ring[i]!;
      const t = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2);
      const along = Math.min(Math.max(t, 0), 1);
      return Math.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay));
    }),
  );
}

test('simplified rings keep within the tolerance, closed and wound as before', (t) => {
  const mask = Mask.fromBitmap(flower(120));
  const [exact] = mask.toPolygons();
  let corners = Infinity;
  for (const simplify of [0.5, 1, 3, 10, 1000]) {
    const [polygon] = mask.toPolygons({ simplify });
    t.is(polygon!.length, 2);
    polygon!.forEach((ring, i) => {
      t.deepEqual(ring[0], ring.at(-1));
      t.true(signedArea(ring) * signedArea(exact![i]!) > 0);
      t.true(ring.length >= 4);
      for (const point of exact![i]!) t.true(distanceToRing(point, ring) <= simplify + 1e-9);
    });
    const count = polygon!.flat().length;
    t.true(count <= corners);
    corners = count;
  }
  t.true(corners < exact!.flat().length / 10);
});

test('nothing vanishes by simplifying', (t) => {
  const random = seededRandom(5);
  for (let round = 0; round < 50; round++) {
    const mask = Mask.fromBitmap(randomFrame(random, 12, 12, { x: 0, y: 0, width: 12, height: 12 }, 0.5));
    const exact = mask.toPolygons();
    const simple = mask.toPolygons({ simplify: 50 });
    t.deepEqual(
      simple.map((polygon) => polygon.map((ring) => Math.sign(signedArea(ring)))),
      exact.map((polygon) => polygon.map((ring) => Math.sign(signedArea(ring)))),
    );
  }
});

test('a ring that would be turned inside out stays as it is', (t) => {
  for (const [picture, simplify] of [
    ['.#####.|#..#..#|.##.###|.##.##.|#######', 3],
    ['######|######|##.###|#.#..#|#..###|#.###.|######', 4],
    ['#.##....|##.#####|##.#...#|####.###|##...###|.######.|###.#.##', 2],
  ] as const) {
    const mask = Mask.fromBitmap(frame(picture));
    const signs = (polygons: Polygon[]): number[] => polygons.flat().map((ring) => Math.sign(signedArea(ring)));
    t.deepEqual(signs(mask.toPolygons({ simplify })), signs(mask.toPolygons()));
  }
});

test('a tolerance that is none is refused', (t) => {
  const mask = Mask.fromBitmap(frame('#'));
  for (const simplify of [-1, NaN, Infinity]) t.throws(() => mask.toPolygons({ simplify }), { code: 'ERR_ARGUMENT' });
});
