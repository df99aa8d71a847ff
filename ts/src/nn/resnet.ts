/** Bottleneck ResNets and ResNeXts (He et al., 2015; Xie et al., 2017). */
import * as ops from '../ops/index.js';
import type { SymbolicTensor } from '../runtime/graph.js';
import { batchNorm, conv } from './layers.js';
import type { Parameters } from './parameters.js';

/** The 3x3 convolution of a block: deformable (v2) where the checkpoint has offsets for it. */
function spatialConv(input: SymbolicTensor, parameters: Parameters, stride: number, groups: number): SymbolicTensor {
  const options = { stride, padding: 1, groups };
  if (!parameters.has('conv_offset_mask.weight')) return conv(input, parameters, options);
  // Sampling positions are f32, whatever the feature maps are.
  const offset = ops.cast(conv(input, parameters.scope('conv_offset_mask'), { stride, padding: 1 }), 'f32');
  return ops.deformConv2d(input, parameters.get('weight'), offset, {
    ...options,
    packedMask: true,
    maskActivation: 'sigmoid',
    bias: parameters.find('bias'),
  });
}

function bottleneck(
  input: SymbolicTensor,
  parameters: Parameters,
  stride: number,
  { groups, strideIn }: ResnetConfig,
  epsilon: number,
): SymbolicTensor {
  const [first, second] = strideIn === '1x1' ? [stride, 1] : [1, stride];
  const norm = (x: SymbolicTensor, name: string): SymbolicTensor => batchNorm(x, parameters.scope(name), epsilon);
  const identity = parameters.has('downsample.0.weight')
    ? norm(conv(input, parameters.scope('downsample.0'), { stride }), 'downsample.1')
    : input;
  const reduced = ops.relu(norm(conv(input, parameters.scope('conv1'), { stride: first }), 'bn1'));
  const spatial = ops.relu(norm(spatialConv(reduced, parameters.scope('conv2'), second, groups), 'bn2'));
  return ops.relu(ops.add(norm(conv(spatial, parameters.scope('conv3')), 'bn3'), identity));
}

/** The parts of a ResNet's shape that its weights' own shapes do not give. */
export interface ResnetConfig {
  /** Blocks of each stage, C2 to C5. */
  readonly blocks: readonly number[];
  /** Groups of the 3x3 convolutions. */
  readonly groups: number;
  /** Which convolution of a stage's first block has the stride: the first (He et al.), or the second (v1.5). */
  readonly strideIn: '1x1' | '3x3';
}

/**
 * The feature maps C2 to C5, strides 4, 8, 16 and 32.
 * @param image [N, H, W, 3]
 * @param parameters scope of `conv1`, `bn1` and the stages
 * @param stageName scope of a stage, from 0: `layer1` in torchvision, `layers.0` in YOLACT
 */
export function resnet(
  image: SymbolicTensor,
  parameters: Parameters,
  config: ResnetConfig,
  epsilon: number,
  stageName: (stage: number) => string,
): SymbolicTensor[] {
  const stem = ops.relu(
    batchNorm(conv(image, parameters.scope('conv1'), { stride: 2, padding: 3 }), parameters.scope('bn1'), epsilon),
  );
  let x = ops.maxPool2d(stem, { kernel: 3, stride: 2, padding: 1 });
  return config.blocks.map((count, stage) => {
    for (let block = 0; block < count; block += 1) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      x = bottleneck(x, parameters.scope(`${stageName(stage)}.${block}`), stride, config, epsilon);
    }
    return x;
  });
}
