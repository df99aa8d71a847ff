/**
 * Mask R-CNN (He et al., 2017) on a ResNet with FPN, as torchvision.models.detection.MaskRCNN computes it: the whole
 * forward pass, from decoded pixels to masks in the original image, recorded as one plan.
 */
import * as ops from '../ops/index.js';
import { boxHead, boxPredictor, detect, type Detections } from '../nn/box-head.js';
import { fpn } from '../nn/fpn.js';
import { maskHead, maskPredictor } from '../nn/mask-head.js';
import type { Parameters } from '../nn/parameters.js';
import { resnet } from '../nn/resnet.js';
import { paddedSize, resizedSize } from '../nn/resized-size.js';
import { proposeRegions, rpnHead } from '../nn/rpn.js';
import { reshape, type SymbolicTensor, type TensorLike } from '../runtime/graph.js';
import type { ResultOf } from '../runtime/plan.js';
import { roundHalfEven } from '../runtime/rounding.js';
import {
  overrideConfig,
  type ConfigOverrides,
  type Detectron2Config,
  type MaskRcnnConfig,
} from '../weights/families/config.js';
import type { Job, Network, NetworkInputs, NetworkOutputs, Probe } from './network.js';
import type { SegmentOptions } from './options.js';
import type { Instance } from './result.js';
import { count, defined, fraction, refuse } from './overrides.js';
import { rowOf } from './row.js';

/** For tests of single stages: others may be put in the place of the network's own decisions. */
export interface MaskRcnnProbe extends Probe {
  /** Used instead of the network's own proposals: boxes [N, R, 4] in the resized image, counts i32 [N]. */
  readonly proposals?: { readonly boxes: TensorLike; readonly counts: TensorLike };
  /** Used instead of the network's own detections by the mask branch. */
  readonly detections?: { readonly boxes: TensorLike; readonly labels: TensorLike; readonly counts: TensorLike };
}

/**
 * RoIAlign's spatial scale of each level: the power of two nearest to the ratio of heights, of the map and of the image
 * before padding (torchvision MultiScaleRoIAlign). It differs from 1/4, 1/8 ... only for images a few pixels high.
 */
function featureScales(jobs: readonly Job[], config: MaskRcnnConfig): number[] {
  const tallest = Math.max(...jobs.map((job) => job.resized.height));
  let height = Math.ceil(jobs[0]!.padded.height / 4);
  return config.backbone.blocks.map(() => {
    const scale = 2 ** roundHalfEven(Math.fround(Math.log2(Math.fround(height / tallest))));
    height = Math.ceil(height / 2);
    return scale;
  });
}

function record(
  { sizes, images, features: dtype }: NetworkInputs,
  jobs: readonly Job[],
  parameters: Parameters,
  config: MaskRcnnConfig,
  probe: MaskRcnnProbe = {},
): NetworkOutputs {
  const { padded } = jobs[0]!;
  const scales = featureScales(jobs, config);
  const see = (name: string, tensor: SymbolicTensor): SymbolicTensor => {
    probe.see?.(name, tensor);
    return tensor;
  };
  const { epsilon } = config.batchNorm;
  const input = see(
    'image',
    ops.preprocess(images, sizes, {
      height: padded.height,
      width: padded.width,
      mean: config.image.mean,
      std: config.image.std,
      scale: config.image.scale,
      order: config.image.normalizeBeforeResize ? 'normalizeFirst' : 'resizeFirst',
    }),
  );
  const body = resnet(
    ops.cast(input, dtype),
    parameters.scope('backbone.body'),
    config.backbone,
    epsilon,
    (stage) => `layer${stage + 1}`,
  );
  body.forEach((map, i) => see(`body.c${i + 2}`, map));
  const pyramid = fpn(body, parameters.scope('backbone.fpn'), epsilon);
  pyramid.forEach((map, i) => see(`fpn.${i === pyramid.length - 1 ? 'pool' : i}`, map));

  const rpn = rpnHead(pyramid, parameters.scope('rpn.head'), config.rpn);
  rpn.forEach(({ objectness, deltas }, i) => {
    see(`rpn.objectness.${i}`, objectness);
    see(`rpn.deltas.${i}`, deltas);
  });
  const proposed = proposeRegions(rpn, sizes, [padded.height, padded.width], config.anchors, config.rpn);
  see('proposals', proposed.boxes);
  see('proposal_scores', proposed.scores);
  see('proposal_counts', proposed.counts);
  const proposals = probe.proposals
    ? { boxes: reshapeRows(probe.proposals.boxes), counts: reshapeRows(probe.proposals.counts) }
    : proposed;

  const maps = pyramid.slice(0, -1);
  const align = (boxes: SymbolicTensor, counts: SymbolicTensor, size: number): SymbolicTensor =>
    ops.roiAlign(boxes, maps, {
      counts,
      output: size,
      samplingRatio: config.roiAlign.samplingRatio,
      aligned: config.roiAlign.aligned,
      scales,
      canonicalScale: config.roiAlign.canonicalScale,
      canonicalLevel: config.roiAlign.canonicalLevel,
      levelEpsilon: config.roiAlign.levelEps,
    });
  const pooled = see('box_roi_pool', align(proposals.boxes, proposals.counts, config.roiAlign.boxSize));
  const heads = parameters.scope('roi_heads');
  const features = see('box_head', boxHead(pooled, proposals.counts, heads.scope('box_head'), config.box, epsilon));
  const predictions = boxPredictor(features, proposals.counts, heads.scope('box_predictor'));
  see('box_logits', predictions.logits);
  see('box_deltas', predictions.deltas);
  const detected = detect(predictions, proposals, sizes, config.box);
  see('boxes_transformed', detected.boxes);
  const detections: Detections = probe.detections
    ? {
        boxes: reshapeRows(probe.detections.boxes),
        labels: reshapeRows(probe.detections.labels),
        counts: reshapeRows(probe.detections.counts),
        scores: detected.scores,
      }
    : detected;

  const { counts } = detections;
  const maskPooled = see('mask_roi_pool', align(detections.boxes, counts, config.roiAlign.maskSize));
  const maskFeatures = see('mask_head', maskHead(maskPooled, counts, heads.scope('mask_head'), config.mask, epsilon));
  const logits = see('mask_logits_all_classes', maskPredictor(maskFeatures, counts, heads.scope('mask_predictor')));
  const probabilities = see(
    'mask_probs',
    ops.selectChannel(logits, detections.labels, { activation: 'sigmoid', counts }),
  );
  const [rows, height, width] = probabilities.shape as [number, number, number];
  const boxes = ops.scaleBoxes(detections.boxes, sizes, { counts });
  const pasted = ops.pasteMasks(
    reshape(probabilities, [images.length, rows / images.length, height, width]),
    boxes,
    sizes,
    { counts, rule: config.mask.paste, threshold: config.mask.threshold },
  );
  return {
    counts,
    boxes,
    scores: detected.scores,
    labels: detections.labels,
    regions: pasted.regions,
    offsets: pasted.offsets,
    bits: pasted.bits,
  };
}

/** Any tensor as one of the recording under way, its shape unchanged. */
export function reshapeRows(tensor: TensorLike): SymbolicTensor {
  return reshape(tensor, tensor.shape);
}

/** The options of a call, checked, as overrides of the configuration. */
function toOverrides(options: SegmentOptions): ConfigOverrides {
  return {
    box: defined({
      scoreThreshold: fraction(options, 'scoreThreshold'),
      nmsThreshold: fraction(options, 'nmsThreshold'),
      maxDetections: count(options, 'maxDetections', 10_000),
    }),
    rpn: defined({
      nmsThreshold: fraction(options, 'rpnNmsThreshold'),
      preNmsTopN: count(options, 'preNmsTopN', 100_000),
      postNmsTopN: count(options, 'postNmsTopN', 100_000),
    }),
    mask: defined({ threshold: fraction(options, 'maskThreshold') }),
    image: defined({ minSize: count(options, 'minSize', 16_384), maxSize: count(options, 'maxSize', 16_384) }),
  };
}

/** The configuration of a Mask R-CNN of either family with a call's options in it. */
export function configureMaskRcnn<Config extends MaskRcnnConfig | Detectron2Config>(
  config: Config,
  options: SegmentOptions,
): Config {
  refuse(options, ['nms', 'topK', 'maskResolution', 'rescoreBoxes'], 'Mask R-CNN');
  return overrideConfig(config, toOverrides(options));
}

/** One detection, in the words of its model. */
export function describeDetection(
  outputs: ResultOf<NetworkOutputs>,
  row: number,
  config: MaskRcnnConfig | Detectron2Config,
): Omit<Instance, 'area' | 'mask'> {
  const [x1, y1, x2, y2] = rowOf(outputs.boxes, row) as [number, number, number, number];
  const classId = outputs.labels.data[row]!;
  return {
    label: config.classNames[classId] ?? String(classId),
    classId,
    categoryId: config.categoryIds[classId] ?? classId,
    score: outputs.scores.data[row]!,
    box: [x1, y1, x2 - x1, y2 - y1],
  };
}

/** torchvision's Mask R-CNN. */
export const maskRcnn: Network<MaskRcnnConfig> = {
  configure: configureMaskRcnn,
  sizes(image, config) {
    const resized = resizedSize(image, config.image);
    return { resized, padded: paddedSize(resized, config.image.sizeDivisor) };
  },
  planKey: (jobs, config) => [featureScales(jobs, config), config.rpn, config.box, config.mask],
  record,
  describe: describeDetection,
};
