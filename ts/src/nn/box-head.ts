/** The second stage of Faster R-CNN (Ren et al., 2015) as torchvision.models.detection.roi_heads runs it. */
import * as ops from '../ops/index.js';
import { reshape, type SymbolicTensor } from '../runtime/graph.js';
import type { BoxConfig } from '../weights/families/config.js';
import { convNorm } from './layers.js';
import type { Parameters } from './parameters.js';

/**
 * The features of each region, [rows, F].
 * @param pooled [rows, S, S, C] from RoIAlign
 * @param counts valid rows an image
 */
export function boxHead(
  pooled: SymbolicTensor,
  counts: SymbolicTensor,
  parameters: Parameters,
  config: Pick<BoxConfig, 'head'>,
  epsilon: number,
): SymbolicTensor {
  const { head } = config;
  let x = pooled;
  if (head.kind === 'conv+fc') {
    // The convolutions come first in one Sequential, then a flattening module, then the dense layers.
    head.convs.forEach((_, i) => {
      x = ops.relu(convNorm(x, parameters.scope(String(i)), epsilon, { padding: 1, counts }));
    });
    head.fcs.forEach((_, i) => {
      x = dense(x, parameters.scope(String(head.convs.length + 1 + 2 * i)), counts, true);
    });
    return x;
  }
  head.fcs.forEach((_, i) => {
    x = dense(x, parameters.scope(`fc${6 + i}`), counts, true);
  });
  return x;
}

/**
 * A dense layer. On [rows, S, S, C] it is the S x S convolution that the checkpoint's flattening in the order C, H, W
 * amounts to: the weight only changes its shape.
 */
function dense(input: SymbolicTensor, parameters: Parameters, counts: SymbolicTensor, relu: boolean): SymbolicTensor {
  const weight = parameters.get('weight');
  const bias = parameters.get('bias');
  const activate = (x: SymbolicTensor): SymbolicTensor => (relu ? ops.relu(x) : x);
  const [rows, height, width, channels] = input.shape as [number, number, number, number];
  if (input.shape.length === 2) return activate(ops.linear(input, weight, { bias, counts }));
  const outputs = weight.shape[0]!;
  const kernel = reshape(weight, [outputs, channels, height, width]);
  return reshape(activate(ops.conv2d(input, kernel, { bias, counts })), [rows, outputs]);
}

/** Class logits [rows, C] and class-specific box deltas [rows, 4C], f32 whatever the features are. */
export interface BoxPredictions {
  readonly logits: SymbolicTensor;
  readonly deltas: SymbolicTensor;
}

export function boxPredictor(features: SymbolicTensor, counts: SymbolicTensor, parameters: Parameters): BoxPredictions {
  return {
    logits: ops.cast(dense(features, parameters.scope('cls_score'), counts, false), 'f32'),
    deltas: ops.cast(dense(features, parameters.scope('bbox_pred'), counts, false), 'f32'),
  };
}

/** Detections with a fixed capacity D an image, best first: boxes [N, D, 4] in the resized image, ... */
export interface Detections {
  readonly boxes: SymbolicTensor;
  /** f32 [N, D] */
  readonly scores: SymbolicTensor;
  /** i32 [N, D], as the family counts classes */
  readonly labels: SymbolicTensor;
  /** Valid ones, i32 [N] */
  readonly counts: SymbolicTensor;
}

/** How many pairs of a region and a class (of those that count) can have a softmax score above the threshold. */
export function candidateLimit(rows: number, classes: number, threshold: number): number {
  return rows * (threshold > 0 ? Math.min(classes, Math.floor(1 / threshold) + 1) : classes);
}

/**
 * Softmax, decoding per class, clipping, score and size filters, NMS per class, the best `maxDetections`.
 * @param proposals boxes [N, R, 4] with valid rows `counts`
 */
export function detect(
  predictions: BoxPredictions,
  proposals: { readonly boxes: SymbolicTensor; readonly counts: SymbolicTensor },
  sizes: SymbolicTensor,
  config: BoxConfig,
): Detections {
  const { boxes: regions, counts } = proposals;
  const [images, rows] = regions.shape as [number, number];
  const classes = predictions.logits.shape[1]!;
  const scores = reshape(ops.softmax(predictions.logits, { counts }), [images, rows * classes]);
  const decoded = ops.decodeBoxes(regions, reshape(predictions.deltas, [images, rows, classes * 4]), {
    weights: config.coderWeights,
    clip: config.coderClamp,
    counts,
  });
  const boxes = reshape(ops.clipBoxes(decoded, { sizes, counts }), [images, rows * classes, 4]);
  const candidates = ops.filterBoxes(boxes, scores, {
    classes,
    background: 0,
    scoreThreshold: config.scoreThreshold,
    minSize: config.minSize,
    capacity: candidateLimit(rows, classes - 1, config.scoreThreshold),
    counts,
  });
  const pick = (values: SymbolicTensor): SymbolicTensor =>
    ops.gatherRows(values, candidates.indices, { counts: candidates.counts });
  const kept = { boxes: pick(boxes), scores: pick(scores) };
  const best = ops.nms(kept.boxes, kept.scores, {
    groups: candidates.classes,
    counts: candidates.counts,
    iouThreshold: config.nmsThreshold,
    maxOutput: config.maxDetections,
  });
  const take = (values: SymbolicTensor): SymbolicTensor =>
    ops.gatherRows(values, best.indices, { counts: best.counts });
  return { boxes: take(kept.boxes), scores: take(kept.scores), labels: take(candidates.classes), counts: best.counts };
}
