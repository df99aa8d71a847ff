/** What detectron2's Mask R-CNN keeps of its predictions: proposals, and detections. */
import * as ops from '../ops/index.js';
import { baseAnchors } from '../nn/anchors.js';
import { candidateLimit, type BoxPredictions, type Detections } from '../nn/box-head.js';
import type { Proposals, RpnLevel } from '../nn/rpn.js';
import { reshape, type SymbolicTensor } from '../runtime/graph.js';
import { Tensor } from '../runtime/tensor.js';
import type { Detectron2AnchorConfig, Detectron2BoxConfig, Detectron2RpnConfig } from '../weights/families/config.js';

/** All anchors of a level, [H * W * A, 4], in the order of the head's predictions: not rounded, the first at 0, 0. */
export function detectron2Anchors(
  objectness: SymbolicTensor,
  level: number,
  { sizes, ratios, strides }: Detectron2AnchorConfig,
): SymbolicTensor {
  const [, height, width] = objectness.shape as [number, number, number];
  return ops.anchors({
    grid: [height, width],
    stride: strides[level]!,
    base: baseAnchors(sizes[level]!, ratios, { rounding: 'none' }),
  });
}

/** Rows of several tensors by index. */
type Pick = (values: SymbolicTensor) => SymbolicTensor;

const picker =
  ({ indices, counts }: { readonly indices: SymbolicTensor; readonly counts: SymbolicTensor }): Pick =>
  (values) =>
    ops.gatherRows(values, indices, { counts });

/**
 * Proposals from the head's predictions: the best `preNmsTopN` of each level by logit, decoded; what is not finite is
 * dropped, the rest clipped to the image; empty boxes are dropped; NMS within each level, the best `postNmsTopN` of all.
 * Scores stay logits.
 * @param sizes i32 [N, 4] as `preprocessPillow` takes them
 * @see detectron2.modeling.proposal_generator.proposal_utils.find_top_rpn_proposals
 */
export function findProposals(
  levels: readonly RpnLevel[],
  sizes: SymbolicTensor,
  anchorConfig: Detectron2AnchorConfig,
  config: Detectron2RpnConfig,
): Proposals {
  const candidates = levels.map(({ objectness, deltas }, level) => {
    const images = objectness.shape[0]!;
    const top = ops.topK(reshape(objectness, [images, -1]), { k: config.preNmsTopN });
    const anchors = detectron2Anchors(objectness, level, anchorConfig);
    const count = top.indices.shape[1]!;
    const decoded = ops.decodeBoxes(
      ops.gatherRows(reshape(anchors, [1, -1, 4]), top.indices),
      ops.gatherRows(reshape(deltas, [images, -1, 4]), top.indices),
      { weights: config.coderWeights, clip: config.coderClamp },
    );
    return {
      boxes: reshape(decoded, [images, count, 4]),
      logits: top.values,
      groups: Tensor.from(new Int32Array(images * count).fill(level), [images, count]),
    };
  });
  const all = {
    boxes: ops.concat(
      candidates.map(({ boxes }) => boxes),
      { axis: 1 },
    ),
    logits: ops.concat(
      candidates.map(({ logits }) => logits),
      { axis: 1 },
    ),
    groups: ops.concat(
      candidates.map(({ groups }) => groups),
      { axis: 1 },
    ),
  };
  const finite = ops.finiteRows(all.boxes, all.logits);
  const pickFinite = picker(finite);
  const boxes = ops.clipBoxes(pickFinite(all.boxes), { sizes, counts: finite.counts });
  const logits = pickFinite(all.logits);
  const large = ops.filterBoxes(boxes, logits, { minSize: config.minSize, strictSize: true, counts: finite.counts });
  const pickLarge = picker(large);
  const kept = { boxes: pickLarge(boxes), logits: pickLarge(logits) };
  const best = ops.nms(kept.boxes, kept.logits, {
    groups: pickLarge(pickFinite(all.groups)),
    counts: large.counts,
    iouThreshold: config.nmsThreshold,
    maxOutput: config.postNmsTopN,
  });
  const pickBest = picker(best);
  return { boxes: pickBest(kept.boxes), scores: pickBest(kept.logits), counts: best.counts };
}

/**
 * Softmax over the classes and the background behind them, decoding per class; regions with anything that is not finite
 * are dropped; clipping, score filter, NMS per class, the best `maxDetections`. Boxes may be empty.
 * @param proposals boxes [N, R, 4] with valid rows `counts`
 * @returns labels from 0, without the background
 * @see detectron2.modeling.roi_heads.fast_rcnn.fast_rcnn_inference_single_image
 */
export function findDetections(
  predictions: BoxPredictions,
  proposals: { readonly boxes: SymbolicTensor; readonly counts: SymbolicTensor },
  sizes: SymbolicTensor,
  config: Detectron2BoxConfig,
): Detections {
  const { boxes: regions, counts } = proposals;
  const [images, rows] = regions.shape as [number, number];
  const classes = predictions.logits.shape[1]! - 1;
  const scores = reshape(ops.softmax(predictions.logits, { counts }), [images, rows, classes + 1]);
  const decoded = ops.decodeBoxes(regions, reshape(predictions.deltas, [images, rows, classes * 4]), {
    weights: config.coderWeights,
    clip: config.coderClamp,
    counts,
  });
  const finite = ops.finiteRows(decoded, scores, { counts });
  const pickFinite = picker(finite);
  const clipped = ops.clipBoxes(pickFinite(decoded), { sizes, counts: finite.counts });
  const boxes = reshape(clipped, [images, rows * classes, 4]);
  const objects = ops.slice(pickFinite(scores), { begin: [0, 0, 0], size: [-1, -1, classes] });
  const objectScores = reshape(objects, [images, rows * classes]);
  const candidates = ops.filterBoxes(boxes, objectScores, {
    classes,
    scoreThreshold: config.scoreThreshold,
    capacity: candidateLimit(rows, classes, config.scoreThreshold),
    counts: finite.counts,
  });
  const pickCandidates = picker(candidates);
  const kept = { boxes: pickCandidates(boxes), scores: pickCandidates(objectScores) };
  const best = ops.nms(kept.boxes, kept.scores, {
    groups: candidates.classes,
    counts: candidates.counts,
    iouThreshold: config.nmsThreshold,
    maxOutput: config.maxDetections,
  });
  const take = picker(best);
  return { boxes: take(kept.boxes), scores: take(kept.scores), labels: take(candidates.classes), counts: best.counts };
}

/**
 * Detections with their boxes in the original image: scaled, clipped to it, and dropped where they are empty.
 * @returns `boxes` in the original image, `resized` in the network's
 * @see detectron2.modeling.postprocessing.detector_postprocess
 */
export function placeDetections(
  { boxes, scores, labels, counts }: Detections,
  sizes: SymbolicTensor,
): Detections & { readonly resized: SymbolicTensor } {
  const scaled = ops.clipBoxes(ops.scaleBoxes(boxes, sizes, { counts }), { sizes, to: 'original', counts });
  const kept = ops.filterBoxes(scaled, scores, { strictSize: true, counts });
  const take = picker(kept);
  return {
    boxes: take(scaled),
    resized: take(boxes),
    scores: take(scores),
    labels: take(labels),
    counts: kept.counts,
  };
}
