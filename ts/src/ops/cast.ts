import { record, SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import { DTYPES, type DType } from '../runtime/tensor.js';
import { requireOneOf } from '../runtime/validate.js';

/**
 * The same numbers in another dtype. Between f32, f16 and bf16 they are rounded to the nearest (ties to even), beyond
 * the largest to infinity; f32 to i32 or u8 drops the fraction and stays within the integer's range, NaN giving 0; i32
 * and u8 to f32 are rounded to the nearest. Integers and half precision meet by way of f32.
 * @param input any dtype and shape; a symbolic tensor that already has `dtype` is returned as it is
 * @returns `dtype`, the input's shape
 * @throws InstasegError ERR_ARGUMENT, ERR_DTYPE
 */
export function cast(input: TensorLike, dtype: DType): SymbolicTensor {
  requireOneOf('dtype', dtype, DTYPES);
  if (input instanceof SymbolicTensor && input.dtype === dtype) return input;
  return record('cast', [input], { dtype })[0]!;
}
