/** Objects and detections, by class and image. */

/** Positions in the lists of objects and detections. */
export interface Group {
  /** Index of the image. */
  readonly image: number;
  readonly objects: Uint32Array;
  readonly detections: Uint32Array;
}

/** Where an object or a detection belongs: indices of its image and category, -1 where it takes no part. */
export interface Place {
  readonly image: number;
  readonly category: number;
}

/** A list ordered by class, then image, then category, then as it was. */
export class Grouping {
  readonly #order: Uint32Array;
  readonly #image: Int32Array;
  /** Where each class starts in the order, and the end. */
  readonly #starts: Uint32Array;

  /** `merge`: one class for all categories. */
  constructor(places: readonly Place[], images: number, categories: number, merge: boolean) {
    const image = Int32Array.from(places, (place) => place.image);
    const category = Int32Array.from(places, (place) => place.category);
    const inside = Uint32Array.from(places.keys()).filter((i) => image[i]! >= 0 && category[i]! >= 0);
    this.#image = image;
    if (merge) {
      this.#order = sortBy(sortBy(inside, category, categories).order, image, images).order;
      this.#starts = Uint32Array.of(0, inside.length);
    } else {
      const sorted = sortBy(sortBy(inside, image, images).order, category, categories);
      this.#order = sorted.order;
      this.#starts = sorted.starts;
    }
  }

  /** Members of class `k`. */
  size(k: number): number {
    return this.#starts[k + 1]! - this.#starts[k]!;
  }

  /** The images in which class `k` has objects or detections, ascending. */
  static *images(objects: Grouping, detections: Grouping, k: number): Generator<Group, void, undefined> {
    let [g, d] = [objects.#starts[k]!, detections.#starts[k]!];
    const [gEnd, dEnd] = [objects.#starts[k + 1]!, detections.#starts[k + 1]!];
    while (g < gEnd || d < dEnd) {
      const image = Math.min(g < gEnd ? objects.#imageAt(g) : Infinity, d < dEnd ? detections.#imageAt(d) : Infinity);
      const [gFirst, dFirst] = [g, d];
      while (g < gEnd && objects.#imageAt(g) === image) g++;
      while (d < dEnd && detections.#imageAt(d) === image) d++;
      yield {
        image,
        objects: objects.#order.subarray(gFirst, g),
        detections: detections.#order.subarray(dFirst, d),
      };
    }
  }

  #imageAt(position: number): number {
    return this.#image[this.#order[position]!]!;
  }
}

/** A stable counting sort of `list` by `key[item]`, 0 to count - 1; and where each key starts. */
function sortBy(list: Uint32Array, key: Int32Array, count: number): { order: Uint32Array; starts: Uint32Array } {
  const starts = new Uint32Array(count + 1);
  for (const item of list) starts[key[item]! + 1]!++;
  for (let i = 0; i < count; i++) starts[i + 1]! += starts[i]!;
  const next = starts.slice();
  const order = new Uint32Array(list.length);
  for (const item of list) order[next[key[item]!]!++] = item;
  return { order, starts };
}
