/** The mask branch of Mask R-CNN (He et al., 2017) as torchvision.models.detection.mask_rcnn builds it. */
import * as ops from '../ops/index.js';
import type { SymbolicTensor } from '../runtime/graph.js';
import type { MaskConfig } from '../weights/families/config.js';
import { conv, convNorm } from './layers.js';
import type { Parameters } from './parameters.js';

/**
 * 3x3 convolutions with ReLU.
 * @param pooled [rows, S, S, C] from RoIAlign; only the rows of `counts` are computed
 */
export function maskHead(
  pooled: SymbolicTensor,
  counts: SymbolicTensor,
  parameters: Parameters,
  config: Pick<MaskConfig, 'convs'>,
  epsilon: number,
): SymbolicTensor {
  return config.convs.reduce(
    (x, _, i) => ops.relu(convNorm(x, parameters.scope(String(i)), epsilon, { padding: 1, counts })),
    pooled,
  );
}

/** 2x2 transposed convolution with ReLU, then one mask of logits a class: [rows, 2S, 2S, classes]. */
export function maskPredictor(
  features: SymbolicTensor,
  counts: SymbolicTensor,
  parameters: Parameters,
): SymbolicTensor {
  const upsample = parameters.scope('conv5_mask');
  const larger = ops.relu(
    ops.convTranspose2d(features, upsample.get('weight'), { bias: upsample.get('bias'), stride: 2, counts }),
  );
  return conv(larger, parameters.scope('mask_fcn_logits'), { counts });
}
