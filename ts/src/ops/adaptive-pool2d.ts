import { record, withCount, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { invalid, requireOneOf } from '../runtime/validate.js';
import { requirePair, type Pair } from './conv2d.js';

/** Options of {@link adaptivePool2d}. */
export interface AdaptivePool2dOptions {
  /** Size of the output; 1 pools each whole plane. */
  readonly output: Pair;
  /** Default "avg". */
  readonly kind?: 'avg' | 'max' | undefined;
  /** i32 [groups]: only the first counts[g] of the planes of group g are pooled, the others stay unwritten. */
  readonly counts?: TensorLike | undefined;
}

/**
 * Pools to a given size: cell i of `output` cells covers floor(i * size / output) to ceil((i + 1) * size / output).
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, C], H and W at least 1
 * @returns the input's dtype, [N, output, output, C]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 * @see torch.nn.functional.adaptive_avg_pool2d, adaptive_max_pool2d
 */
export function adaptivePool2d(input: TensorLike, options: AdaptivePool2dOptions): SymbolicTensor {
  const output = requirePair('output', options?.output, 1);
  if (output === undefined) throw invalid('output', 'an integer of at least 1, or two of them as [y, x]', output);
  const { kind, counts } = options;
  const [pooled] = record('adaptivePool2d', [input, counts], {
    output,
    kind: kind === undefined ? undefined : requireOneOf('kind', kind, ['avg', 'max']),
  });
  return withCount(pooled!, counts, 0);
}
