import { record, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';

/**
 * Intersection over union of every box of `a` with every box of `b`. Two empty boxes give NaN (0 / 0).
 * @param a f32 [N, 4] (x1, y1, x2, y2)
 * @param b f32 [M, 4]
 * @returns f32 [N, M]
 * @throws InstasegError ERR_SHAPE, ERR_DTYPE
 * @see torchvision.ops.box_iou
 */
export function boxIou(a: TensorLike, b: TensorLike): SymbolicTensor {
  return record('boxIou', [a, b], {})[0]!;
}
