/** Region proposal network (Ren et al., 2015) as torchvision.models.detection.rpn runs it. */
import * as ops from '../ops/index.js';
import { reshape, type SymbolicTensor } from '../runtime/graph.js';
import { Tensor } from '../runtime/tensor.js';
import type { AnchorConfig, RpnConfig } from '../weights/families/config.js';
import { baseAnchors } from './anchors.js';
import { conv } from './layers.js';
import type { Parameters } from './parameters.js';

/** Raw predictions of one level: objectness logits [N, H, W, A] and box deltas [N, H, W, 4A]. */
export interface RpnLevel {
  readonly objectness: SymbolicTensor;
  readonly deltas: SymbolicTensor;
}

/** The shared head on every level; its predictions are f32, whatever the feature maps are. */
export function rpnHead(
  features: readonly SymbolicTensor[],
  parameters: Parameters,
  config: Pick<RpnConfig, 'convDepth'>,
): RpnLevel[] {
  return features.map((feature) => {
    let x = feature;
    for (let i = 0; i < config.convDepth; i += 1) {
      x = ops.relu(conv(x, parameters.scope(`conv.${i}.0`), { padding: 1 }));
    }
    return {
      objectness: ops.cast(conv(x, parameters.scope('cls_logits')), 'f32'),
      deltas: ops.cast(conv(x, parameters.scope('bbox_pred')), 'f32'),
    };
  });
}

/** Boxes with a fixed capacity K an image: [N, K, 4], scores [N, K], valid rows i32 [N]. */
export interface Proposals {
  readonly boxes: SymbolicTensor;
  readonly scores: SymbolicTensor;
  readonly counts: SymbolicTensor;
}

/** All anchors of a level, [H * W * A, 4], in the order of the head's predictions. */
export function levelAnchors(
  objectness: SymbolicTensor,
  level: number,
  paddedSize: readonly [number, number],
  config: AnchorConfig,
): SymbolicTensor {
  const [, height, width] = objectness.shape as [number, number, number];
  return ops.anchors({
    grid: [height, width],
    stride: [Math.floor(paddedSize[0] / height), Math.floor(paddedSize[1] / width)],
    base: baseAnchors(config.sizes[level]!, config.ratios, { rounding: 'half-even' }),
  });
}

/** `score >= threshold` as `score > the number before it`. */
function atLeast(threshold: number): number {
  if (threshold <= 0) return -Infinity;
  const bits = new Int32Array(new Float32Array([threshold]).buffer);
  bits[0]! -= 1;
  return new Float32Array(bits.buffer)[0]!;
}

/**
 * Proposals from the head's predictions: the best `preNmsTopN` of each level by logit, decoded, clipped to the image,
 * small ones dropped, NMS within each level, the best `postNmsTopN` of all.
 * @param sizes i32 [N, 4] as `preprocess` takes them
 * @param paddedSize height and width of the network's input
 */
export function proposeRegions(
  levels: readonly RpnLevel[],
  sizes: SymbolicTensor,
  paddedSize: readonly [number, number],
  anchorConfig: AnchorConfig,
  config: RpnConfig,
): Proposals {
  const candidates = levels.map(({ objectness, deltas }, level) => {
    const images = objectness.shape[0]!;
    const top = ops.topK(reshape(objectness, [images, -1]), { k: config.preNmsTopN });
    const anchors = levelAnchors(objectness, level, paddedSize, anchorConfig);
    const count = top.indices.shape[1]!;
    const decoded = ops.decodeBoxes(
      ops.gatherRows(reshape(anchors, [1, -1, 4]), top.indices),
      ops.gatherRows(reshape(deltas, [images, -1, 4]), top.indices),
      { weights: config.coderWeights, clip: config.coderClamp },
    );
    return {
      boxes: reshape(decoded, [images, count, 4]),
      scores: ops.sigmoid(top.values),
      groups: Tensor.from(new Int32Array(images * count).fill(level), [images, count]),
    };
  });
  const boxes = ops.clipBoxes(
    ops.concat(
      candidates.map((candidate) => candidate.boxes),
      { axis: 1 },
    ),
    { sizes },
  );
  const scores = ops.concat(
    candidates.map((candidate) => candidate.scores),
    { axis: 1 },
  );
  const groups = ops.concat(
    candidates.map((candidate) => candidate.groups),
    { axis: 1 },
  );
  const large = ops.filterBoxes(boxes, scores, {
    minSize: config.minSize,
    scoreThreshold: atLeast(config.scoreThreshold),
  });
  const pick = (values: SymbolicTensor): SymbolicTensor =>
    ops.gatherRows(values, large.indices, { counts: large.counts });
  const kept = { boxes: pick(boxes), scores: pick(scores), groups: pick(groups) };
  const best = ops.nms(kept.boxes, kept.scores, {
    groups: kept.groups,
    counts: large.counts,
    iouThreshold: config.nmsThreshold,
    maxOutput: config.postNmsTopN,
  });
  return {
    boxes: ops.gatherRows(kept.boxes, best.indices, { counts: best.counts }),
    scores: ops.gatherRows(kept.scores, best.indices, { counts: best.counts }),
    counts: best.counts,
  };
}
