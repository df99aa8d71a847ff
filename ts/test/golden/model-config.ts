/** The configuration of a case as instaseg's options: what a call can change, and what is given when the model is loaded. */
import type { SegmentOptions } from '../../src/models/options.js';
import type { ConfigOverrides } from '../../src/weights/families/config.js';
import { Fields } from './op-case.js';

export interface ModelSettings {
  readonly call: SegmentOptions;
  readonly load: ConfigOverrides;
  readonly maskThreshold: number;
}

/** Throws where the case configures something that this runner does not know. */
export function modelSettings(config: Readonly<Record<string, unknown>>): ModelSettings {
  const fields = new Fields(config);
  const channels = (name: string): number[] => {
    const values = fields.any(name);
    if (!Array.isArray(values) || values.length !== 3) throw new Error(`"${name}" must have three numbers`);
    return values as number[];
  };
  const maskThreshold = fields.number('mask_threshold');
  const call = {
    minSize: fields.number('min_size'),
    maxSize: fields.number('max_size'),
    preNmsTopN: fields.number('rpn_pre_nms_top_n_test'),
    postNmsTopN: fields.number('rpn_post_nms_top_n_test'),
    rpnNmsThreshold: fields.number('rpn_nms_thresh'),
    scoreThreshold: fields.number('box_score_thresh'),
    nmsThreshold: fields.number('box_nms_thresh'),
    maxDetections: fields.number('box_detections_per_img'),
    maskThreshold,
  };
  const load = {
    image: {
      mean: channels('image_mean'),
      std: channels('image_std'),
      sizeDivisor: fields.number('size_divisible'),
    },
    rpn: { scoreThreshold: fields.number('rpn_score_thresh'), minSize: fields.number('rpn_min_size') },
    box: { minSize: fields.number('box_min_size') },
  };
  if (fields.unread.length > 0) throw new Error(`this runner does not know the setting ${fields.unread.join(', ')}`);
  return { call, load, maskThreshold };
}
