import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, number, type OptionChecks } from '../runtime/options.js';
import { tensor, type CountOptions } from './options.js';

/** Options of {@link assembleMasks}. */
export interface AssembleMasksOptions extends CountOptions {
  /** Cells added around a box; default 1. */
  readonly padding?: number | undefined;
}

const OPTIONS = { padding: optional(number(0)), counts: optional(tensor) } satisfies OptionChecks<AssembleMasksOptions>;

/**
 * YOLACT's masks: sigmoid(prototypes * coefficients) in the cells of the box, 0 outside. A cell is in the box when
 * x1 * PW - padding <= column < x2 * PW + padding, and likewise for rows, in f32 without rounding; reversed sides are
 * swapped; a NaN coordinate leaves no cell.
 * @param prototypes f32 (on a GPU also f16, bf16) [N, PH, PW, K]
 * @param coefficients f32, or the dtype of the prototypes, [N, D, K]
 * @param boxes f32 [N, D, 4] (x1, y1, x2, y2, relative to the image)
 * @returns [N * D, PH, PW, 1] in the dtype of the prototypes; sums are f32
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see output_utils.postprocess and box_utils.crop of dbolya/yolact
 */
export function assembleMasks(
  prototypes: TensorLike,
  coefficients: TensorLike,
  boxes: TensorLike,
  options: AssembleMasksOptions = {},
): SymbolicTensor {
  const { counts, ...attributes } = readOptions('assembleMasks', options, OPTIONS);
  const [output] = record('assembleMasks', [prototypes, coefficients, boxes, counts], attributes);
  return withCount(output!, counts, 0);
}
