import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions } from '../runtime/options.js';
import { PASTE_OPTIONS, type PasteMasksOptions } from './paste-masks.js';

/** Masks as run lengths, see {@link pasteMasksRle}. */
export interface RleMasks {
  /** i32 [N, K, 4]: x, y, width and height of the part of the image that the mask was computed in. */
  readonly regions: SymbolicTensor;
  /** i32 [N, K]: first run of each mask. */
  readonly offsets: SymbolicTensor;
  /** i32 [N, K]: number of runs of each mask, at least 1. */
  readonly runCounts: SymbolicTensor;
  /** i32, to be read as unsigned (new Uint32Array(runs.data.buffer)); its length is known when the plan has run. */
  readonly runs: SymbolicTensor;
}

/**
 * The masks of `pasteMasks` as run lengths of the whole original image in column-major order, zeros first (COCO's
 * uncompressed RLE), computed within the boxes only.
 * @param masks f32 probabilities [N, K, mh, mw], or [N * K, mh, mw]
 * @param boxes f32 [N, K, 4] (x1, y1, x2, y2) in the original images
 * @param sizes i32 [N, 4], of which height and width of the original image come first
 * @throws InstasegError ERR_ARGUMENT (also when it runs on an image of 2^32 pixels or more), ERR_SHAPE, ERR_DTYPE
 * @see pycocotools.mask.encode
 */
export function pasteMasksRle(
  masks: TensorLike,
  boxes: TensorLike,
  sizes: TensorLike,
  options: PasteMasksOptions = {},
): RleMasks {
  const { counts, ...attributes } = readOptions('pasteMasksRle', options, PASTE_OPTIONS);
  const outputs = record('pasteMasksRle', [masks, boxes, sizes, counts], attributes);
  const [regions, offsets, runCounts] = outputs.slice(0, 3).map((output) => withCount(output, counts, 1));
  return { regions: regions!, offsets: offsets!, runCounts: runCounts!, runs: outputs[3]! };
}
