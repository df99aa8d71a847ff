import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { invalid, requireOneOf } from '../runtime/validate.js';
import { requirePair, type Pair } from './conv2d.js';

/** Options of {@link resize}. */
export interface ResizeOptions {
  /** "nearestExact" takes the pixel under the centre, "nearest" rounds down as PyTorch's older mode; default "bilinear". */
  readonly mode?: 'bilinear' | 'nearest' | 'nearestExact' | undefined;
  /** Height and width of the output. Give this or `scale`. */
  readonly size?: Pair | undefined;
  /** Factor, or factors [y, x]; the output has floor(input * factor) pixels. */
  readonly scale?: number | readonly [number, number] | undefined;
  /** Bilinear only: corner pixels map to corner pixels instead of edges to edges; default false. */
  readonly alignCorners?: boolean | undefined;
  /** With `scale`: coordinates follow the sizes, output / input, instead of the given factor; default false. */
  readonly recomputeScale?: boolean | undefined;
}

function requireScale(value: unknown): number[] {
  const pair: unknown[] = Array.isArray(value) ? value : [value, value];
  const fits = (factor: unknown): factor is number => Number.isFinite(factor) && (factor as number) > 0;
  if (pair.length !== 2 || !pair.every(fits))
    throw invalid('scale', 'a positive number, or two of them as [y, x]', value);
  return pair;
}

/**
 * Resizes images or feature maps, without antialiasing.
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, C], H and W at least 1
 * @returns the input's dtype, [N, OH, OW, C]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE where a factor leaves no pixel
 * @see torch.nn.functional.interpolate (the coordinates are rounded as its CPU kernels round them)
 */
export function resize(input: TensorLike, options: ResizeOptions): SymbolicTensor {
  const { mode, size, scale, alignCorners, recomputeScale } = options;
  return record('resize', [input], {
    mode: mode === undefined ? undefined : requireOneOf('mode', mode, ['bilinear', 'nearest', 'nearestExact']),
    size: requirePair('size', size, 1),
    scale: scale === undefined ? undefined : requireScale(scale),
    alignCorners,
    recomputeScale,
  })[0]!;
}
