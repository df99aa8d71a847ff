/** Mask R-CNNs of torchvision so narrow that an image takes a tenth of a second; random weights that find things. */
import { seededWeights, torchvisionTensors, type SeededTensor } from '../../src/index.js';
import type { SeededRule } from '../../src/weights/seeded.js';
import { slimConfig } from '../weights/support.js';

export type TinyMaskRcnn = 'maskrcnn_resnet50_fpn' | 'maskrcnn_resnet50_fpn_v2';

/** Scores spread over the classes, boxes of all sizes. */
const RULES: readonly SeededRule[] = [
  ['\\.bn3\\.weight$', 0.5, 0],
  ['fpn\\.inner', 0.5, 0],
  ['rpn\\.head\\.cls_logits', 0.5, -2],
  ['rpn\\.head\\.bbox_pred', 0.2, 0],
  ['cls_score', 1.5, 0],
  ['box_predictor\\.bbox_pred', 0.5, 0],
];

/** The tensors of one, without what only training needs. The background counts as a class. */
export function tinyMaskRcnn(model: TinyMaskRcnn, numClasses = 6): SeededTensor[] {
  const slim = slimConfig(model, numClasses);
  const { head } = slim.box;
  const config = {
    ...slim,
    backbone: { ...slim.backbone, stem: 8, widths: [8, 8, 8, 8], outputs: [16, 20, 24, 28] },
    fpn: { ...slim.fpn, channels: 12 },
    roiAlign: { ...slim.roiAlign, boxSize: 7 },
    box: { ...slim.box, head: { ...head, fcs: head.kind === 'fc' ? [32, 24] : [32] } },
    mask: { ...slim.mask, convs: [12, 8], predictor: 8 },
  };
  return seededWeights(torchvisionTensors(config), 3, RULES);
}
