/** The configuration of a detectron2 case: what a call can change, and what the weights alone have to give. */
import type { ModelConfig } from '../../src/weights/families/config.js';
import type { Detectron2File } from './case-files.js';
import type { ModelSettings } from './model-config.js';
import { Fields } from './op-case.js';

/** Throws where the case configures something that this runner does not know. */
export function detectron2Settings({ config }: Pick<Detectron2File, 'config'>): ModelSettings {
  const fields = new Fields(config);
  const maskThreshold = fields.number('mask_threshold');
  const call = {
    minSize: fields.number('min_size'),
    maxSize: fields.number('max_size'),
    preNmsTopN: fields.number('rpn_pre_nms_topk'),
    postNmsTopN: fields.number('rpn_post_nms_topk'),
    rpnNmsThreshold: fields.number('rpn_nms_thresh'),
    scoreThreshold: fields.number('score_thresh'),
    nmsThreshold: fields.number('nms_thresh'),
    maxDetections: fields.number('detections_per_image'),
    maskThreshold,
  };
  for (const name of ['pixel_mean', 'pixel_std', 'size_divisible']) fields.any(name); // see below
  if (fields.unread.length > 0) throw new Error(`this runner does not know the setting ${fields.unread.join(', ')}`);
  return { call, load: {}, maskThreshold };
}

/** What the loader made of names and shapes, where it is not what the case was computed with. */
export function detectron2Differences(config: ModelConfig, file: Detectron2File): string[] {
  if (config.family !== 'detectron2') return [`the family is ${config.family}`];
  const { architecture } = file;
  const { backbone, image, box, mask, fpn, numClasses } = config;
  const pairs: readonly (readonly [name: string, actual: unknown, expected: unknown])[] = [
    ['mean', image.mean, file.config['pixel_mean']],
    ['std', image.std, file.config['pixel_std']],
    ['divisor', image.sizeDivisor, file.config['size_divisible']],
    ['blocks', backbone.blocks, architecture.blocks],
    ['groups', backbone.groups, architecture.groups],
    ['stride', backbone.strideIn, architecture.stride_in_1x1 ? '1x1' : '3x3'],
    ['channels', fpn.channels, architecture.channels],
    ['fcs', box.fcs, architecture.fcs],
    ['mask convolutions', mask.convs, architecture.mask_convs],
    ['classes', numClasses, file.num_classes + 1],
  ];
  return pairs
    .filter(([, actual, expected]) => JSON.stringify(actual) !== JSON.stringify(expected))
    .map(([name, actual, expected]) => `${name}: ${JSON.stringify(actual)}, expected ${JSON.stringify(expected)}`);
}
