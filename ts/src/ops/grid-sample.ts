import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, type OptionChecks } from '../runtime/options.js';

/** Options of {@link gridSample}. */
export interface GridSampleOptions {
  /** Whether -1 and 1 are the centres of the border pixels instead of their outer edges; default false. */
  readonly alignCorners?: boolean | undefined;
}

const OPTIONS = { alignCorners: optional(flag) } satisfies OptionChecks<GridSampleOptions>;

/**
 * Samples images bilinearly at given places; what lies outside is 0, and so are NaN and infinite places.
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, C]
 * @param grid f32 [N, OH, OW, 2]: (x, y), where -1 to 1 spans the image
 * @returns the input's dtype, [N, OH, OW, C]
 * @throws InstasegError ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.grid_sample
 */
export function gridSample(input: TensorLike, grid: TensorLike, options: GridSampleOptions = {}): SymbolicTensor {
  return record('gridSample', [input, grid], readOptions('gridSample', options, OPTIONS))[0]!;
}
