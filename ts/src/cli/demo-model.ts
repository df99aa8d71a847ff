/** The model of the demo: a Mask R-CNN as torchvision builds it, but slim and with random, reproducible weights. */
import {
  configToMetadata,
  seededWeights,
  torchvisionTensors,
  writeSafetensors,
  type MaskRcnnConfig,
  type SeededRule,
} from '../index.js';

const SEED = 30;

/** Chosen so that a handful of random detections, of several classes, pass the thresholds; see `SeededRule`. */
const RULES: readonly SeededRule[] = [
  ['\\.bn3\\.weight$', 0.5, 0],
  ['fpn\\.inner', 0.5, 0],
  ['rpn\\.head\\.cls_logits', 0.5, -2],
  ['rpn\\.head\\.bbox_pred', 0.1, 0],
  ['mask_fcn_logits', 1, 0.5],
  ['cls_score', 0.3, 0, { 0: -0.5, 1: -0.5, 2: 2, 3: -0.5, 4: -2.5 }],
  ['box_predictor\\.bbox_pred', 0.2, 0],
];

const CLASSES = ['background', 'thing A', 'thing B', 'thing C', 'thing D'];
const CODER_CLAMP = Math.log(1000 / 16);

const CONFIG: MaskRcnnConfig = {
  family: 'torchvision',
  model: 'maskrcnn_demo',
  numClasses: CLASSES.length,
  classNames: CLASSES,
  categoryIds: CLASSES.map((_, i) => i),
  image: {
    channelOrder: 'rgb',
    scale: 1 / 255,
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
    normalizeBeforeResize: true,
    minSize: 320,
    maxSize: 640,
    sizeDivisor: 32,
    resizeRounding: 'floor',
    antialias: false,
  },
  backbone: {
    blocks: [1, 1, 1, 1],
    stem: 16,
    widths: [16, 32, 64, 64],
    outputs: [64, 128, 256, 256],
    groups: 1,
    strideIn: '3x3',
  },
  batchNorm: { kind: 'frozen', epsilon: 0 },
  fpn: { channels: 64, norm: false },
  anchors: { sizes: [[32], [64], [128], [256], [512]], ratios: [0.5, 1, 2], rounding: 'round-half-even' },
  rpn: {
    convDepth: 1,
    preNmsTopN: 200,
    postNmsTopN: 200,
    nmsThreshold: 0.7,
    minSize: 32,
    scoreThreshold: 0,
    coderWeights: [1, 1, 1, 1],
    coderClamp: CODER_CLAMP,
  },
  roiAlign: {
    aligned: false,
    samplingRatio: 2,
    boxSize: 7,
    maskSize: 14,
    levelEps: 1e-6,
    canonicalScale: 224,
    canonicalLevel: 4,
  },
  box: {
    head: { kind: 'fc', fcs: [128, 128] },
    scoreThreshold: 0.5,
    nmsThreshold: 0.2,
    maxDetections: 10,
    minSize: 1e-2,
    coderWeights: [10, 10, 5, 5],
    coderClamp: CODER_CLAMP,
    background: 'first',
  },
  mask: { convs: [64, 64], norm: false, predictor: 64, paste: 'torchvision', threshold: 0.5 },
};

/** Writes the weights, some megabytes, and returns their size in bytes. */
export function writeDemoModel(path: string, signal: AbortSignal): Promise<number> {
  const weights = seededWeights(torchvisionTensors(CONFIG), SEED, RULES);
  return writeSafetensors(path, weights, configToMetadata(CONFIG), { signal });
}
