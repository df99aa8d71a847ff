/**
 * Mask R-CNN (He et al., 2017) on a ResNet or ResNeXt with FPN, as detectron2 computes it (GeneralizedRCNN with
 * StandardROIHeads): the whole forward pass, from decoded pixels to masks in the original image, recorded as one plan.
 * The layers are those of torchvision's; what goes in, what is kept and how masks are pasted is detectron2's own.
 */
import * as ops from '../ops/index.js';
import { boxHead, boxPredictor, type Detections } from '../nn/box-head.js';
import { fpn } from '../nn/fpn.js';
import { maskHead, maskPredictor } from '../nn/mask-head.js';
import type { Parameters } from '../nn/parameters.js';
import { resnet } from '../nn/resnet.js';
import { paddedSize, resizedShortestEdge } from '../nn/resized-size.js';
import { rpnHead } from '../nn/rpn.js';
import { reshape, type SymbolicTensor } from '../runtime/graph.js';
import { Tensor } from '../runtime/tensor.js';
import type { Detectron2Config } from '../weights/families/config.js';
import { detectron2Name } from '../weights/families/detectron2-names.js';
import { findDetections, findProposals, placeDetections } from './detectron2-selection.js';
import { configureMaskRcnn, describeDetection, type MaskRcnnProbe, reshapeRows } from './mask-rcnn.js';
import type { Job, Network, NetworkInputs, NetworkOutputs } from './network.js';

function record(
  { sizes, images, features: dtype }: NetworkInputs,
  jobs: readonly Job[],
  checkpoint: Parameters,
  config: Detectron2Config,
  probe: MaskRcnnProbe = {},
): NetworkOutputs {
  const { padded } = jobs[0]!;
  const see = (name: string, tensor: SymbolicTensor): SymbolicTensor => {
    probe.see?.(name, tensor);
    return tensor;
  };
  const { epsilon } = config.batchNorm;
  const parameters = checkpoint.renamed(detectron2Name);
  const input = see(
    'image',
    ops.preprocessPillow(images, sizes, {
      height: padded.height,
      width: padded.width,
      mean: config.image.mean,
      std: config.image.std,
      swapChannels: config.image.channelOrder === 'bgr',
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

  const rpn = rpnHead(pyramid, parameters.scope('rpn.head'), { convDepth: 1 });
  rpn.forEach(({ objectness, deltas }, i) => {
    see(`rpn.objectness.${i}`, objectness);
    see(`rpn.deltas.${i}`, deltas);
  });
  const proposed = findProposals(rpn, sizes, config.anchors, config.rpn);
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
      scales: maps.map((_, level) => 1 / config.anchors.strides[level]!),
      canonicalScale: config.roiAlign.canonicalScale,
      canonicalLevel: config.roiAlign.canonicalLevel,
      levelRule: config.roiAlign.levelRule,
      levelEpsilon: config.roiAlign.levelEps,
    });
  const heads = parameters.scope('roi_heads');
  const pooled = see('box_roi_pool', align(proposals.boxes, proposals.counts, config.roiAlign.boxSize));
  const dense = { head: { kind: 'fc', fcs: config.box.fcs } } as const;
  const features = see('box_head', boxHead(pooled, proposals.counts, heads.scope('box_head'), dense, epsilon));
  const predictions = boxPredictor(features, proposals.counts, heads.scope('box_predictor'));
  see('box_logits', predictions.logits);
  see('box_deltas', predictions.deltas);
  const detected = findDetections(predictions, proposals, sizes, config.box);
  see('boxes_transformed', detected.boxes);
  const placed = placeDetections(probe.detections ? probed(probe.detections) : detected, sizes);

  const { counts } = placed;
  const maskPooled = see('mask_roi_pool', align(placed.resized, counts, config.roiAlign.maskSize));
  const maskFeatures = see('mask_head', maskHead(maskPooled, counts, heads.scope('mask_head'), config.mask, epsilon));
  const logits = see('mask_logits_all_classes', maskPredictor(maskFeatures, counts, heads.scope('mask_predictor')));
  const probabilities = see('mask_probs', ops.selectChannel(logits, placed.labels, { activation: 'sigmoid', counts }));
  const [rows, height, width] = probabilities.shape as [number, number, number];
  const pasted = ops.pasteMasks(
    reshape(probabilities, [images.length, rows / images.length, height, width]),
    placed.boxes,
    sizes,
    { counts, rule: config.mask.paste, threshold: config.mask.threshold },
  );
  return {
    counts,
    boxes: placed.boxes,
    scores: placed.scores,
    labels: placed.labels,
    regions: pasted.regions,
    offsets: pasted.offsets,
    bits: pasted.bits,
  };
}

/** Given detections, whose scores nobody looks at. */
function probed({ boxes, labels, counts }: NonNullable<MaskRcnnProbe['detections']>): Detections {
  return {
    boxes: reshapeRows(boxes),
    labels: reshapeRows(labels),
    counts: reshapeRows(counts),
    scores: reshapeRows(Tensor.zeros(labels.shape)),
  };
}

/** detectron2's Mask R-CNN. */
export const detectron2: Network<Detectron2Config> = {
  configure: configureMaskRcnn,
  sizes(image, config) {
    const resized = resizedShortestEdge(image, config.image);
    return { resized, padded: paddedSize(resized, config.image.sizeDivisor) };
  },
  planKey: (_, config) => [config.rpn, config.box, config.mask],
  record,
  describe: describeDetection,
};
