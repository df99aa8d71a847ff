import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, number, type OptionChecks } from '../runtime/options.js';
import { numbers, tensor, type CountOptions } from './options.js';

/** Options of {@link decodeBoxes}. */
export interface DecodeBoxesOptions extends CountOptions {
  /** Divisors of dx, dy, dw, dh; default 1 each. */
  readonly weights?: readonly number[] | undefined;
  /** Upper limit of dw and dh before exp; default log(1000 / 16). */
  readonly clip?: number | undefined;
}

const OPTIONS = {
  weights: optional(numbers),
  clip: optional(number()),
  counts: optional(tensor),
} satisfies OptionChecks<DecodeBoxesOptions>;

/**
 * Boxes moved and stretched by regression deltas: centre + d * side, side * exp(d). All arithmetic in f32; exp is
 * correctly rounded, the same on every device.
 * @param boxes f32 [N, K, 4] (x1, y1, x2, y2), or [1, K, 4] or [K, 4], which serve every image
 * @param deltas f32 [N, K, C * 4] (dx, dy, dw, dh of each of C classes), or [rows, C * 4] with a row for each box
 * @returns f32 [N, K, C, 4], or [K, C, 4] where both inputs have two dimensions
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torchvision.models.detection._utils.BoxCoder.decode (Ren et al., Faster R-CNN, 2015)
 */
export function decodeBoxes(boxes: TensorLike, deltas: TensorLike, options: DecodeBoxesOptions = {}): SymbolicTensor {
  const { counts, ...attributes } = readOptions('decodeBoxes', options, OPTIONS);
  const [output] = record('decodeBoxes', [boxes, deltas, counts], attributes);
  return withCount(output!, counts, output!.shape.length === 4 ? 1 : 0);
}
