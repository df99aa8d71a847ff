import { InstasegError } from '../../runtime/errors.js';
import { classList } from '../coco-classes.js';
import { CHANNELS, refuseProblem } from './check-config.js';
import { isTrainingCounter } from './check-weights.js';
import { type ConfigOverrides, configFromMetadata, type Detectron2Config, overrideConfig } from './config.js';
import { detectron2Fields } from './detectron2-config.js';
import { canonicalDetectron2Names } from './detectron2-names.js';
import { countNames, renamed, type Shapes, size, TensorList } from './shapes.js';

// detectron2's Mask R-CNN on a ResNet or ResNeXt with FPN: mask_rcnn_R_50_FPN, R_101_FPN and X_101_32x8d_FPN of its
// model zoo, and what is trained with their configurations. Shapes below are PyTorch's: [out, in, height, width].

const BODY = 'backbone.bottom_up';
const RPN = 'proposal_generator.rpn_head';
const STAGES = [2, 3, 4, 5] as const;

/** What detectron2's configurations with FPN set, whatever the weights are (configs/Base-RCNN-FPN.yaml). */
const DEFAULTS = {
  image: {
    channelOrder: 'bgr',
    mean: [103.53, 116.28, 123.675],
    minSize: 800,
    maxSize: 1333,
    sizeDivisor: 32,
    resizeRounding: 'half-up',
    resample: 'pillow',
  },
  anchors: {
    sizes: [[32], [64], [128], [256], [512]],
    ratios: [0.5, 1, 2],
    strides: [4, 8, 16, 32, 64],
    rounding: 'none',
  },
  rpn: {
    preNmsTopN: 1000,
    postNmsTopN: 1000,
    nmsThreshold: 0.7,
    minSize: 0,
    coderWeights: [1, 1, 1, 1],
    coderClamp: Math.log(1000 / 16),
  },
  roiAlign: {
    aligned: true,
    samplingRatio: 0,
    maskSize: 14,
    levelEps: 1e-8,
    levelRule: 'detectron2',
    canonicalScale: 224,
    canonicalLevel: 4,
  },
  box: {
    scoreThreshold: 0.05,
    nmsThreshold: 0.5,
    maxDetections: 100,
    coderWeights: [10, 10, 5, 5],
    coderClamp: Math.log(1000 / 16),
    background: 'last',
  },
  mask: { paste: 'detectron2', threshold: 0.5 },
} as const;

/** Microsoft's ResNets have their pixels' deviation in the first convolution, and strides in the first of a block. */
const RESNET = { std: [1, 1, 1], strideIn: '1x1' } as const;
const RESNEXT = { std: [57.375, 57.12, 58.395], strideIn: '3x3' } as const;

/** Models of detectron2 that are not supported, by what their names show; the first that fits is named. */
const UNSUPPORTED: readonly (readonly [RegExp, string])[] = [
  [/^roi_heads\.res5\./, 'a C4 model (its heads share res5, and it has no feature pyramid)'],
  [/^backbone\.res5\./, 'a DC5 model (with a dilated res5, and no feature pyramid)'],
  [/^roi_heads\.(box_head|box_predictor)\.0\./, 'a Cascade R-CNN'],
  [/^roi_heads\.mask_head\.(coarse_head|point_head)\.|^roi_heads\.mask_(coarse|point)_head\./, 'a PointRend model'],
  [/^roi_heads\.keypoint_head\./, 'a Keypoint R-CNN'],
  [/^sem_seg_head\./, 'a panoptic model'],
  [/\.conv2_offset\./, 'a model with deformable convolutions'],
  [/^backbone\.fpn_\w+\.norm\./, 'a model with a normalised feature pyramid'],
  [/^roi_heads\.(box_head\.conv1|mask_head\.mask_fcn1\.norm)\./, 'a model with normalised or convolutional heads'],
  [/^proposal_generator\.rpn_head\.conv\.conv0\./, 'a model with several convolutions in its proposal head'],
];

/**
 * The configuration of detectron2's Mask R-CNN weights, from the metadata if the converter recorded it and otherwise from
 * the names and shapes, or undefined if the weights are of another family.
 *
 * Weights do not show how pixels are normalised and where a ResNet's strides are. These follow the model zoo: strides in
 * the 1x1 convolution and std 1 for ResNets, strides in the 3x3 convolution and ImageNet's std for ResNeXts. For a ResNet
 * that was started from other weights give `backbone: { strideIn: '3x3' }` and `image: { channelOrder, mean, std }`.
 *
 * Throws ERR_UNSUPPORTED, by name, for other models of detectron2 (C4, DC5, Cascade, without masks ...), ERR_CHECKPOINT
 * for broken metadata, ERR_ARGUMENT for overrides that do not fit. Whether the tensors are complete is for `checkWeights`
 * to say.
 */
export function inferDetectron2(
  tensors: Shapes,
  metadata: Readonly<Record<string, string>> = {},
  overrides: ConfigOverrides = {},
): Detectron2Config | undefined {
  const recorded = configFromMetadata(metadata);
  if (recorded) return recorded.family === 'detectron2' ? overrideConfig(recorded, overrides) : undefined;
  const shapes = renamed(tensors, canonicalDetectron2Names(tensors.keys()));
  const names = [...shapes.keys()];
  if (!names.some((name) => /^(backbone\.bottom_up|proposal_generator)\./.test(name))) return undefined;
  const kind = unsupportedKind(shapes, names);
  if (kind !== undefined) {
    throw new InstasegError(
      'ERR_UNSUPPORTED',
      `These are the weights of ${kind} of detectron2. Supported is its Mask R-CNN on a ResNet or ResNeXt with FPN, as ` +
        'mask_rcnn_R_50_FPN_3x',
    );
  }
  return overrideConfig(inferConfig(shapes), overrides);
}

function unsupportedKind(shapes: Shapes, names: readonly string[]): string | undefined {
  const found = UNSUPPORTED.find(([pattern]) => names.some((name) => pattern.test(name)));
  if (found) return found[1];
  const has = (prefix: string): boolean => names.some((name) => name.startsWith(prefix));
  if (!has('roi_heads.mask_head.')) return 'a detector without masks';
  if (!has(`${BODY}.stem.conv1.`) || !has(`${BODY}.res2.0.conv2.`)) return 'a model whose backbone is no ResNet';
  if (!has(`${BODY}.res2.0.conv3.`)) return 'a model with basic residual blocks (ResNet-18 or 34)';
  const classes = size(shapes, 'roi_heads.box_predictor.cls_score.weight', 0) - 1;
  const agnostic = (name: string, each: number): boolean => classes > 1 && size(shapes, name, 0) === each;
  if (agnostic('roi_heads.box_predictor.bbox_pred.weight', 4)) return 'a model with one box for all classes';
  if (agnostic('roi_heads.mask_head.predictor.weight', 1)) return 'a model with one mask for all classes';
  return undefined;
}

function inferConfig(shapes: Shapes): Detectron2Config {
  const numClasses = size(shapes, 'roi_heads.box_predictor.cls_score.weight', 0);
  const channels = size(shapes, 'backbone.fpn_output2.weight', 0);
  const blocks = STAGES.map((stage) =>
    Math.max(
      1,
      countNames(shapes, (i) => `${BODY}.res${stage}.${i}.conv1.weight`),
    ),
  );
  const widths = STAGES.map((stage) => size(shapes, `${BODY}.res${stage}.0.conv2.weight`, 0));
  const groups = Math.max(1, Math.floor((widths[0] as number) / size(shapes, `${BODY}.res2.0.conv2.weight`, 1)));
  const { std, strideIn } = groups > 1 ? RESNEXT : RESNET;
  const counted = [...shapes.keys()].some(isTrainingCounter);
  return {
    family: 'detectron2',
    model: modelName(blocks, groups, widths[0] as number),
    numClasses,
    ...classList(numClasses, undefined, 'last'),
    image: { ...DEFAULTS.image, std },
    backbone: {
      blocks,
      stem: size(shapes, `${BODY}.stem.conv1.weight`, 0),
      widths,
      outputs: STAGES.map((stage) => size(shapes, `${BODY}.res${stage}.0.conv3.weight`, 0)),
      groups,
      strideIn,
    },
    batchNorm: { kind: counted ? 'batch' : 'frozen', epsilon: 1e-5 },
    fpn: { channels },
    anchors: DEFAULTS.anchors,
    rpn: DEFAULTS.rpn,
    roiAlign: {
      // The first dense layer sees boxSize x boxSize positions.
      boxSize: Math.max(1, Math.round(Math.sqrt(size(shapes, 'roi_heads.box_head.fc1.weight', 1) / channels))),
      ...DEFAULTS.roiAlign,
    },
    box: { fcs: outputsOf(shapes, (i) => `roi_heads.box_head.fc${i + 1}.weight`), ...DEFAULTS.box },
    mask: {
      convs: outputsOf(shapes, (i) => `roi_heads.mask_head.mask_fcn${i + 1}.weight`),
      predictor: size(shapes, 'roi_heads.mask_head.deconv.weight', 1),
      ...DEFAULTS.mask,
    },
  };
}

/** Outputs of numbered layers, at least one. */
function outputsOf(shapes: Shapes, name: (index: number) => string): number[] {
  return Array.from({ length: Math.max(countNames(shapes, name), 1) }, (_, i) => size(shapes, name(i), 0));
}

/** The models of the zoo by the names of their configurations, without the schedule; others by their parts. */
function modelName(blocks: readonly number[], groups: number, width: number): string {
  const depth = { '3,4,6,3': '50', '3,4,23,3': '101', '3,8,36,3': '152' }[blocks.join()] ?? 'custom';
  return `mask_rcnn_${groups > 1 ? `X_${depth}_${groups}x${Math.floor(width / groups)}d` : `R_${depth}`}_FPN`;
}

/**
 * Names and shapes of all tensors that a configuration needs, without the `num_batches_tracked` counters. A forward pass
 * looks its weights up under these names.
 */
export function detectron2Tensors(config: Detectron2Config): Map<string, number[]> {
  refuseProblem(detectron2Fields(config, 'config'));
  const list = new TensorList();
  const { backbone, fpn, roiAlign, box, mask, numClasses, anchors } = config;
  const { channels } = fpn;
  const conv = (name: string, shape: number[]): void => list.normed(name, `${name}.norm`, shape);

  backbone.outputs.forEach((width, i) => {
    list.layer(`backbone.fpn_lateral${i + 2}`, [channels, width, 1, 1]);
    list.layer(`backbone.fpn_output${i + 2}`, [channels, channels, 3, 3]);
  });
  conv(`${BODY}.stem.conv1`, [backbone.stem, CHANNELS, 7, 7]);
  let inputs = backbone.stem;
  backbone.blocks.forEach((count, stage) => {
    const width = backbone.widths[stage] as number;
    const outputs = backbone.outputs[stage] as number;
    for (let i = 0; i < count; i++) {
      const name = `${BODY}.res${stage + 2}.${i}`;
      if (inputs !== outputs) conv(`${name}.shortcut`, [outputs, inputs, 1, 1]);
      conv(`${name}.conv1`, [width, inputs, 1, 1]);
      conv(`${name}.conv2`, [width, width / backbone.groups, 3, 3]);
      conv(`${name}.conv3`, [outputs, width, 1, 1]);
      inputs = outputs;
    }
  });

  const perCell = (anchors.sizes[0]?.length ?? 0) * anchors.ratios.length;
  list.layer(`${RPN}.conv`, [channels, channels, 3, 3]);
  list.layer(`${RPN}.objectness_logits`, [perCell, channels, 1, 1]);
  list.layer(`${RPN}.anchor_deltas`, [4 * perCell, channels, 1, 1]);

  inputs = channels * roiAlign.boxSize ** 2;
  box.fcs.forEach((width, i) => {
    list.layer(`roi_heads.box_head.fc${i + 1}`, [width, inputs]);
    inputs = width;
  });
  list.layer('roi_heads.box_predictor.cls_score', [numClasses, inputs]);
  list.layer('roi_heads.box_predictor.bbox_pred', [4 * (numClasses - 1), inputs]);

  inputs = channels;
  mask.convs.forEach((width, i) => {
    list.layer(`roi_heads.mask_head.mask_fcn${i + 1}`, [width, inputs, 3, 3]);
    inputs = width;
  });
  // A transposed convolution: [in, out, height, width].
  list.layer('roi_heads.mask_head.deconv', [inputs, mask.predictor, 2, 2], mask.predictor);
  list.layer('roi_heads.mask_head.predictor', [numClasses - 1, mask.predictor, 1, 1]);
  return list.shapes;
}
