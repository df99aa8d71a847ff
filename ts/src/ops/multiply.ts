import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';

/**
 * a * b, element by element.
 * @param a f32, any shape
 * @param b f32, the same shape
 * @returns that shape
 * @throws InstasegError ERR_SHAPE where the shapes differ, ERR_DTYPE
 */
export function multiply(a: TensorLike, b: TensorLike): SymbolicTensor {
  return record('multiply', [a, b], {})[0]!;
}
