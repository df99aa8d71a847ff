/** Which detection found which object: one image, one category. */

/** A range of object sizes in square pixels; both ends belong to it. */
export interface AreaRange {
  readonly name: string;
  readonly min: number;
  readonly max: number;
}

/** The objects and detections of one image and category. */
export interface MatchInput {
  /** IoU of each detection with each object, `dtIds.length` rows of `gtIds.length`. */
  readonly ious: Float64Array;
  readonly gtIds: Float64Array;
  readonly gtAreas: Float64Array;
  readonly gtCrowd: Uint8Array;
  /** Best score first; above 0. */
  readonly dtIds: Float64Array;
  readonly dtAreas: Float64Array;
}

/** `T`: IoU thresholds; `D`: detections, best score first; `G`: objects, those that do not count last. */
export interface Matches {
  /** Position of each object in the input. */
  readonly gtOrder: Uint32Array;
  /** G: 1 for an object that does not count: a crowd, or of another size. */
  readonly gtIgnore: Uint8Array;
  /** T x G: id of the detection, 0 for none. Of a crowd the last one. */
  readonly gtMatches: Float64Array;
  /** T x D: id of the object, 0 for none. */
  readonly dtMatches: Float64Array;
  /** T x D: 1 for a detection that is neither right nor wrong. */
  readonly dtIgnore: Uint8Array;
}

/**
 * Greedy matching as pycocotools does it (`COCOeval.evaluateImg`): by descending score, each detection takes the object
 * of highest IoU that is still free and reaches the threshold, the last one of equals. Objects that do not count are
 * taken only where no other would do, crowds any number of times; whoever takes one does not count either, nor does an
 * unmatched detection of another size.
 *
 * An object with id 0 looks like none in `dtMatches`: the detection then counts as wrong. So it is in pycocotools.
 */
export function matchDetections(input: MatchInput, area: AreaRange, iouThresholds: readonly number[]): Matches {
  const { ious, gtIds, gtAreas, gtCrowd, dtIds, dtAreas } = input;
  const [T, G, D] = [iouThresholds.length, gtIds.length, dtIds.length];
  const outside = (size: number): boolean => size < area.min || size > area.max;

  const gtOrder = new Uint32Array(G);
  const gtIgnore = new Uint8Array(G);
  let counting = 0;
  for (let g = 0; g < G; g++) if (gtCrowd[g] === 0 && !outside(gtAreas[g]!)) gtOrder[counting++] = g;
  for (let g = 0, last = counting; g < G; g++) if (gtCrowd[g] !== 0 || outside(gtAreas[g]!)) gtOrder[last++] = g;
  gtIgnore.fill(1, counting);

  const gtMatches = new Float64Array(T * G);
  const dtMatches = new Float64Array(T * D);
  const dtIgnore = new Uint8Array(T * D);
  for (let t = 0; t < T; t++) {
    const threshold = Math.min(iouThresholds[t]!, 1 - 1e-10);
    for (let d = 0; d < D; d++) {
      let best = threshold;
      let match = -1;
      for (let g = 0; g < G; g++) {
        const position = gtOrder[g]!;
        if (gtMatches[t * G + g]! > 0 && gtCrowd[position] === 0) continue;
        if (g >= counting && match > -1 && match < counting) break;
        const iou = ious[d * G + position]!;
        if (iou < best) continue;
        best = iou;
        match = g;
      }
      if (match > -1) {
        dtIgnore[t * D + d] = gtIgnore[match]!;
        dtMatches[t * D + d] = gtIds[gtOrder[match]!]!;
        gtMatches[t * G + match] = dtIds[d]!;
      }
      if (dtMatches[t * D + d] === 0 && outside(dtAreas[d]!)) dtIgnore[t * D + d] = 1;
    }
  }
  return { gtOrder, gtIgnore, gtMatches, dtMatches, dtIgnore };
}
