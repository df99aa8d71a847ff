/** Precision and recall of one class over all images, as pycocotools accumulates them (`COCOeval.accumulate`). */
import type { Matches } from './match.js';

/** Numbers in more than one dimension, the last one fastest. -1 stands for "no object to find". */
export interface NumberGrid {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** The dimensions of the tables, in their order: IoU thresholds, recalls, classes, area ranges, limits of detections. */
export interface TableSize {
  readonly thresholds: number;
  readonly recalls: number;
  readonly classes: number;
  readonly areas: number;
  readonly limits: number;
}

export interface Tables {
  readonly size: TableSize;
  /** [thresholds, recalls, classes, areas, limits]: the best precision at that recall or above. */
  readonly precision: NumberGrid;
  /** The same shape: the score at which that recall is reached; 0 where it never is. */
  readonly scores: NumberGrid;
  /** [thresholds, classes, areas, limits]: the highest recall. */
  readonly recall: NumberGrid;
}

export function createTables(size: TableSize): Tables {
  const { thresholds, recalls, classes, areas, limits } = size;
  const grid = (...shape: number[]): NumberGrid => ({
    shape,
    data: new Float64Array(shape.reduce((product, dim) => product * dim, 1)).fill(-1),
  });
  return {
    size,
    precision: grid(thresholds, recalls, classes, areas, limits),
    scores: grid(thresholds, recalls, classes, areas, limits),
    recall: grid(thresholds, classes, areas, limits),
  };
}

const [WRONG, RIGHT, IGNORED] = [0, 1, 2];

/** What became of the detections of one class, image after image. */
export class ClassOutcomes {
  /** Objects that count, by area range. */
  readonly objects: Float64Array;
  readonly #scores: Float64Array;
  /** Place of a detection among those of its image, from 0. */
  readonly #rank: Uint32Array;
  /** [area, threshold, detection]. */
  readonly #outcome: Uint8Array;
  readonly #thresholds: number;
  readonly #capacity: number;
  #count = 0;

  /** `capacity`: most detections that will be added. */
  constructor(capacity: number, areas: number, thresholds: number) {
    this.objects = new Float64Array(areas);
    this.#scores = new Float64Array(capacity);
    this.#rank = new Uint32Array(capacity);
    this.#outcome = new Uint8Array(areas * thresholds * capacity);
    this.#thresholds = thresholds;
    this.#capacity = capacity;
  }

  /** Number of detections so far. */
  get detections(): number {
    return this.#count;
  }

  /** Adds the matches of one image, one entry an area range; `scores` best first. */
  add(scores: Float64Array, matches: readonly Matches[]): void {
    const count = scores.length;
    this.#scores.set(scores, this.#count);
    for (let d = 0; d < count; d++) this.#rank[this.#count + d] = d;
    matches.forEach(({ gtIgnore, dtMatches, dtIgnore }, area) => {
      for (const ignored of gtIgnore) if (ignored === 0) this.objects[area]!++;
      for (let t = 0; t < this.#thresholds; t++) {
        const to = (area * this.#thresholds + t) * this.#capacity + this.#count;
        for (let d = 0; d < count; d++) {
          const i = t * count + d;
          this.#outcome[to + d] = dtIgnore[i] === 1 ? IGNORED : dtMatches[i] === 0 ? WRONG : RIGHT;
        }
      }
    });
    this.#count += count;
  }

  /**
   * Fills class `k` of the tables, a cell of (limit, area range) at a time. `limits`: most detections of an image,
   * ascending. Equal scores keep the order in which they were added.
   */
  *accumulate(
    tables: Tables,
    k: number,
    recallThresholds: readonly number[],
    limits: readonly number[],
  ): Generator<void, void, undefined> {
    const scores = this.#scores;
    const all = Uint32Array.from({ length: this.#count }, (_, i) => i).sort((a, b) => scores[b]! - scores[a]!);
    const { classes, areas } = tables.size;
    for (const [m, limit] of limits.entries()) {
      const picked = all.filter((i) => this.#rank[i]! < limit);
      for (const [area, objects] of this.objects.entries()) {
        if (objects === 0) continue;
        const at = (row: number): number => ((row * classes + k) * areas + area) * limits.length + m;
        for (let t = 0; t < this.#thresholds; t++) {
          const { recall, precision } = this.#curve(picked, area, t, objects);
          tables.recall.data[at(t)] = recall.at(-1) ?? 0;
          let p = 0;
          recallThresholds.forEach((threshold, r) => {
            while (p < picked.length && recall[p]! < threshold) p++;
            const reached = p < picked.length;
            const cell = at(t * recallThresholds.length + r);
            tables.precision.data[cell] = reached ? precision[p]! : 0;
            tables.scores.data[cell] = reached ? scores[picked[p]!]! : 0;
          });
        }
        yield;
      }
    }
  }

  /** Recall after each detection, and the best precision from there on. */
  #curve(picked: Uint32Array, area: number, t: number, objects: number): Record<'recall' | 'precision', Float64Array> {
    const recall = new Float64Array(picked.length);
    const precision = new Float64Array(picked.length);
    const from = (area * this.#thresholds + t) * this.#capacity;
    let [right, wrong] = [0, 0];
    for (let i = 0; i < picked.length; i++) {
      const outcome = this.#outcome[from + picked[i]!];
      if (outcome === RIGHT) right++;
      else if (outcome === WRONG) wrong++;
      recall[i] = right / objects;
      precision[i] = right / (wrong + right + Number.EPSILON);
    }
    for (let i = picked.length - 1; i > 0; i--) {
      if (precision[i]! > precision[i - 1]!) precision[i - 1] = precision[i]!;
    }
    return { recall, precision };
  }
}
