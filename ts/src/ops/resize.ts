import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, flag, oneOf, type Check, type OptionChecks } from '../runtime/options.js';
import { invalid } from '../runtime/validate.js';
import { pair, type Pair } from './options.js';

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

const factors: Check<number[]> = (name, value) => {
  const fits = (factor: unknown): factor is number => Number.isFinite(factor) && (factor as number) > 0;
  const both: unknown[] = Array.isArray(value) ? value : [value, value];
  if (both.length === 2 && both.every(fits)) return [...both];
  throw invalid(name, 'a positive number, or two of them as [y, x]', value);
};

const OPTIONS = {
  mode: optional(oneOf('bilinear', 'nearest', 'nearestExact')),
  size: optional(pair(1)),
  scale: optional(factors),
  alignCorners: optional(flag),
  recomputeScale: optional(flag),
} satisfies OptionChecks<ResizeOptions>;

/**
 * Resizes images or feature maps, without antialiasing.
 * @param input f32 (on a GPU also f16, bf16) [N, H, W, C], H and W at least 1
 * @returns the input's dtype, [N, OH, OW, C]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE where a factor leaves no pixel
 * @see torch.nn.functional.interpolate (the coordinates are rounded as its CPU kernels round them)
 */
export function resize(input: TensorLike, options: ResizeOptions): SymbolicTensor {
  return record('resize', [input], readOptions('resize', options, OPTIONS))[0]!;
}
