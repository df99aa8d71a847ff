/** Bottleneck ResNets (He et al., 2015; v1.5: the stride is on the 3x3 convolution). */
import * as ops from '../ops/index.js';
import type { SymbolicTensor } from '../runtime/graph.js';
import type { BackboneConfig } from '../weights/families/config.js';
import { batchNorm, conv } from './layers.js';
import type { Parameters } from './parameters.js';

function bottleneck(
  input: SymbolicTensor,
  parameters: Parameters,
  stride: number,
  groups: number,
  epsilon: number,
): SymbolicTensor {
  const norm = (x: SymbolicTensor, name: string): SymbolicTensor => batchNorm(x, parameters.scope(name), epsilon);
  const layer = (x: SymbolicTensor, index: number, options = {}): SymbolicTensor =>
    norm(conv(x, parameters.scope(`conv${index}`), options), `bn${index}`);

  const identity = parameters.has('downsample.0.weight')
    ? norm(conv(input, parameters.scope('downsample.0'), { stride }), 'downsample.1')
    : input;
  const reduced = ops.relu(layer(input, 1));
  const spatial = ops.relu(layer(reduced, 2, { stride, padding: 1, groups }));
  return ops.relu(ops.add(layer(spatial, 3), identity));
}

/**
 * The feature maps C2 to C5, strides 4, 8, 16 and 32.
 * @param image [N, H, W, 3]
 * @param parameters scope of `conv1`, `bn1`, `layer1` ...
 */
export function resnet(
  image: SymbolicTensor,
  parameters: Parameters,
  config: BackboneConfig,
  epsilon: number,
): SymbolicTensor[] {
  const stem = ops.relu(
    batchNorm(conv(image, parameters.scope('conv1'), { stride: 2, padding: 3 }), parameters.scope('bn1'), epsilon),
  );
  let x = ops.maxPool2d(stem, { kernel: 3, stride: 2, padding: 1 });
  return config.blocks.map((count, stage) => {
    for (let block = 0; block < count; block += 1) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      x = bottleneck(x, parameters.scope(`layer${stage + 1}.${block}`), stride, config.groups, epsilon);
    }
    return x;
  });
}
