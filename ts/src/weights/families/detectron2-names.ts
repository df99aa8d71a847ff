import { canonicalNames } from './names.js';

// How detectron2 calls the layers of a Mask R-CNN, beside what the layers in ts/src/nn call them (torchvision's names).

/** Buffers that older versions of detectron2 stored and the configuration replaces. */
const BUFFERS = /^(pixel_mean|pixel_std|proposal_generator\.anchor_generator\.cell_anchors\.\d+)$/;

/**
 * Canonical names, those of the published checkpoints, for the names of a detectron2 state dict, in the same order.
 * Prefixes that wrappers add to all names are removed; buffers that hold no weights are left out.
 */
export const canonicalDetectron2Names = (names: Iterable<string>): Map<string, string> =>
  canonicalNames(names, (name) => (BUFFERS.test(name) ? undefined : name));

type Rename = readonly [pattern: RegExp, replacement: string | ((...groups: string[]) => string)];

/** detectron2 counts stages from C1 and laterals by their level. */
const LAYERS: readonly Rename[] = [
  [/^backbone\.body\.conv1\./, 'backbone.bottom_up.stem.conv1.'],
  [/^backbone\.body\.bn1\./, 'backbone.bottom_up.stem.conv1.norm.'],
  [/^backbone\.body\.layer(\d)\./, (_, stage) => `backbone.bottom_up.res${Number(stage) + 1}.`],
  [/^backbone\.fpn\.inner_blocks\.(\d)\.0\./, (_, level) => `backbone.fpn_lateral${Number(level) + 2}.`],
  [/^backbone\.fpn\.layer_blocks\.(\d)\.0\./, (_, level) => `backbone.fpn_output${Number(level) + 2}.`],
  [/^rpn\.head\.conv\.0\.0\./, 'proposal_generator.rpn_head.conv.'],
  [/^rpn\.head\.cls_logits\./, 'proposal_generator.rpn_head.objectness_logits.'],
  [/^rpn\.head\.bbox_pred\./, 'proposal_generator.rpn_head.anchor_deltas.'],
  [/^roi_heads\.box_head\.fc(\d+)\./, (_, layer) => `roi_heads.box_head.fc${Number(layer) - 5}.`],
  [/^roi_heads\.mask_head\.(\d)\.0\./, (_, layer) => `roi_heads.mask_head.mask_fcn${Number(layer) + 1}.`],
  [/^roi_heads\.mask_predictor\.conv5_mask\./, 'roi_heads.mask_head.deconv.'],
  [/^roi_heads\.mask_predictor\.mask_fcn_logits\./, 'roi_heads.mask_head.predictor.'],
  // Inside a block, after the stage.
  [/\.bn(\d)\.(?=\w+$)/, '.conv$1.norm.'],
  [/\.downsample\.0\./, '.shortcut.'],
  [/\.downsample\.1\./, '.shortcut.norm.'],
];

/** The name in a detectron2 checkpoint of a tensor that ts/src/nn asks for. */
export function detectron2Name(name: string): string {
  return LAYERS.reduce(
    (current, [pattern, replacement]) => current.replace(pattern, replacement as (...groups: string[]) => string),
    name,
  );
}
