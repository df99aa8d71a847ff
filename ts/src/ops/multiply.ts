import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';

/**
 * a * b, element by element.
 * @param a f32 (on a GPU also f16, bf16), any shape
 * @param b dtype and shape of a
 * @returns that dtype and shape
 * @throws InstasegError ERR_SHAPE where the shapes differ, ERR_DTYPE
 */
export function multiply(a: TensorLike, b: TensorLike): SymbolicTensor {
  return record('multiply', [a, b], {})[0]!;
}
