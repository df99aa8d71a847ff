/** DarkNet-53 (Redmon and Farhadi, YOLOv3, 2018) as dbolya/yolact builds it. */
import * as ops from '../ops/index.js';
import type { SymbolicTensor } from '../runtime/graph.js';
import { convNorm } from './layers.js';
import type { Parameters } from './parameters.js';

export interface DarknetConfig {
  /** Residual blocks of each stage. */
  readonly blocks: readonly number[];
  /** Of the leaky ReLU after every normalisation. */
  readonly negativeSlope: number;
}

/**
 * The feature maps of all stages, strides 2, 4, 8, 16 and 32.
 * @param image [N, H, W, 3]
 * @param parameters scope of `_preconv` and `layers`
 */
export function darknet(
  image: SymbolicTensor,
  parameters: Parameters,
  { blocks, negativeSlope }: DarknetConfig,
  epsilon: number,
): SymbolicTensor[] {
  const layer = (x: SymbolicTensor, scope: Parameters, options = {}): SymbolicTensor =>
    ops.relu(convNorm(x, scope, epsilon, options), { negativeSlope });
  let x = layer(image, parameters.scope('_preconv'), { padding: 1 });
  return blocks.map((count, stage) => {
    const scope = parameters.scope(`layers.${stage}`);
    x = layer(x, scope.scope('0'), { stride: 2, padding: 1 });
    for (let block = 1; block <= count; block += 1) {
      const reduced = layer(x, scope.scope(`${block}.conv1`));
      x = ops.add(layer(reduced, scope.scope(`${block}.conv2`), { padding: 1 }), x);
    }
    return x;
  });
}
