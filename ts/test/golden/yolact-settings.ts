/** The settings of a YOLACT case as instaseg's options, and against the configuration of the loaded model. */
import type { SegmentOptions } from '../../src/models/options.js';
import type { ConfigOverrides, ModelConfig, YolactConfig } from '../../src/weights/families/config.js';
import { PRESETS } from '../../src/weights/families/yolact-config.js';
import type { YolactFile } from './case-files.js';
import { Fields } from './op-case.js';

export interface YolactSettings {
  readonly call: SegmentOptions;
  readonly load: ConfigOverrides;
}

/** Configurations that are recognised by their tensors alone. */
const RECOGNISED = [
  'yolact_resnet50',
  'yolact_base',
  'yolact_darknet53',
  'yolact_plus_resnet50',
  'yolact_plus_base',
] as const;

/** What a call and the loading are given; everything else has to be in the loaded model already. */
export function yolactSettings({ model, settings }: YolactFile): YolactSettings {
  const call: SegmentOptions = {
    scoreThreshold: settings['score_threshold'] as number,
    nms: settings['cross_class_nms'] === true ? 'cross-class' : 'fast',
  };
  if ((RECOGNISED as readonly string[]).includes(model)) return { call, load: {} };
  if (PRESETS.includes(model)) return { call, load: { model } };
  // Another one's weights: its anchors and its size are not in them.
  const load = {
    model,
    image: { size: settings['max_size'] as number },
    anchors: {
      scales: settings['pred_scales'] as number[][],
      ratios: (settings['aspect_ratios'] as number[][][])[0]![0]!,
      square: settings['use_square_anchors'] as boolean,
    },
  };
  return { call, load };
}

/** Which blocks are deformable, by the arguments of the official backbone: blocks, deformable layers, every so many. */
function deformable(blocks: readonly number[], layers: readonly number[], interval: number): boolean[][] {
  return blocks.map((count, stage) =>
    Array.from({ length: count }, (_, i) =>
      i === 0 ? layers[stage]! >= count : i + layers[stage]! >= count && i % interval === 0,
    ),
  );
}

/** What of the case's settings the model does not have; throws where the case configures something unknown. */
export function findDifferences(config: ModelConfig, { model, config: given, settings }: YolactFile): string[] {
  if (config.family !== 'yolact') return [`the weights are taken for ${config.family}`];
  const [options, fields] = [new Fields(given), new Fields(settings)];
  const different: string[] = [];
  const equal = (name: string, expected: unknown, actual: unknown): void => {
    const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (a !== b) different.push(`${name} is ${a}, expected ${b}`);
  };
  equal('model', model, config.model);
  const { image, detect, mask, backbone } = config;
  equal('max_size', fields.number('max_size'), image.size);
  equal('num_classes', fields.number('num_classes'), config.numClasses);
  equal('conf_thresh', fields.number('conf_thresh'), detect.confThreshold);
  equal('nms_thresh', fields.number('nms_thresh'), detect.nmsThreshold);
  equal('top_k', fields.number('top_k'), detect.topK);
  equal('max_num_detections', fields.number('max_num_detections'), detect.maxDetections);
  equal('use_maskiou', fields.flag('use_maskiou'), mask.rescore !== null);
  equal('rescore_mask', fields.flag('rescore_mask'), mask.rescore !== null);
  equal('rescore_bbox', fields.flag('rescore_bbox'), mask.rescoreBoxes);
  compareAnchors(fields, config, equal);
  compareBackbone(fields.any('backbone_args'), config, equal);
  const stats = [fields.any('mean_bgr'), fields.any('std_bgr')];
  // Without a scale these are the ResNets' numbers, which DarkNet does not use; its input is among the stages.
  if (backbone.kind === 'resnet' || fields.has('scale')) {
    equal('mean and std', stats, [image.mean, image.std]);
    equal('scale', fields.has('scale') ? fields.number('scale') : 1, image.scale);
  }
  // What a call is given, and what is always so.
  fields.number('score_threshold');
  options.only('cross_class_nms', fields.flag('cross_class_nms'));
  fields.only('crop_masks', true);
  fields.only('fast_nms', true);
  const unread = [...fields.unread, ...options.unread];
  if (unread.length > 0) throw new Error(`this runner does not know the setting ${unread.join(', ')}`);
  return different;
}

type Equal = (name: string, expected: unknown, actual: unknown) => void;

function compareAnchors(fields: Fields, { anchors }: YolactConfig, equal: Equal): void {
  equal('pred_scales', fields.any('pred_scales'), anchors.scales);
  // One list a level, of one list a scale of the prediction layer.
  equal(
    'aspect_ratios',
    fields.any('aspect_ratios'),
    anchors.scales.map(() => [anchors.ratios]),
  );
  equal('use_square_anchors', fields.flag('use_square_anchors'), anchors.square);
}

function compareBackbone(args: unknown, { backbone }: YolactConfig, equal: Equal): void {
  const [blocks, layers, interval = 1, ...rest] = args as [number[], number[]?, number?, ...unknown[]];
  if (rest.length > 0) throw new Error(`this runner does not know the backbone's arguments ${JSON.stringify(rest)}`);
  equal('the blocks', blocks, backbone.blocks);
  if (backbone.kind === 'darknet') return equal('deformable layers', undefined, layers);
  const none = blocks.map(() => 0);
  equal('the deformable blocks', deformable(blocks, layers ?? none, interval), backbone.deformable);
}
