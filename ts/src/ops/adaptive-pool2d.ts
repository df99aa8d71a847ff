import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, oneOf, type OptionChecks } from '../runtime/options.js';
import { pair, tensor, type Pair } from './options.js';

/** Options of {@link adaptivePool2d}. */
export interface AdaptivePool2dOptions {
  /** Size of the output; 1 pools each whole plane. */
  readonly output: Pair;
  /** Default "avg". */
  readonly kind?: 'avg' | 'max' | undefined;
  /** i32 [groups]: only the first counts[g] of the planes of group g are pooled, the others stay unwritten. */
  readonly counts?: TensorLike | undefined;
}

const OPTIONS = {
  output: pair(1),
  kind: optional(oneOf('avg', 'max')),
  counts: optional(tensor),
} satisfies OptionChecks<AdaptivePool2dOptions>;

/**
 * Pools to a given size: cell i of `output` cells covers floor(i * size / output) to ceil((i + 1) * size / output).
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, C], H and W at least 1
 * @returns the input's dtype, [N, output, output, C]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.adaptive_avg_pool2d, adaptive_max_pool2d
 */
export function adaptivePool2d(input: TensorLike, options: AdaptivePool2dOptions): SymbolicTensor {
  const { counts, ...attributes } = readOptions('adaptivePool2d', options, OPTIONS);
  const [pooled] = record('adaptivePool2d', [input, counts], attributes);
  return withCount(pooled!, counts, 0);
}
