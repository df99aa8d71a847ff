/** YOLACTs so narrow that an image takes a tenth of a second, with random weights that find things of several classes. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { seededWeights, writeSafetensors, yolactTensors } from '../../src/index.js';
import type { YolactConfig } from '../../src/weights/families/config.js';
import { inferYolact } from '../../src/weights/families/yolact.js';
import type { SeededRule } from '../../src/weights/seeded.js';

const LISTS = path.resolve(__dirname, '../../../ts/test/weights/yolact-tensors.json');

export type TinyYolact = 'yolact_resnet50' | 'yolact_darknet53' | 'yolact_plus_resnet50';

/** The model of that name with a few channels and blocks; `yolact_resnet50` is the other ResNet without what ++ adds. */
function tinyConfig(model: TinyYolact, numClasses: number, channels: number): YolactConfig {
  const lists = JSON.parse(readFileSync(LISTS, 'utf8')) as { models: Record<string, Record<string, number[]>> };
  const name = model === 'yolact_resnet50' ? 'yolact_plus_resnet50' : model;
  const shapes = Object.entries(lists.models[name]!).map(([tensor, shape]) => [tensor, { shape }] as const);
  const full = inferYolact(new Map(shapes))!;
  const { backbone, protonet } = full;
  const plain = model !== 'yolact_plus_resnet50';
  return {
    ...full,
    numClasses,
    backbone:
      backbone.kind === 'resnet'
        ? {
            ...backbone,
            blocks: [1, 2, 1, 1],
            stem: channels / 2,
            widths: [8, 8, 8, 8],
            outputs: [16, 16, 16, 16],
            deformable: [[false], [!plain, !plain], [!plain], [!plain]],
          }
        : { ...backbone, blocks: [1, 1, 2, 1, 1], stem: 8, widths: [8, 8, 8, 8, 8], outputs: [16, 16, 16, 16, 16] },
    fpn: { ...full.fpn, channels },
    protonet: {
      ...protonet,
      layers: protonet.layers.map((layer) =>
        layer.kind === 'conv' ? { ...layer, channels: layer.kernel === 1 ? 8 : channels } : layer,
      ),
    },
    head: {
      ...full.head,
      upfeature: [channels],
      coefficients: 8,
      anchorsPerCell: plain ? 3 : full.head.anchorsPerCell,
    },
    mask: { ...full.mask, rescore: plain ? null : { convs: [4, 4, 4, 4, 4] } },
  };
}

/** Scores spread over the classes, boxes of all sizes, masks of both signs. */
const RULES: readonly SeededRule[] = [
  ['\\.bn3\\.weight$', 0.25, 0],
  ['\\.conv2\\.1\\.weight$', 0.25, 0], // DarkNet
  ['fpn\\.lat_layers', 0.4, 0],
  ['conv_offset_mask', 0.5, 0],
  ['conf_layer', 1.2, 0],
  ['bbox_layer', 1, 0],
  ['mask_layer', 0.5, 0],
  ['maskiou_net\\.maskiou_net\\.10', 0.7, 0.3],
];

/**
 * Writes one, without metadata, as PyTorch's files are. The background counts as a class; `channels` are those of the
 * FPN, the head and the protonet.
 */
export async function writeTinyYolact(file: string, model: TinyYolact, numClasses = 81, channels = 16): Promise<void> {
  await writeSafetensors(file, seededWeights(yolactTensors(tinyConfig(model, numClasses, channels)), 3, RULES));
}
