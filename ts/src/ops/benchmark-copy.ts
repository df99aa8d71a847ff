import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';

/**
 * The input, copied past the caches: the bandwidth that memory gives at most, as `instaseg bench` measures it.
 * @param input f32, any shape
 * @returns the same
 * @throws InstasegError ERR_DTYPE
 */
export function benchmarkCopy(input: TensorLike): SymbolicTensor {
  return record('benchmarkCopy', [input], {})[0]!;
}
