import type { Point } from './polygons.js';

/**
 * Leaves out points of a ring (given without the closing point) as long as the line moves by at most `tolerance`
 * pixels (the method of Douglas and Peucker). A ring never vanishes: at least a triangle of the same orientation stays,
 * otherwise it is returned as it is.
 */
export function simplifyRing(ring: Point[], tolerance: number): Point[] {
  if (tolerance === 0 || ring.length <= 3) return ring;
  // A ring has no ends. The first point and the one farthest from it are kept; so is a third, to enclose something.
  const far = farthest(ring, 0, ring.length, (point) => squaredDistance(point, ring[0]!, ring[0]!));
  const line = (point: Point): number => squaredDistance(point, ring[0]!, ring[far.index]!);
  const third = farthest(ring, 1, ring.length, line);
  const anchors = [0, far.index, third.index].sort((a, b) => a - b);

  const keep = new Uint8Array(ring.length + 1);
  const pending: [from: number, to: number][] = anchors.map((from, i) => [from, anchors[i + 1] ?? ring.length]);
  for (let part = pending.pop(); part !== undefined; part = pending.pop()) {
    const [from, to] = part;
    keep[from] = 1;
    const [a, b] = [ring[from]!, ring[to % ring.length]!];
    const worst = farthest(ring, from + 1, to, (point) => squaredDistance(point, a, b));
    if (worst.value > tolerance * tolerance) pending.push([from, worst.index], [worst.index, to]);
  }
  const simplified = ring.filter((_, i) => keep[i] === 1);
  return shoelace(simplified) * shoelace(ring) > 0 ? simplified : ring;
}

/** The first point of ring[from..to) with the largest measure; value -1 when there are none. */
function farthest(
  ring: readonly Point[],
  from: number,
  to: number,
  measure: (point: Point) => number,
): { index: number; value: number } {
  let [index, value] = [from, -1];
  for (let i = from; i < to; i++) {
    const current = measure(ring[i]!);
    if (current > value) [index, value] = [i, current];
  }
  return { index, value };
}

/** The squared distance of a point from the line segment a to b. */
function squaredDistance(point: Point, a: Point, b: Point): number {
  const dx = b[0] - a[0];
  const dy = b[1] - a[1];
  const px = point[0] - a[0];
  const py = point[1] - a[1];
  const length = dx * dx + dy * dy;
  const along = length === 0 ? 0 : Math.min(Math.max((px * dx + py * dy) / length, 0), 1);
  return (px - along * dx) ** 2 + (py - along * dy) ** 2;
}

/** Twice the signed area. */
function shoelace(ring: readonly Point[]): number {
  return ring.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = ring[(i + 1) % ring.length]!;
    return sum + x * nextY - nextX * y;
  }, 0);
}
