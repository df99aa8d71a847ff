import { InstasegError } from '../../runtime/errors.js';
import { classList } from '../coco-classes.js';
import { refuseProblem } from './check-config.js';
import {
  type ConfigOverrides,
  configFromMetadata,
  overrideConfig,
  type ProtonetLayer,
  type YolactConfig,
  type YolactDarkNetConfig,
  type YolactImageConfig,
  type YolactResNetConfig,
} from './config.js';
import { canonicalNames } from './names.js';
import { countNames, renamed, type Shapes, size, TensorList } from './shapes.js';
import { BASE_SCALES, BASE_SIZE, yolactFields, PRESETS } from './yolact-config.js';

// YOLACT and YOLACT++ as dbolya/yolact has them: yolact_resnet50, yolact_base, yolact_im700, yolact_darknet53,
// yolact_plus_resnet50, yolact_plus_base, and what is built of the same parts. Shapes below are PyTorch's.

/** Every published configuration has as many; see `canonicalYolactNames`. */
const DOWNSAMPLES = 2;

/** Heads of losses that only training has. */
const TRAINING_ONLY = /^(semantic_seg_conv|class_existence_fc)\./;

/**
 * Canonical names, those of the published checkpoints, for the names of a YOLACT state dict. What the official loader
 * drops is left out (`backbone.layer1.*` beside `backbone.layers.0.*`, and `fpn.downsample_layers` that are not used),
 * and so are the heads of losses that only training has. Prefixes that wrappers add to all names are removed.
 * ERR_WEIGHTS if two names become one.
 */
export const canonicalYolactNames = (names: Iterable<string>): Map<string, string> =>
  canonicalNames(names, (name) => (isUnused(name) ? undefined : name));

function isUnused(name: string): boolean {
  const downsample = /^fpn\.downsample_layers\.(\d+)\./.exec(name)?.[1];
  return (
    (name.startsWith('backbone.layer') && !name.startsWith('backbone.layers')) ||
    (downsample !== undefined && Number(downsample) >= DOWNSAMPLES) ||
    TRAINING_ONLY.test(name)
  );
}

/** What the official configurations set, whatever the weights are. */
const DEFAULTS = {
  image: { channelOrder: 'rgb', statsOrder: 'bgr', normalizeBeforeResize: false, size: BASE_SIZE, antialias: false },
  fpn: { interpolation: 'bilinear', reluPredictions: true, reluDownsamples: false },
  head: { shared: true, coefficientActivation: 'tanh', scoreActivation: 'softmax', background: 'first' },
  anchors: { ratios: [1, 1 / 2, 2], preapplySqrt: false },
  detect: {
    variances: [0.1, 0.2],
    confThreshold: 0.05,
    nms: 'fast',
    nmsThreshold: 0.5,
    topK: 200,
    maxDetections: 100,
    scoreThreshold: 0,
  },
  mask: {
    activation: 'sigmoid',
    cropPadding: 1,
    interpolation: 'bilinear',
    threshold: 0.5,
    resolution: 'original',
    rescoreBoxes: false,
  },
} as const;

/** How the pixels of each kind of backbone are normalised. */
const NORMALIZATION: Readonly<
  Record<YolactConfig['backbone']['kind'], Pick<YolactImageConfig, 'scale' | 'mean' | 'std'>>
> = {
  resnet: { scale: 1, mean: [103.94, 116.78, 123.68], std: [57.38, 57.12, 58.4] },
  darknet: { scale: 1 / 255, mean: [0, 0, 0], std: [1, 1, 1] },
};

const RESNET_STAGES = [0, 1, 2, 3];
const DARKNET_STAGES = [0, 1, 2, 3, 4];

/**
 * The configuration of YOLACT weights, from the metadata if the converter recorded it and otherwise from the names and
 * shapes, or undefined if the weights are of another family.
 *
 * The weights of `yolact_im700` and `yolact_im400` look like those of `yolact_base`, but want another input size and
 * other anchors. They are recognised where the name of the file begins with theirs, as that of the published file does
 * (`yolact_im700_54_800000.pth`); otherwise give `model: 'yolact_im700'`. `image: { size }` alone runs the weights at
 * another size with the anchors, in pixels, that they were trained with.
 *
 * Throws ERR_UNSUPPORTED for other backbones and for anchors that are not guessed (3 a cell are YOLACT's, 9 are
 * YOLACT++'s), ERR_CHECKPOINT for broken metadata, ERR_ARGUMENT for overrides that do not fit. Whether the tensors are
 * complete is for `checkWeights` to say.
 */
export function inferYolact(
  tensors: Shapes,
  metadata: Readonly<Record<string, string>> = {},
  overrides: ConfigOverrides = {},
  fileName = '',
): YolactConfig | undefined {
  const recorded = configFromMetadata(metadata);
  if (recorded) return recorded.family === 'yolact' ? overrideConfig(recorded, overrides) : undefined;
  const shapes = renamed(tensors, canonicalYolactNames(tensors.keys()));
  const names = [...shapes.keys()];
  const needed = ['proto_net.', 'fpn.lat_layers.', 'prediction_layers.0.'];
  if (!needed.every((prefix) => names.some((name) => name.startsWith(prefix)))) return undefined;
  const config = inferConfig(shapes, overrides);
  const hint = config.model === 'yolact_base' ? presetIn(fileName) : undefined;
  return overrideConfig(config, { ...overrides, model: overrides.model ?? hint });
}

const presetIn = (fileName: string): string | undefined =>
  PRESETS.find((name) => fileName.startsWith(name) && !/^[a-z0-9]/i.test(fileName.slice(name.length)));

function inferConfig(shapes: Shapes, overrides: ConfigOverrides): YolactConfig {
  const head = 'prediction_layers.0';
  const coordinates = shapes.get(`${head}.bbox_layer.weight`)?.shape[0] ?? 4 * DEFAULTS.anchors.ratios.length;
  const anchorsPerCell = Math.max(1, Math.floor(coordinates / 4));
  const numClasses = Math.max(2, Math.floor(size(shapes, `${head}.conf_layer.weight`, 0) / anchorsPerCell));
  const laterals = countNames(shapes, (i) => `fpn.lat_layers.${i}.weight`);
  const downsamples = Math.max(
    1,
    countNames(shapes, (i) => `fpn.downsample_layers.${i}.weight`),
  );
  const backbone = inferBackbone(shapes, laterals);
  const layers = inferProtonet(shapes);
  const last = layers.at(-1); // a convolution
  const rescore = inferRescore(shapes);
  const levels = backbone.selected.length + downsamples;
  return {
    family: 'yolact',
    model: modelName(backbone, anchorsPerCell, rescore !== null),
    numClasses,
    ...classList(numClasses),
    image: { ...DEFAULTS.image, ...NORMALIZATION[backbone.kind] },
    backbone,
    batchNorm: { kind: 'batch', epsilon: 1e-5 },
    fpn: { channels: size(shapes, 'fpn.pred_layers.0.weight', 0), downsamples, ...DEFAULTS.fpn },
    protonet: { layers, activation: 'relu' },
    head: {
      upfeature: widths(shapes, `${head}.upfeature`),
      anchorsPerCell,
      coefficients: last?.kind === 'conv' ? last.channels : 1,
      ...DEFAULTS.head,
    },
    anchors: inferAnchors(anchorsPerCell, levels, overrides.anchors),
    detect: DEFAULTS.detect,
    mask: { rescore, ...DEFAULTS.mask },
  };
}

/** Output channels of the convolutions of a sequence in which a ReLU follows each: name.0, name.2, name.4 ... */
function widths(shapes: Shapes, name: string): number[] {
  const depth = countNames(shapes, (i) => `${name}.${2 * i}.weight`);
  return Array.from({ length: depth }, (_, i) => size(shapes, `${name}.${2 * i}.weight`, 0));
}

/** All but the last convolution, which gives a number for each class; at least one. */
function inferRescore(shapes: Shapes): YolactConfig['mask']['rescore'] {
  if (![...shapes.keys()].some((name) => name.startsWith('maskiou_net.'))) return null;
  const convs = widths(shapes, 'maskiou_net.maskiou_net').slice(0, -1);
  return { convs: convs.length > 0 ? convs : [1] };
}

function inferBackbone(shapes: Shapes, laterals: number): YolactConfig['backbone'] {
  const names = [...shapes.keys()];
  const has = (pattern: RegExp): boolean => names.some((name) => pattern.test(name));
  if (has(/^backbone\._preconv\./)) return inferDarkNet(shapes, laterals);
  if (has(/^backbone\.(bn1|layers\.\d+\.\d+\.bn3)\./)) return inferResNet(shapes, laterals);
  throw new InstasegError(
    'ERR_UNSUPPORTED',
    'YOLACT weights are supported with backbones of bottleneck blocks (ResNet-50, 101) and DarkNet-53 only',
  );
}

/** The last `count` of them: the FPN takes the coarsest. */
const selectStages = (stages: readonly number[], count: number): number[] => stages.slice(-Math.max(1, count));

const layer = (stage: number, block: number): string => `backbone.layers.${stage}.${block}`;

function inferResNet(shapes: Shapes, laterals: number): YolactResNetConfig {
  const blocks = RESNET_STAGES.map((stage) =>
    Math.max(
      1,
      countNames(shapes, (i) => `${layer(stage, i)}.conv1.weight`),
    ),
  );
  return {
    kind: 'resnet',
    blocks,
    stem: size(shapes, 'backbone.conv1.weight', 0),
    widths: RESNET_STAGES.map((stage) => size(shapes, `${layer(stage, 0)}.conv2.weight`, 0)),
    outputs: RESNET_STAGES.map((stage) => size(shapes, `${layer(stage, 0)}.conv3.weight`, 0)),
    groups: 1,
    strideIn: '3x3',
    deformable: blocks.map((count, stage) =>
      Array.from({ length: count }, (_, i) => shapes.has(`${layer(stage, i)}.conv2.conv_offset_mask.weight`)),
    ),
    selected: selectStages(RESNET_STAGES, laterals),
  };
}

function inferDarkNet(shapes: Shapes, laterals: number): YolactDarkNetConfig {
  return {
    kind: 'darknet',
    blocks: DARKNET_STAGES.map((stage) =>
      Math.max(
        1,
        countNames(shapes, (i) => `${layer(stage, i + 1)}.conv1.0.weight`),
      ),
    ),
    stem: size(shapes, 'backbone._preconv.0.weight', 0),
    widths: DARKNET_STAGES.map((stage) => size(shapes, `${layer(stage, 1)}.conv1.0.weight`, 0)),
    outputs: DARKNET_STAGES.map((stage) => size(shapes, `${layer(stage, 0)}.0.weight`, 0)),
    negativeSlope: 0.1,
    selected: selectStages(DARKNET_STAGES, laterals),
  };
}

/** Every layer is followed by a ReLU; the one without tensors, between two convolutions, doubles the size. */
function inferProtonet(shapes: Shapes): ProtonetLayer[] {
  const has = (position: number): boolean =>
    ['weight', 'bias'].some((leaf) => shapes.has(`proto_net.${position}.${leaf}`));
  const layers: ProtonetLayer[] = [];
  for (let position = 0; has(position) || has(position + 2); position += 2) {
    const name = `proto_net.${position}.weight`;
    layers.push(
      has(position)
        ? { kind: 'conv', channels: size(shapes, name, 0), kernel: size(shapes, name, 2) }
        : { kind: 'upsample' },
    );
  }
  if (layers.some((entry) => entry.kind === 'conv' && entry.kernel % 2 === 0)) {
    throw new InstasegError('ERR_UNSUPPORTED', 'Transposed convolutions in the prototype network are not supported');
  }
  const resizes = layers.filter(({ kind }) => kind === 'upsample').length;
  if (resizes > 1 || layers[0]?.kind !== 'conv') {
    throw new InstasegError(
      'ERR_WEIGHTS',
      `The prototype network lacks tensors: found ${resizes} layers without any, expected 1 (the resize)`,
    );
  }
  return layers;
}

function inferAnchors(
  anchorsPerCell: number,
  levels: number,
  given: ConfigOverrides['anchors'],
): YolactConfig['anchors'] {
  const steps = anchorsPerCell / DEFAULTS.anchors.ratios.length;
  if (steps !== 1 && steps !== 3 && given === undefined) {
    throw new InstasegError(
      'ERR_UNSUPPORTED',
      `The head predicts ${anchorsPerCell} anchors a cell, expected 3 (YOLACT) or 9 (YOLACT++): say which they are as "anchors"`,
    );
  }
  const scales = Array.from({ length: levels }, (_, level): number[] => {
    const base = (BASE_SCALES[0] as number) * 2 ** level;
    return steps === 3 ? [0, 1, 2].map((j) => base * 2 ** (j / 3)) : [base];
  });
  return { scales, square: steps !== 3, ...DEFAULTS.anchors };
}

/** The published models by their names, others by their family. */
function modelName(backbone: YolactConfig['backbone'], anchorsPerCell: number, rescored: boolean): string {
  const deformable = backbone.kind === 'resnet' && backbone.deformable.flat().includes(true);
  const plus = deformable && rescored && anchorsPerCell === 9;
  const base = !deformable && !rescored && anchorsPerCell === 3;
  const known = { '3,4,6,3': 'resnet50', '3,4,23,3': 'base', '1,2,8,8,4': 'darknet53' }[backbone.blocks.join()];
  if (known === undefined || (!plus && !base)) return 'yolact_custom';
  return `yolact_${plus ? 'plus_' : ''}${known}`;
}

/**
 * Names and shapes of all tensors that a configuration needs, in the order of the state dict, without the
 * `num_batches_tracked` counters. A forward pass looks its weights up under these names.
 */
export function yolactTensors(config: YolactConfig): Map<string, number[]> {
  refuseProblem(yolactFields(config, 'config'));
  const list = new TensorList();
  const { backbone, fpn, protonet, head, mask, numClasses } = config;
  if (backbone.kind === 'resnet') listResNet(list, backbone);
  else listDarkNet(list, backbone);

  const { channels } = fpn;
  let inputs = channels;
  protonet.layers.forEach((entry, i) => {
    if (entry.kind === 'upsample') return;
    list.layer(`proto_net.${2 * i}`, [entry.channels, inputs, entry.kernel, entry.kernel]);
    inputs = entry.channels;
  });

  if (mask.rescore) {
    const { convs } = mask.rescore;
    const name = (i: number): string => `maskiou_net.maskiou_net.${2 * i}`;
    convs.forEach((width, i) => list.layer(name(i), [width, convs[i - 1] ?? 1, 3, 3]));
    list.layer(name(convs.length), [numClasses - 1, convs.at(-1) as number, 1, 1]);
  }

  // Index 0 is the coarsest.
  const selected = backbone.selected.map((stage) => backbone.outputs[stage] as number).reverse();
  selected.forEach((width, i) => list.layer(`fpn.lat_layers.${i}`, [channels, width, 1, 1]));
  selected.forEach((_, i) => list.layer(`fpn.pred_layers.${i}`, [channels, channels, 3, 3]));
  for (let i = 0; i < fpn.downsamples; i++) list.layer(`fpn.downsample_layers.${i}`, [channels, channels, 3, 3]);

  inputs = channels;
  head.upfeature.forEach((width, i) => {
    list.layer(`prediction_layers.0.upfeature.${2 * i}`, [width, inputs, 3, 3]);
    inputs = width;
  });
  const predictors = { bbox: 4, conf: numClasses, mask: head.coefficients };
  for (const [name, each] of Object.entries(predictors)) {
    list.layer(`prediction_layers.0.${name}_layer`, [head.anchorsPerCell * each, inputs, 3, 3]);
  }
  return list.shapes;
}

/** The offsets and the mask of a 3x3 deformable convolution: two numbers and one for each tap. */
const OFFSET_CHANNELS = 27;

function listResNet(list: TensorList, backbone: YolactResNetConfig): void {
  let inputs = backbone.stem;
  backbone.blocks.forEach((count, stage) => {
    const width = backbone.widths[stage] as number;
    const outputs = backbone.outputs[stage] as number;
    for (let i = 0; i < count; i++) {
      const name = layer(stage, i);
      list.normed(`${name}.conv1`, `${name}.bn1`, [width, inputs, 1, 1]);
      if (backbone.deformable[stage]?.[i]) {
        list.layer(`${name}.conv2`, [width, width, 3, 3]);
        list.layer(`${name}.conv2.conv_offset_mask`, [OFFSET_CHANNELS, width, 3, 3]);
        list.batchNorm(`${name}.bn2`, width);
      } else {
        list.normed(`${name}.conv2`, `${name}.bn2`, [width, width, 3, 3]);
      }
      list.normed(`${name}.conv3`, `${name}.bn3`, [outputs, width, 1, 1]);
      if (i === 0) list.normed(`${name}.downsample.0`, `${name}.downsample.1`, [outputs, inputs, 1, 1]);
      inputs = outputs;
    }
  });
  list.normed('backbone.conv1', 'backbone.bn1', [backbone.stem, 3, 7, 7]);
}

function listDarkNet(list: TensorList, backbone: YolactDarkNetConfig): void {
  const conv = (name: string, shape: number[]): void => list.normed(`${name}.0`, `${name}.1`, shape);
  let inputs = backbone.stem;
  backbone.blocks.forEach((count, stage) => {
    const width = backbone.widths[stage] as number;
    const outputs = backbone.outputs[stage] as number;
    conv(layer(stage, 0), [outputs, inputs, 3, 3]);
    for (let i = 1; i <= count; i++) {
      conv(`${layer(stage, i)}.conv1`, [width, outputs, 1, 1]);
      conv(`${layer(stage, i)}.conv2`, [outputs, width, 3, 3]);
    }
    inputs = outputs;
  });
  conv('backbone._preconv', [backbone.stem, 3, 3, 3]);
}
