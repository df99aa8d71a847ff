import { InstasegError } from '../../runtime/errors.js';
import { classList } from '../coco-classes.js';
import { refuseProblem } from './check-config.js';
import { isTrainingCounter } from './check-weights.js';
import {
  type BoxConfig,
  type ConfigOverrides,
  configFromMetadata,
  type MaskRcnnConfig,
  overrideConfig,
} from './config.js';
import { maskRcnnFields } from './mask-rcnn-config.js';
import { canonicalNames } from './names.js';
import { countNames, renamed, type Shapes, size, TensorList } from './shapes.js';

// torchvision's Mask R-CNN on a ResNet with FPN: maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2, and what is built of
// the same parts (torchvision/models/detection). Shapes below are PyTorch's: [out, in, height, width].

/** How names changed in torchvision 0.13, which renames them on loading too. */
const RENAMES: readonly (readonly [RegExp, (match: RegExpMatchArray) => string])[] = [
  [
    /^backbone\.fpn\.(inner|layer)_blocks\.(\d+)\.(weight|bias)$/,
    ([, kind, i, leaf]) => `backbone.fpn.${kind}_blocks.${i}.0.${leaf}`,
  ],
  [/^rpn\.head\.conv\.(weight|bias)$/, ([, leaf]) => `rpn.head.conv.0.0.${leaf}`],
  [
    /^roi_heads\.mask_head\.mask_fcn(\d+)\.(weight|bias)$/,
    ([, i, leaf]) => `roi_heads.mask_head.${Number(i) - 1}.0.${leaf}`,
  ],
];

/**
 * Current names for the names of a torchvision state dict, old or current, in the same order. Prefixes that wrappers
 * add to all names (`module.` and the like) are removed. ERR_WEIGHTS if two names become one.
 */
export const canonicalTorchvisionNames = (names: Iterable<string>): Map<string, string> =>
  canonicalNames(names, renameOld);

function renameOld(name: string): string {
  for (const [pattern, rename] of RENAMES) {
    const match = pattern.exec(name);
    if (match) return rename(match);
  }
  return name;
}

const STAGES = [1, 2, 3, 4] as const;

/** What torchvision's builders set, whatever the weights are. */
const DEFAULTS = {
  image: {
    channelOrder: 'rgb',
    scale: 1 / 255,
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
    normalizeBeforeResize: true,
    minSize: 800,
    maxSize: 1333,
    sizeDivisor: 32,
    resizeRounding: 'floor',
    antialias: false,
  },
  anchors: { sizes: [[32], [64], [128], [256], [512]], ratios: [0.5, 1, 2], rounding: 'round-half-even' },
  rpn: {
    preNmsTopN: 1000,
    postNmsTopN: 1000,
    nmsThreshold: 0.7,
    minSize: 1e-3,
    scoreThreshold: 0,
    coderWeights: [1, 1, 1, 1],
    coderClamp: Math.log(1000 / 16),
  },
  roiAlign: { aligned: false, samplingRatio: 2, maskSize: 14, levelEps: 1e-6, canonicalScale: 224, canonicalLevel: 4 },
  box: {
    scoreThreshold: 0.05,
    nmsThreshold: 0.5,
    maxDetections: 100,
    minSize: 1e-2,
    coderWeights: [10, 10, 5, 5],
    coderClamp: Math.log(1000 / 16),
    background: 'first',
  },
  mask: { paste: 'torchvision', threshold: 0.5 },
} as const;

/**
 * The configuration of torchvision Mask R-CNN weights, from the metadata if the converter recorded it and otherwise from
 * the names and shapes, or undefined if the weights are of another family. Old names are understood.
 *
 * One thing cannot be seen in a file: the epsilon of FrozenBatchNorm. The published COCO weights use 0, and so does
 * anything fine-tuned from them; for a model that was started from ImageNet weights alone, pass
 * `batchNormEpsilon: 1e-5`. Networks with trainable normalisation (`num_batches_tracked`, or a normalised FPN) use 1e-5.
 *
 * Throws ERR_UNSUPPORTED for a ResNet of basic blocks (18 and 34), ERR_CHECKPOINT for broken metadata, ERR_ARGUMENT for
 * overrides that do not fit. Whether the tensors are complete is for `checkWeights` to say.
 */
export function inferTorchvision(
  tensors: Shapes,
  metadata: Readonly<Record<string, string>> = {},
  overrides: ConfigOverrides = {},
): MaskRcnnConfig | undefined {
  const recorded = configFromMetadata(metadata);
  if (recorded) return recorded.family === 'torchvision' ? overrideConfig(recorded, overrides) : undefined;
  const shapes = renamed(tensors, canonicalTorchvisionNames(tensors.keys()));
  const needed = ['backbone.body.conv1', 'rpn.head.cls_logits', 'roi_heads.mask_predictor.mask_fcn_logits'];
  if (!needed.every((layer) => shapes.has(`${layer}.weight`))) return undefined;
  return overrideConfig(inferConfig(shapes), overrides);
}

function inferConfig(shapes: Shapes): MaskRcnnConfig {
  const numClasses = size(shapes, 'roi_heads.box_predictor.cls_score.weight', 0);
  const backbone = inferBackbone(shapes);
  const channels = size(shapes, 'backbone.fpn.layer_blocks.0.0.weight', 0);
  const norm = shapes.has('backbone.fpn.layer_blocks.0.1.running_mean');
  const trainable = norm || [...shapes.keys()].some(isTrainingCounter);
  const { head, boxSize } = inferBoxHead(shapes);
  const convDepth = countNames(shapes, (i) => `rpn.head.conv.${i}.0.weight`);
  return {
    family: 'torchvision',
    model: modelName(backbone.blocks, norm && head.kind === 'conv+fc'),
    numClasses,
    ...classList(numClasses),
    image: DEFAULTS.image,
    backbone,
    batchNorm: { kind: trainable ? 'batch' : 'frozen', epsilon: trainable ? 1e-5 : 0 },
    fpn: { channels, norm },
    anchors: DEFAULTS.anchors,
    rpn: { convDepth: Math.max(convDepth, 1), ...DEFAULTS.rpn },
    roiAlign: { boxSize, ...DEFAULTS.roiAlign },
    box: { head, ...DEFAULTS.box },
    mask: {
      convs: convWidths(shapes, 'roi_heads.mask_head'),
      norm: shapes.has('roi_heads.mask_head.0.1.running_mean'),
      predictor: size(shapes, 'roi_heads.mask_predictor.conv5_mask.weight', 1),
      ...DEFAULTS.mask,
    },
  };
}

function inferBackbone(shapes: Shapes): MaskRcnnConfig['backbone'] {
  const body = 'backbone.body';
  if (!shapes.has(`${body}.layer1.0.conv3.weight`) && shapes.has(`${body}.layer1.0.conv2.weight`)) {
    throw new InstasegError(
      'ERR_UNSUPPORTED',
      'Backbones of basic residual blocks (ResNet-18 and 34) are not supported',
    );
  }
  const widths = STAGES.map((stage) => size(shapes, `${body}.layer${stage}.0.conv2.weight`, 0));
  return {
    blocks: STAGES.map((stage) =>
      Math.max(
        1,
        countNames(shapes, (i) => `${body}.layer${stage}.${i}.conv1.weight`),
      ),
    ),
    stem: size(shapes, `${body}.conv1.weight`, 0),
    widths,
    outputs: STAGES.map((stage) => size(shapes, `${body}.layer${stage}.0.conv3.weight`, 0)),
    groups: Math.max(1, Math.floor((widths[0] ?? 1) / size(shapes, `${body}.layer1.0.conv2.weight`, 1))),
    strideIn: '3x3',
  };
}

/** Widths of numbered convolutions, at least one. */
function convWidths(shapes: Shapes, prefix: string): number[] {
  const depth = countNames(shapes, (i) => `${prefix}.${i}.0.weight`);
  return Array.from({ length: Math.max(depth, 1) }, (_, i) => size(shapes, `${prefix}.${i}.0.weight`, 0));
}

/** The first dense layer sees boxSize x boxSize positions of the last convolution, or of the FPN. */
function inferBoxHead(shapes: Shapes): { head: BoxConfig['head']; boxSize: number } {
  const prefix = 'roi_heads.box_head';
  const bins = (layer: string, channels: number): number =>
    Math.max(1, Math.round(Math.sqrt(size(shapes, `${prefix}.${layer}.weight`, 1) / channels)));
  if (!shapes.has(`${prefix}.0.0.weight`)) {
    const fcs = ['fc6', 'fc7'].map((layer) => size(shapes, `${prefix}.${layer}.weight`, 0));
    return { head: { kind: 'fc', fcs }, boxSize: bins('fc6', size(shapes, 'backbone.fpn.layer_blocks.0.0.weight', 0)) };
  }
  const convs = convWidths(shapes, prefix);
  const dense = denseLayers(convs.length, (layer) => shapes.has(`${prefix}.${layer}.weight`));
  const fcs = dense.map((layer) => size(shapes, `${prefix}.${layer}.weight`, 0));
  const boxSize = bins(`${convs.length + 1}`, convs.at(-1) as number);
  return { head: { kind: 'conv+fc', convs, fcs: fcs.length > 0 ? fcs : [1] }, boxSize };
}

/** Positions of the dense layers in the sequence convolutions, flatten, (dense, ReLU), (dense, ReLU) ... */
function denseLayers(convs: number, exists: (layer: number) => boolean): number[] {
  const layers: number[] = [];
  for (let layer = convs + 1; exists(layer); layer += 2) layers.push(layer);
  return layers;
}

/** The published models by their names in torchvision, others by their parts. */
function modelName(blocks: readonly number[], v2: boolean): string {
  const depth = { '3,4,6,3': '50', '3,4,23,3': '101', '3,8,36,3': '152' }[blocks.join()] ?? '';
  return `maskrcnn_resnet${depth}_fpn${v2 ? '_v2' : ''}`;
}

/**
 * Names and shapes of all tensors that a configuration needs, in the order of the state dict, without the
 * `num_batches_tracked` counters. A forward pass looks its weights up under these names.
 */
export function torchvisionTensors(config: MaskRcnnConfig): Map<string, number[]> {
  refuseProblem(maskRcnnFields(config, 'config'));
  const list = new TensorList();
  const { backbone, fpn, rpn, roiAlign, box, mask, numClasses, anchors } = config;

  /** torchvision's Conv2dNormActivation. */
  const block = (name: string, shape: number[], norm: boolean): void =>
    norm ? list.normed(`${name}.0`, `${name}.1`, shape) : list.layer(`${name}.0`, shape);

  list.normed('backbone.body.conv1', 'backbone.body.bn1', [backbone.stem, 3, 7, 7]);
  let inputs = backbone.stem;
  backbone.blocks.forEach((count, stage) => {
    const width = backbone.widths[stage] as number;
    const outputs = backbone.outputs[stage] as number;
    for (let i = 0; i < count; i++) {
      const name = `backbone.body.layer${stage + 1}.${i}`;
      list.normed(`${name}.conv1`, `${name}.bn1`, [width, inputs, 1, 1]);
      list.normed(`${name}.conv2`, `${name}.bn2`, [width, width / backbone.groups, 3, 3]);
      list.normed(`${name}.conv3`, `${name}.bn3`, [outputs, width, 1, 1]);
      if (i === 0) list.normed(`${name}.downsample.0`, `${name}.downsample.1`, [outputs, inputs, 1, 1]);
      inputs = outputs;
    }
  });

  const { channels } = fpn;
  backbone.outputs.forEach((width, i) => block(`backbone.fpn.inner_blocks.${i}`, [channels, width, 1, 1], fpn.norm));
  backbone.outputs.forEach((_, i) => block(`backbone.fpn.layer_blocks.${i}`, [channels, channels, 3, 3], fpn.norm));

  const perCell = (anchors.sizes[0]?.length ?? 0) * anchors.ratios.length;
  for (let i = 0; i < rpn.convDepth; i++) block(`rpn.head.conv.${i}`, [channels, channels, 3, 3], false);
  list.layer('rpn.head.cls_logits', [perCell, channels, 1, 1]);
  list.layer('rpn.head.bbox_pred', [4 * perCell, channels, 1, 1]);

  const convs = box.head.kind === 'fc' ? [] : box.head.convs;
  inputs = channels;
  convs.forEach((width, i) => {
    block(`roi_heads.box_head.${i}`, [width, inputs, 3, 3], true);
    inputs = width;
  });
  inputs *= roiAlign.boxSize ** 2;
  box.head.fcs.forEach((width, i) => {
    list.layer(`roi_heads.box_head.${box.head.kind === 'fc' ? `fc${6 + i}` : convs.length + 1 + 2 * i}`, [
      width,
      inputs,
    ]);
    inputs = width;
  });
  list.layer('roi_heads.box_predictor.cls_score', [numClasses, inputs]);
  list.layer('roi_heads.box_predictor.bbox_pred', [4 * numClasses, inputs]);

  inputs = channels;
  mask.convs.forEach((width, i) => {
    block(`roi_heads.mask_head.${i}`, [width, inputs, 3, 3], mask.norm);
    inputs = width;
  });
  // A transposed convolution: [in, out, height, width].
  list.layer('roi_heads.mask_predictor.conv5_mask', [inputs, mask.predictor, 2, 2], mask.predictor);
  list.layer('roi_heads.mask_predictor.mask_fcn_logits', [numClasses, mask.predictor, 1, 1]);
  return list.shapes;
}
