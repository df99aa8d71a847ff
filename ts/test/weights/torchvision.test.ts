import test from 'ava';
import { checkWeights, describeFamily } from '../../src/weights/families/check-weights.js';
import type { MaskRcnnConfig } from '../../src/weights/families/config.js';
import {
  canonicalTorchvisionNames,
  inferTorchvision,
  torchvisionTensors,
} from '../../src/weights/families/torchvision.js';
import type { CheckpointDType } from '../../src/weights/tensor-info.js';
import { failsWith, failure, publishedTensors, sha256, slimConfig, torchvisionLists } from './support.js';

const v1 = publishedTensors('maskrcnn_resnet50_fpn');
const v2 = publishedTensors('maskrcnn_resnet50_fpn_v2');

/** The published v1 file: FrozenBatchNorm has no counters. */
const frozen = new Map([...v1].filter(([name]) => !name.endsWith('.num_batches_tracked')));

const infer = (...args: Parameters<typeof inferTorchvision>): MaskRcnnConfig =>
  inferTorchvision(...args) as MaskRcnnConfig;

for (const model of ['maskrcnn_resnet50_fpn', 'maskrcnn_resnet50_fpn_v2'] as const) {
  test(`${model}: names and shapes are torchvision's, in its order`, (t) => {
    const wanted = Object.entries(torchvisionLists.models[model]).filter(
      ([name]) => !name.endsWith('.num_batches_tracked'),
    );
    t.deepEqual([...torchvisionTensors(infer(publishedTensors(model)))], wanted);
  });
}

/** As `digest` of scripts/reference/make_test_checkpoints.py. */
const digest = (config: MaskRcnnConfig): string =>
  sha256(
    [...torchvisionTensors(config)]
      .map(([name, shape]) => `${name}: ${shape.join()}`)
      .sort()
      .join('\n'),
  );

test("other class counts and backbones have torchvision's names and shapes too", (t) => {
  const { digests } = torchvisionLists;
  const is = (config: MaskRcnnConfig, name: string): unknown => t.is(digest(config), digests[name] as string);
  is({ ...infer(v1), numClasses: 3 }, 'maskrcnn_resnet50_fpn, 3 classes');
  is({ ...infer(v2), numClasses: 3 }, 'maskrcnn_resnet50_fpn_v2, 3 classes');
  const { backbone, ...rest } = infer(v1);
  is({ ...rest, backbone: { ...backbone, blocks: [3, 4, 23, 3] } }, 'resnet101');
  const grouped = { ...backbone, groups: 32, widths: [128, 256, 512, 1024] };
  is({ ...rest, backbone: grouped }, 'resnext50_32x4d');
});

test('the published v1 weights give the whole configuration', (t) => {
  const config = infer(frozen);
  t.like(config, { family: 'torchvision', model: 'maskrcnn_resnet50_fpn', numClasses: 91 });
  t.deepEqual(config.batchNorm, { kind: 'frozen', epsilon: 0 });
  t.deepEqual(config.backbone, {
    blocks: [3, 4, 6, 3],
    stem: 64,
    widths: [64, 128, 256, 512],
    outputs: [256, 512, 1024, 2048],
    groups: 1,
    strideIn: '3x3',
  });
  t.deepEqual(config.fpn, { channels: 256, norm: false });
  t.deepEqual(config.box.head, { kind: 'fc', fcs: [1024, 1024] });
  t.like(config.mask, { convs: [256, 256, 256, 256], norm: false, predictor: 256, threshold: 0.5 });
  t.like(config.rpn, { convDepth: 1, preNmsTopN: 1000, postNmsTopN: 1000, nmsThreshold: 0.7, minSize: 1e-3 });
  t.like(config.roiAlign, { aligned: false, samplingRatio: 2, boxSize: 7, maskSize: 14, levelEps: 1e-6 });
  t.like(config.image, { minSize: 800, maxSize: 1333, scale: 1 / 255, normalizeBeforeResize: true });
  t.is(config.classNames[17], 'cat');
});

test('v2 is told from v1 by its parts', (t) => {
  const config = infer(v2);
  t.is(config.model, 'maskrcnn_resnet50_fpn_v2');
  t.deepEqual(config.batchNorm, { kind: 'batch', epsilon: 1e-5 });
  t.true(config.fpn.norm && config.mask.norm);
  t.is(config.rpn.convDepth, 2);
  t.deepEqual(config.box.head, { kind: 'conv+fc', convs: [256, 256, 256, 256], fcs: [1024] });
  t.is(config.roiAlign.boxSize, 7);
});

test('a file without counters is frozen, unless its FPN is normalised', (t) => {
  t.deepEqual(infer(v1).batchNorm, { kind: 'batch', epsilon: 1e-5 });
  const bare = new Map([...v2].filter(([name]) => !name.endsWith('.num_batches_tracked')));
  t.deepEqual(infer(bare).batchNorm, { kind: 'batch', epsilon: 1e-5 });
  t.deepEqual(infer(frozen, {}, { batchNormEpsilon: 1e-5 }).batchNorm, { kind: 'frozen', epsilon: 1e-5 });
});

for (const model of ['maskrcnn_resnet50_fpn', 'maskrcnn_resnet50_fpn_v2'] as const) {
  test(`${model}: all widths and depths are read from the tensors`, (t) => {
    const slim = slimConfig(model);
    t.deepEqual(slim.backbone.blocks, [1, 2, 1, 1]);
    t.deepEqual(slim.backbone.outputs, [4, 6, 8, 10]);
    t.is(slim.roiAlign.boxSize, 3);
    t.is(slim.numClasses, 3);
    t.deepEqual(slim.classNames, ['background', 'class 1', 'class 2']);
    const again = new Map(
      [...torchvisionTensors(slim)].map(([name, shape]) => [name, { dtype: 'f32' as const, shape }]),
    );
    t.notThrows(() => checkWeights(torchvisionTensors(infer(again)), again));
  });
}

const OLD: [string, string][] = [
  ['backbone.fpn.inner_blocks.0.weight', 'backbone.fpn.inner_blocks.0.0.weight'],
  ['backbone.fpn.layer_blocks.3.bias', 'backbone.fpn.layer_blocks.3.0.bias'],
  ['rpn.head.conv.weight', 'rpn.head.conv.0.0.weight'],
  ['roi_heads.mask_head.mask_fcn1.weight', 'roi_heads.mask_head.0.0.weight'],
  ['roi_heads.mask_head.mask_fcn4.bias', 'roi_heads.mask_head.3.0.bias'],
  ['backbone.body.conv1.weight', 'backbone.body.conv1.weight'],
  ['roi_heads.mask_predictor.mask_fcn_logits.weight', 'roi_heads.mask_predictor.mask_fcn_logits.weight'],
];

test('old names become current ones, and current ones stay', (t) => {
  t.deepEqual([...canonicalTorchvisionNames(OLD.map(([old]) => old))], OLD);
  const current = OLD.map(([, name]) => name);
  t.deepEqual(
    [...canonicalTorchvisionNames(current)],
    current.map((name) => [name, name]),
  );
});

test('prefixes of wrappers are removed where all names have them', (t) => {
  const wrapped = OLD.map(([old, name]) => [`module._orig_mod.${old}`, name] as [string, string]);
  t.deepEqual([...canonicalTorchvisionNames(wrapped.map(([old]) => old))], wrapped);
  t.deepEqual(
    [...canonicalTorchvisionNames(['module.a', 'b'])],
    [
      ['module.a', 'module.a'],
      ['b', 'b'],
    ],
  );
  t.is(canonicalTorchvisionNames([]).size, 0);
});

test('two names for one tensor are refused', async (t) => {
  const names = ['rpn.head.conv.weight', 'rpn.head.conv.0.0.weight'];
  await failsWith(() => canonicalTorchvisionNames(names), 'ERR_WEIGHTS', /are both "rpn\.head\.conv\.0\.0\.weight"/);
  t.pass();
});

test('old names are understood when a configuration is inferred', (t) => {
  const old = new Map(
    [...frozen].map(([name, info]) => [
      name
        .replace(/(inner|layer)_blocks\.(\d)\.0\./, '$1_blocks.$2.')
        .replace('rpn.head.conv.0.0.', 'rpn.head.conv.')
        .replace(/mask_head\.(\d)\.0\./, (_, i) => `mask_head.mask_fcn${Number(i) + 1}.`),
      info,
    ]),
  );
  t.true(old.has('roi_heads.mask_head.mask_fcn4.bias'));
  t.deepEqual(infer(old), infer(frozen));
});

test('weights of other families are not torchvision Mask R-CNN', (t) => {
  const some = (...names: string[]): Map<string, { shape: number[] }> =>
    new Map(names.map((name) => [name, { shape: [1] }]));
  t.is(inferTorchvision(new Map()), undefined);
  t.is(inferTorchvision(some('proto_net.0.weight', 'backbone.layers.0.0.conv1.weight')), undefined);
  const boxesOnly = new Map([...frozen].filter(([name]) => !name.includes('.mask_')));
  t.is(inferTorchvision(boxesOnly), undefined);
  t.regex(describeFamily(boxesOnly.keys()) ?? '', /Faster R-CNN/);
});

test('a ResNet of basic blocks is refused in words', async (t) => {
  const basic = new Map([...frozen].filter(([name]) => !/conv3|bn3/.test(name)));
  await failsWith(() => inferTorchvision(basic), 'ERR_UNSUPPORTED', /ResNet-18/);
  t.pass();
});

test('weights are recognised by their names', (t) => {
  const families: [string, RegExp][] = [
    ['proto_net.0.weight', /^YOLACT/],
    ['module.prediction_layers.0.upfeature.0.weight', /^YOLACT/],
    ['backbone.bottom_up.res2.0.conv1.weight', /^detectron2/],
    ['backbone.fpn_lateral2.weight', /^detectron2/],
    ['rpn_head.rpn_conv.weight', /^mmdetection/],
    ['roi_heads.keypoint_predictor.kps_score_lowres.weight', /Keypoint/],
    ['layer1.0.conv1.weight', /backbone-only ResNet/],
    ['transformer.encoder.layers.0.linear1.weight', /DETR/],
    ['model.22.dfl.conv.weight', /YOLO/],
  ];
  for (const [name, family] of families) t.regex(describeFamily([name]) ?? '', family);
  t.is(describeFamily(['weight']), undefined);
});

type Actual = Map<string, { dtype: CheckpointDType; shape: number[] }>;

test('complete weights pass, with or without counters', (t) => {
  t.notThrows(() => checkWeights(torchvisionTensors(infer(v1)), v1));
  t.notThrows(() => checkWeights(torchvisionTensors(infer(v1)), frozen));
});

test('a mismatch is a short table', async (t) => {
  const actual: Actual = new Map(frozen);
  for (const name of [...actual.keys()].filter((key) => key.startsWith('backbone.fpn.'))) actual.delete(name);
  actual.set('rpn.head.bbox_pred.bias', { dtype: 'f32', shape: [24] });
  actual.set('rpn.head.cls_logits.bias', { dtype: 'i64', shape: [3] });
  actual.set('extra', { dtype: 'f32', shape: [1] });
  const error = await failure(() => checkWeights(torchvisionTensors(infer(v1)), actual));
  t.is(error.code, 'ERR_WEIGHTS');
  t.is(
    error.message,
    [
      'The weights do not fit the model.',
      'missing (16):',
      ...[0, 1, 2, 3].flatMap((i) => ['weight', 'bias'].map((leaf) => `  backbone.fpn.inner_blocks.${i}.0.${leaf}`)),
      '  ... and 8 more',
      'unexpected (1):',
      '  extra',
      'wrong shape or type (2):',
      '  rpn.head.cls_logits.bias: expected [3], found i64 [3]',
      '  rpn.head.bbox_pred.bias: expected [12], found f32 [24]',
    ].join('\n'),
  );
});

test('a mismatch names another family', async (t) => {
  const yolact: Actual = new Map([['proto_net.0.weight', { dtype: 'f32', shape: [1] }]]);
  await failsWith(
    () => checkWeights(torchvisionTensors(infer(v1)), yolact),
    'ERR_WEIGHTS',
    /these look like YOLACT weights\.$/,
  );
  t.pass();
});
