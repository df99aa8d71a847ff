/** Feature pyramid network (Lin et al., 2017) as torchvision.ops.FeaturePyramidNetwork builds it. */
import * as ops from '../ops/index.js';
import type { SymbolicTensor } from '../runtime/graph.js';
import { convNorm } from './layers.js';
import type { Parameters } from './parameters.js';

/**
 * P2 to P5, and P6 as every second element of P5 (torchvision's LastLevelMaxPool).
 * @param features C2 to C5, each [N, H, W, C]
 * @param parameters scope of `inner_blocks` and `layer_blocks`
 */
export function fpn(features: readonly SymbolicTensor[], parameters: Parameters, epsilon: number): SymbolicTensor[] {
  const outputs: SymbolicTensor[] = [];
  let top: SymbolicTensor | undefined;
  for (let level = features.length - 1; level >= 0; level -= 1) {
    const lateral = convNorm(features[level]!, parameters.scope(`inner_blocks.${level}`), epsilon);
    // Nearest neighbour to the lateral's own size: it need not be exactly twice that of the level above.
    const [, height, width] = lateral.shape as [number, number, number];
    const merged = top ? ops.add(lateral, ops.resize(top, { mode: 'nearest', size: [height, width] })) : lateral;
    top = merged;
    outputs.unshift(convNorm(merged, parameters.scope(`layer_blocks.${level}`), epsilon, { padding: 1 }));
  }
  return [...outputs, ops.maxPool2d(outputs.at(-1)!, { kernel: 1, stride: 2 })];
}
