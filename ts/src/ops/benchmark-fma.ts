import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { readOptions, optional, finite, integer, type OptionChecks } from '../runtime/options.js';

export interface BenchmarkFmaOptions {
  /** Steps of each element, each after the one before. */
  readonly length: number;
  /** Default 1. */
  readonly factor?: number | undefined;
  /** Default 0. */
  readonly addend?: number | undefined;
}

const OPTIONS = {
  length: integer(0),
  factor: optional(finite),
  addend: optional(finite),
} satisfies OptionChecks<BenchmarkFmaOptions>;

/**
 * x = x * factor + addend, `length` times: the arithmetic that a device does at most, as `instaseg bench` measures it.
 * Fused where the kernel's instruction set has that.
 * @param input f32 [C]
 * @returns f32 [C]
 * @throws InstasegError ERR_ARGUMENT, ERR_SHAPE, ERR_DTYPE
 */
export function benchmarkFma(input: TensorLike, options: BenchmarkFmaOptions): SymbolicTensor {
  return record('benchmarkFma', [input], readOptions('benchmarkFma', options, OPTIONS))[0]!;
}
