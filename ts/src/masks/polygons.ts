import { lowestBit, wordsPerRow, type MaskBits } from './bits.js';
import { simplifyRing } from './simplify.js';
import { flag, number, optional, readOptions, type OptionChecks } from '../runtime/options.js';

/** A point in pixels: the pixel in column x and row y covers x to x + 1 and y to y + 1; y grows downwards. */
export type Point = [x: number, y: number];

/** A closed line: the last point repeats the first. */
export type Ring = Point[];

/** An outer ring, then the rings of its holes: the coordinates of a GeoJSON Polygon. */
export type Polygon = Ring[];

/** The GeoJSON geometry (RFC 7946), in pixels in place of degrees. */
export interface MultiPolygon {
  type: 'MultiPolygon';
  coordinates: Polygon[];
}

/** Options of {@link Mask.toPolygons}. */
export interface PolygonOptions {
  /**
   * The largest distance, in pixels, by which the line may move when points are left out. 0, the default, keeps every
   * corner, so that filling the polygons gives the mask again. Rings are simplified one by one: with a large value
   * rings that lie close together may cross.
   */
  simplify?: number;
  /** Whether holes are kept; by default true. */
  holes?: boolean;
}

const OPTIONS = {
  simplify: optional(number(0, Number.MAX_VALUE)),
  holes: optional(flag),
} satisfies OptionChecks<PolygonOptions>;

/** Corners x0, y0, x1, y1 ... of a ring that is not closed, in pixels of the region. */
type Corners = number[];

/**
 * The outlines of a mask along the edges of its pixels, in image coordinates. Pixels that meet only at a corner belong
 * to different polygons, so every ring is simple and every polygon is connected (valid for GeoJSON tools). The signed
 * area of outer rings is positive, that of holes negative: counterclockwise and clockwise as GeoJSON means it, in the
 * numbers as they stand (on a screen, where y points down, outer rings look clockwise). An empty mask has no polygons.
 */
export function tracePolygons(bits: MaskBits, options: PolygonOptions = {}): Polygon[] {
  const { simplify = 0, holes: keepHoles = true } = readOptions('toPolygons', options, OPTIONS);
  const rings = new RingTracer(bits).trace();
  const toRing = (corners: Corners): Ring => close(simplifyRing(toPoints(corners, bits), simplify));

  const polygons = new Map<Corners, Polygon>();
  const holes: Corners[] = [];
  for (const ring of rings) {
    if (signedArea(ring) > 0) polygons.set(ring, [toRing(ring)]);
    else holes.push(ring);
  }
  if (keepHoles && holes.length > 0) {
    const outerOf = holeOwner(bits, rings, polygons);
    for (const hole of holes) polygons.get(outerOf(hole))!.push(toRing(hole));
  }
  return [...polygons.values()];
}

function toPoints(corners: Corners, { region }: MaskBits): Point[] {
  const points: Point[] = [];
  for (let i = 0; i < corners.length; i += 2) points.push([corners[i]! + region.x, corners[i + 1]! + region.y]);
  return points;
}

function close(points: Point[]): Ring {
  const [x, y] = points[0]!;
  points.push([x, y]);
  return points;
}

/** Corners alternate between level and upright sides, so one product a pair of corners is the area. */
function signedArea(corners: Corners): number {
  let area = 0;
  for (let i = 0; i < corners.length; i += 2) {
    const next = (i + 2) % corners.length;
    area += corners[i]! * (corners[next + 1]! - corners[i + 1]!);
  }
  return area;
}

type PixelTest = (x: number, y: number) => boolean;

/** Whether a pixel of the region is set; false outside. */
function pixelTest({ region: { width, height }, words }: MaskBits): PixelTest {
  const stride = wordsPerRow(width);
  return (x, y) =>
    x >= 0 && x < width && y >= 0 && y < height && ((words[y * stride + (x >> 5)]! >>> (x & 31)) & 1) === 1;
}

/** Steps right, down, left and up: turning right adds one. */
const STEP_X = [1, 0, -1, 0] as const;
const STEP_Y = [0, 1, 0, -1] as const;
/** From the vertex reached to the pixel ahead on the right; the one ahead on the left is that of a turn less. */
const AHEAD_X = [0, -1, -1, 0] as const;
const AHEAD_Y = [0, 0, -1, -1] as const;

/** Finds all rings of a mask. */
class RingTracer {
  readonly #rings: Corners[] = [];
  readonly #width: number;
  readonly #stride: number;
  readonly #isSet: PixelTest;
  /** The pixels that have no set pixel above and whose upper edge no ring has passed yet. */
  readonly #tops: Uint32Array;

  constructor(bits: MaskBits) {
    const stride = wordsPerRow(bits.region.width);
    this.#width = bits.region.width;
    this.#stride = stride;
    this.#isSet = pixelTest(bits);
    this.#tops = bits.words.slice();
    for (let i = stride; i < bits.words.length; i++) this.#tops[i]! &= ~bits.words[i - stride]!;
  }

  /** Every ring has an upper edge of a set pixel (a hole at its bottom), so walks from all of those find all rings. */
  trace(): Corners[] {
    const tops = this.#tops;
    for (let i = 0; i < tops.length; i++) {
      while (tops[i] !== 0) this.#walk((i % this.#stride) * 32 + lowestBit(tops[i]!), Math.floor(i / this.#stride));
    }
    return this.#rings;
  }

  /**
   * Walks along pixel edges with the mask on the right, from the top left corner of pixel (startX, startY) rightwards
   * until it is back. Where two pixels meet at a corner only, it stays with its own pixel.
   */
  #walk(startX: number, startY: number): void {
    const isSet = this.#isSet;
    const corners: Corners = [startX, startY];
    const meetings = new Map([[this.#vertex(startX, startY), 0]]);
    let [x, y, direction] = [startX, startY, 0];
    for (;;) {
      if (direction === 0) this.#tops[y * this.#stride + (x >> 5)]! &= ~(1 << (x & 31));
      x += STEP_X[direction]!;
      y += STEP_Y[direction]!;
      const left = (direction + 3) & 3;
      const setOnRight = isSet(x + AHEAD_X[direction]!, y + AHEAD_Y[direction]!);
      const setOnLeft = isSet(x + AHEAD_X[left]!, y + AHEAD_Y[left]!);
      if (setOnRight && !setOnLeft) continue;
      direction = setOnRight ? left : (direction + 1) & 3;
      if (x === startX && y === startY && direction === 0) break;
      if (setOnLeft && !setOnRight) this.#cutLoop(corners, meetings, this.#vertex(x, y));
      corners.push(x, y);
    }
    this.#rings.push(corners);
  }

  /** If the walk has come to a meeting of two pixels for the second time, what lies between is a ring of its own. */
  #cutLoop(corners: Corners, meetings: Map<number, number>, vertex: number): void {
    const before = meetings.get(vertex);
    if (before === undefined) meetings.set(vertex, corners.length);
    else this.#rings.push(corners.splice(before));
  }

  #vertex(x: number, y: number): number {
    return y * (this.#width + 1) + x;
  }
}

/**
 * Finds the outer ring around a hole: left of the hole's leftmost edge the same piece of the mask goes on until it ends
 * at an edge of its outer ring, or of another hole that lies further left.
 */
function holeOwner(
  bits: MaskBits,
  rings: readonly Corners[],
  outers: ReadonlyMap<Corners, unknown>,
): (hole: Corners) => Corners {
  if (outers.size === 1) {
    const [only] = outers.keys();
    return () => only!;
  }
  const isSet = pixelTest(bits);
  const edge = (x: number, y: number): number => y * (bits.region.width + 1) + x;
  const leftEdges = new Map<number, Corners>();
  for (const ring of rings) forEachUpwardEdge(ring, (x, y) => leftEdges.set(edge(x, y), ring));

  const owners = new Map<Corners, Corners>();
  return (hole) => {
    const path: Corners[] = [];
    let ring = hole;
    while (!outers.has(ring)) {
      const known = owners.get(ring);
      if (known !== undefined) {
        ring = known;
        break;
      }
      path.push(ring);
      const [right, y] = leftmostDownwardEdge(ring);
      let x = right - 1;
      while (isSet(x - 1, y)) x--;
      ring = leftEdges.get(edge(x, y))!;
    }
    for (const passed of path) owners.set(passed, ring);
    return ring;
  };
}

/** Visits (x, y) for each edge from (x, y + 1) up to (x, y): the left edge of pixel (x, y). */
function forEachUpwardEdge(corners: Corners, visit: (x: number, y: number) => void): void {
  for (let i = 0; i < corners.length; i += 2) {
    const next = (i + 2) % corners.length;
    for (let y = corners[i + 1]! - 1; y >= corners[next + 1]!; y--) visit(corners[i]!, y);
  }
}

/** The (x, y) of the leftmost edge from (x, y) down to (x, y + 1). */
function leftmostDownwardEdge(corners: Corners): Point {
  let best: Point = [Infinity, 0];
  for (let i = 0; i < corners.length; i += 2) {
    const down = corners[(i + 3) % corners.length]! > corners[i + 1]!;
    if (down && corners[i]! < best[0]) best = [corners[i]!, corners[i + 1]!];
  }
  return best;
}
