import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, type OptionChecks } from '../runtime/options.js';
import { numbers, tensor, type CountOptions } from './options.js';

/** Options of {@link decodePriors}. */
export interface DecodePriorsOptions extends CountOptions {
  /** i32 [N, K]: the priors of each image to decode; default all. */
  readonly indices?: TensorLike | undefined;
  /** Factors of dx, dy and of dw, dh; default [0.1, 0.2]. */
  readonly variances?: readonly [number, number] | undefined;
}

const OPTIONS = {
  indices: optional(tensor),
  variances: optional(numbers),
  counts: optional(tensor),
} satisfies OptionChecks<DecodePriorsOptions>;

/**
 * Boxes from YOLACT's (SSD's) coding: centre prior + loc * variance * side, side prior * exp(loc * variance), then
 * corners. All arithmetic in f32 in the order of the reference implementation; exp is correctly rounded and not
 * limited; nothing is clipped.
 * @param loc f32 [N, M, 4] (dx, dy, dw, dh)
 * @param priors f32 [M, 4] (cx, cy, w, h)
 * @returns f32 [N, K, 4], or [N, M, 4] without indices (x1, y1, x2, y2, in the units of the priors)
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE; ERR_ARGUMENT when it runs with an index outside [0, M)
 * @see box_utils.decode of dbolya/yolact
 */
export function decodePriors(loc: TensorLike, priors: TensorLike, options: DecodePriorsOptions = {}): SymbolicTensor {
  const { indices, counts, ...attributes } = readOptions('decodePriors', options, OPTIONS);
  const [output] = record('decodePriors', [loc, priors, indices, counts], attributes);
  return withCount(output!, counts, 1);
}
