import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { oneOf, optional, readOptions, type OptionChecks } from '../runtime/options.js';
import { tensor } from './options.js';

/** Options of {@link selectConv2d}. */
export interface SelectConv2dOptions {
  /** f32 [Cout] */
  readonly bias?: TensorLike | undefined;
  /** Applied to the chosen channel; default "none". */
  readonly activation?: 'none' | 'sigmoid' | undefined;
  /** i32 [groups]: only the first counts[g] rows of group g are computed, the others stay unwritten. */
  readonly counts?: TensorLike | undefined;
}

const OPTIONS = {
  bias: optional(tensor),
  activation: optional(oneOf('none', 'sigmoid')),
  counts: optional(tensor),
} satisfies OptionChecks<SelectConv2dOptions>;

/**
 * The output channel of a 1x1 convolution that each row's label names: what `conv2d` and `selectChannel` give, for one
 * of Cout products. A plan that has those two in a row takes this by itself.
 * @param input f32 (on a GPU also f16, bf16) [R, H, W, Cin]
 * @param weight f32 [Cout, Cin, 1, 1], a constant
 * @param labels i32 [R], or [N, K] with N * K = R
 * @returns f32 [R, H, W]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE; ERR_ARGUMENT when it runs with a label outside [0, Cout)
 */
export function selectConv2d(
  input: TensorLike,
  weight: TensorLike,
  labels: TensorLike,
  options: SelectConv2dOptions = {},
): SymbolicTensor {
  const { bias, counts, ...attributes } = readOptions('selectConv2d', options, OPTIONS);
  const [output] = record('selectConv2d', [input, weight, labels, bias, counts], attributes);
  return withCount(output!, counts, 0);
}
