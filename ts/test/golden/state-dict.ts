/** Names and shapes of torchvision's Mask R-CNNs, as model.state_dict() lists them. */

export const MODELS = ['maskrcnn_resnet50_fpn', 'maskrcnn_resnet50_fpn_v2'] as const;
export type ModelName = (typeof MODELS)[number];

const BLOCKS = [3, 4, 6, 3];
const CHANNELS = 256;
const FEATURES = 1024;
const ANCHORS = 3;

/**
 * The tensors of a model that classifies into so many classes, the background included. v1 is the one that the published
 * weights are for: frozen batch normalisation, which counts nothing; v2 has ordinary batch normalisation with counters.
 */
export function stateDict(model: ModelName, numClasses: number): Map<string, number[]> {
  const v2 = model === 'maskrcnn_resnet50_fpn_v2';
  const shapes = new Map<string, number[]>();
  const norm = (name: string, width: number): void => {
    for (const leaf of ['weight', 'bias', 'running_mean', 'running_var']) shapes.set(`${name}.${leaf}`, [width]);
    if (v2) shapes.set(`${name}.num_batches_tracked`, []);
  };
  const conv = (name: string, shape: number[], bias: boolean, outputs = shape[0]!): void => {
    shapes.set(`${name}.weight`, shape);
    if (bias) shapes.set(`${name}.bias`, [outputs]);
  };
  /** Conv2dNormActivation: v2 normalises, v1 has a bias. */
  const block = (name: string, shape: number[], normalised = v2): void => {
    conv(`${name}.0`, shape, !normalised);
    if (normalised) norm(`${name}.1`, shape[0]!);
  };

  conv('backbone.body.conv1', [64, 3, 7, 7], false);
  norm('backbone.body.bn1', 64);
  let inputs = 64;
  BLOCKS.forEach((count, stage) => {
    const width = 64 << stage;
    for (let i = 0; i < count; i += 1) {
      const name = `backbone.body.layer${stage + 1}.${i}`;
      [
        [width, inputs, 1, 1],
        [width, width, 3, 3],
        [4 * width, width, 1, 1],
      ].forEach((shape, k) => {
        conv(`${name}.conv${k + 1}`, shape, false);
        norm(`${name}.bn${k + 1}`, shape[0]!);
      });
      if (i === 0) {
        conv(`${name}.downsample.0`, [4 * width, inputs, 1, 1], false);
        norm(`${name}.downsample.1`, 4 * width);
      }
      inputs = 4 * width;
    }
  });
  BLOCKS.forEach((_, i) => block(`backbone.fpn.inner_blocks.${i}`, [CHANNELS, 256 << i, 1, 1]));
  BLOCKS.forEach((_, i) => block(`backbone.fpn.layer_blocks.${i}`, [CHANNELS, CHANNELS, 3, 3]));

  for (let i = 0; i < (v2 ? 2 : 1); i += 1) block(`rpn.head.conv.${i}`, [CHANNELS, CHANNELS, 3, 3], false);
  conv('rpn.head.cls_logits', [ANCHORS, CHANNELS, 1, 1], true);
  conv('rpn.head.bbox_pred', [4 * ANCHORS, CHANNELS, 1, 1], true);

  const flat = CHANNELS * 7 * 7;
  if (v2) {
    for (let i = 0; i < 4; i += 1) block(`roi_heads.box_head.${i}`, [CHANNELS, CHANNELS, 3, 3]);
    conv('roi_heads.box_head.5', [FEATURES, flat], true);
  } else {
    conv('roi_heads.box_head.fc6', [FEATURES, flat], true);
    conv('roi_heads.box_head.fc7', [FEATURES, FEATURES], true);
  }
  conv('roi_heads.box_predictor.cls_score', [numClasses, FEATURES], true);
  conv('roi_heads.box_predictor.bbox_pred', [4 * numClasses, FEATURES], true);
  for (let i = 0; i < 4; i += 1) block(`roi_heads.mask_head.${i}`, [CHANNELS, CHANNELS, 3, 3]);
  // Transposed: [in, out, height, width].
  conv('roi_heads.mask_predictor.conv5_mask', [CHANNELS, CHANNELS, 2, 2], true);
  conv('roi_heads.mask_predictor.mask_fcn_logits', [numClasses, CHANNELS, 1, 1], true);
  return shapes;
}
