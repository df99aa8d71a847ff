import path from 'node:path';
import test from 'ava';
import { checkWeights, describeFamily } from '../../src/weights/families/check-weights.js';
import {
  configFromMetadata,
  configToMetadata,
  type ConfigOverrides,
  type Detectron2Config,
  objectNames,
  overrideConfig,
} from '../../src/weights/families/config.js';
import { detectron2Tensors, inferDetectron2 } from '../../src/weights/families/detectron2.js';
import { canonicalDetectron2Names, detectron2Name } from '../../src/weights/families/detectron2-names.js';
import { torchvisionTensors } from '../../src/weights/families/torchvision.js';
import { asTensors, failsWith, readJson, sha256, slimConfig } from './support.js';

const TESTS = path.resolve(__dirname, '../../../ts/test');

/** Written by scripts/reference/make_detectron2.py, which has its own list of detectron2's layers. */
const published = readJson<Record<string, { tensors: number; sha256: string }>>(
  path.join(TESTS, 'weights/detectron2-tensors.json'),
);

interface Case {
  readonly state_dict: { readonly shapes: Record<string, number[]> };
}

/** A narrow network with everything that the published ones have. */
const narrow = asTensors(readJson<Case>(path.join(TESTS, 'fixtures/detectron2/resnet/case.json')).state_dict.shapes);

const infer = (tensors: typeof narrow, overrides: ConfigOverrides = {}): Detectron2Config =>
  inferDetectron2(tensors, {}, overrides) as Detectron2Config;

const tensorsOf = (config: Detectron2Config): typeof narrow => asTensors(Object.fromEntries(detectron2Tensors(config)));

/** A published model, its parts put in the place of the narrow network's. */
function full(blocks: number[], groups: number, width: number, numClasses = 81): Detectron2Config {
  const config = infer(narrow);
  return infer(
    tensorsOf({
      ...config,
      numClasses,
      backbone: {
        ...{ blocks, stem: 64, groups, strideIn: '1x1', outputs: [256, 512, 1024, 2048] },
        widths: [1, 2, 4, 8].map((factor) => factor * groups * width),
      },
      fpn: { channels: 256 },
      box: { ...config.box, fcs: [1024, 1024] },
      mask: { ...config.mask, convs: [256, 256, 256, 256], predictor: 256 },
    }),
  );
}

const R50 = full([3, 4, 6, 3], 1, 64);
const R101 = full([3, 4, 23, 3], 1, 64);
const X101 = full([3, 4, 23, 3], 32, 8);

test("names and shapes of the published models are detectron2's", (t) => {
  const is = (config: Detectron2Config, name: string): void => {
    const tensors = [...detectron2Tensors(config)].map(([tensor, shape]) => `${tensor}: ${shape.join()}`);
    t.deepEqual({ tensors: tensors.length, sha256: sha256(tensors.sort().join('\n')) }, published[name]);
  };
  is(R50, 'mask_rcnn_R_50_FPN');
  is(R101, 'mask_rcnn_R_101_FPN');
  is(X101, 'mask_rcnn_X_101_32x8d_FPN');
  is(full([3, 4, 6, 3], 1, 64, 4), 'mask_rcnn_R_50_FPN, 3 classes');
  t.deepEqual(
    [R50.model, R101.model, X101.model],
    ['mask_rcnn_R_50_FPN', 'mask_rcnn_R_101_FPN', 'mask_rcnn_X_101_32x8d_FPN'],
  );
});

test('a ResNet has its strides in the 1x1 convolution and no deviation, a ResNeXt has neither', (t) => {
  t.like(R50.image, { channelOrder: 'bgr', std: [1, 1, 1], minSize: 800, maxSize: 1333, sizeDivisor: 32 });
  t.deepEqual(R50.image.mean, [103.53, 116.28, 123.675]);
  t.like(R50.backbone, { groups: 1, strideIn: '1x1', widths: [64, 128, 256, 512] });
  t.deepEqual(X101.image, { ...R50.image, std: [57.375, 57.12, 58.395] });
  t.like(X101.backbone, { groups: 32, strideIn: '3x3', widths: [256, 512, 1024, 2048] });
  t.deepEqual(R101.image, R50.image);
});

test('everything else is as in Base-RCNN-FPN', (t) => {
  t.deepEqual(R50.batchNorm, { kind: 'frozen', epsilon: 1e-5 });
  t.like(R50.anchors, { strides: [4, 8, 16, 32, 64], ratios: [0.5, 1, 2], rounding: 'none' });
  t.like(R50.rpn, { preNmsTopN: 1000, postNmsTopN: 1000, nmsThreshold: 0.7, minSize: 0 });
  t.like(R50.roiAlign, { aligned: true, samplingRatio: 0, boxSize: 7, maskSize: 14, levelEps: 1e-8 });
  t.like(R50.box, { scoreThreshold: 0.05, nmsThreshold: 0.5, maxDetections: 100, background: 'last' });
  t.like(R50.mask, { paste: 'detectron2', threshold: 0.5 });
  t.is(R50.box.coderClamp, Math.log(1000 / 16));
});

test("80 classes are COCO's, from 0; the background is last", (t) => {
  t.deepEqual(
    [R50.numClasses, R50.classNames[0], R50.classNames[79], R50.classNames[80]],
    [...[81, 'person', 'toothbrush', 'background']],
  );
  t.deepEqual([R50.categoryIds[0], R50.categoryIds[79], R50.categoryIds[80]], [1, 90, 0]);
  t.is(objectNames(R50).length, 80);
  t.is(objectNames(R50)[15], 'cat');
  t.is(objectNames(slimConfig('maskrcnn_resnet50_fpn'))[0], 'class 1');
});

test('other class counts, and names by option, without the background or with it last', async (t) => {
  const config = full([3, 4, 6, 3], 1, 64, 4);
  t.deepEqual(config.classNames, ['class 1', 'class 2', 'class 3', 'background']);
  t.deepEqual(config.categoryIds, [1, 2, 3, 0]);
  for (const classNames of [
    ['nut', 'bolt', 'ring'],
    ['nut', 'bolt', 'ring', 'nothing'],
  ]) {
    const named = infer(tensorsOf(config), { classNames });
    t.deepEqual(named.classNames, ['nut', 'bolt', 'ring', classNames[3] ?? 'background']);
    t.deepEqual(named.categoryIds, [1, 2, 3, 0]);
  }
  const coco = objectNames(R50);
  t.deepEqual(infer(tensorsOf(R50), { classNames: coco }).categoryIds, R50.categoryIds);
  const wrong = (): unknown => infer(tensorsOf(config), { classNames: ['nut'] });
  await failsWith(wrong, 'ERR_ARGUMENT', /Expected 3 class names \(or 4 with the background last\)/);
  // 91 outputs are COCO's slots in torchvision alone.
  t.is(full([3, 4, 6, 3], 1, 64, 91).classNames[0], 'class 1');
});

test('widths and depths are read from the tensors', (t) => {
  const config = infer(narrow);
  t.deepEqual(config.backbone, {
    ...{ blocks: [1, 2, 1, 1], stem: 8, groups: 1, strideIn: '1x1' },
    ...{ widths: [8, 8, 8, 8], outputs: [16, 20, 24, 28] },
  });
  t.deepEqual([config.box.fcs, config.mask.convs, config.mask.predictor], [[32, 24], [12, 10, 8, 8], 8]);
  t.is(config.model, 'mask_rcnn_R_custom_FPN');
  t.notThrows(() => checkWeights(detectron2Tensors(config), narrow));
});

test('buffers of old versions and prefixes of wrappers are left out, counters are counted', (t) => {
  const buffers = ['pixel_mean', 'pixel_std', 'proposal_generator.anchor_generator.cell_anchors.0'];
  const names = ['roi_heads.box_predictor.cls_score.weight', ...buffers].map((name) => `module.${name}`);
  t.deepEqual(
    [...canonicalDetectron2Names(names)],
    [['module.roi_heads.box_predictor.cls_score.weight', 'roi_heads.box_predictor.cls_score.weight']],
  );
  const counters = asTensors({ 'backbone.bottom_up.stem.conv1.norm.num_batches_tracked': [] });
  t.deepEqual(infer(new Map([...narrow, ...counters])).batchNorm, { kind: 'batch', epsilon: 1e-5 });
});

test("every tensor has the place of torchvision's", (t) => {
  // The same layers as the narrow network, listed with torchvision's names.
  const config = infer(narrow);
  const { backbone, numClasses, fpn, box, mask } = config;
  const twin = slimConfig('maskrcnn_resnet50_fpn');
  const torchvision = torchvisionTensors({
    ...twin,
    numClasses,
    backbone: { ...backbone, strideIn: '3x3' },
    fpn: { ...fpn, norm: false },
    roiAlign: { ...twin.roiAlign, boxSize: 7 },
    box: { ...twin.box, head: { kind: 'fc', fcs: box.fcs } },
    mask: { ...twin.mask, convs: mask.convs, predictor: mask.predictor },
  });
  const renamed = [...torchvision.keys()].map(detectron2Name);
  t.deepEqual(renamed.sort(), [...detectron2Tensors(config).keys()].sort());
  for (const [name, shape] of torchvision) {
    // torchvision's background has boxes and masks.
    if (!/box_predictor\.bbox_pred|mask_fcn_logits/.test(name))
      t.deepEqual(narrow.get(detectron2Name(name))?.shape, shape);
  }
});

test('metadata give the configuration back, and options go on top', async (t) => {
  const metadata = configToMetadata(X101);
  t.deepEqual(configFromMetadata(metadata), X101);
  t.deepEqual(inferDetectron2(new Map(), metadata), X101);
  const changed = inferDetectron2(new Map(), metadata, { image: { minSize: 600 }, box: { scoreThreshold: 0.3 } });
  t.deepEqual(changed, {
    ...X101,
    image: { ...X101.image, minSize: 600 },
    box: { ...X101.box, scoreThreshold: 0.3 },
  });
  t.is(inferDetectron2(narrow, configToMetadata(slimConfig('maskrcnn_resnet50_fpn'))), undefined);
  const image = { channelOrder: 'rgb', mean: [123.675, 116.28, 103.53], std: [58.395, 57.12, 57.375] } as const;
  const other = infer(narrow, { backbone: { strideIn: '3x3' }, image });
  t.is(other.backbone.strideIn, '3x3');
  t.like(other.image, image);
  await failsWith(() => overrideConfig(R50, { image: { minSize: 2000 } }), 'ERR_ARGUMENT', /minSize 2000 is above/);
  await failsWith(() => overrideConfig(R50, { detect: { topK: 3 } }), 'ERR_ARGUMENT', /no "detect"/);
  const torchvision = slimConfig('maskrcnn_resnet50_fpn');
  const bgr = (): unknown => overrideConfig(torchvision, { image: { channelOrder: 'bgr' } });
  await failsWith(bgr, 'ERR_ARGUMENT', /expected 'rgb' for config\.image\.channelOrder/);
});

/** The narrow network with other names, or without some. */
const changed = (change: (name: string) => string | undefined): typeof narrow =>
  new Map(
    [...narrow].flatMap(([name, info]) => {
      const other = change(name);
      return other === undefined ? [] : [[other, info] as const];
    }),
  );
const without = (pattern: RegExp): typeof narrow => changed((name) => (pattern.test(name) ? undefined : name));
const withMore = (shapes: Record<string, number[]>): typeof narrow => new Map([...narrow, ...asTensors(shapes)]);

const refused: readonly (readonly [title: string, tensors: typeof narrow, message: RegExp])[] = [
  [
    'C4',
    changed((name) =>
      name.includes('fpn_')
        ? undefined
        : name.replace('backbone.bottom_up.res5', 'roi_heads.res5').replace('bottom_up.', ''),
    ),
    /weights of a C4 model/,
  ],
  ['DC5', changed((name) => (name.includes('fpn_') ? undefined : name.replace('bottom_up.', ''))), /a DC5 model/],
  ['Cascade', changed((name) => name.replace('box_head.', 'box_head.0.')), /a Cascade R-CNN/],
  ['PointRend', withMore({ 'roi_heads.mask_head.point_head.fc1.weight': [1] }), /a PointRend model/],
  ['keypoints', withMore({ 'roi_heads.keypoint_head.conv_fcn1.weight': [1] }), /a Keypoint R-CNN/],
  ['panoptic', withMore({ 'sem_seg_head.p2.0.weight': [1] }), /a panoptic model/],
  [
    'deformable convolutions',
    withMore({ 'backbone.bottom_up.res3.0.conv2_offset.weight': [18, 8, 3, 3] }),
    /deformable convolutions/,
  ],
  ['a normalised FPN', withMore({ 'backbone.fpn_lateral2.norm.weight': [12] }), /normalised feature pyramid/],
  ['GroupNorm in heads', withMore({ 'roi_heads.mask_head.mask_fcn1.norm.weight': [12] }), /convolutional heads/],
  ['a deep RPN', withMore({ 'proposal_generator.rpn_head.conv.conv0.weight': [1] }), /several convolutions/],
  ['Faster R-CNN', without(/mask_head/), /a detector without masks/],
  ['a Swin transformer', without(/\.stem\.conv1\./), /backbone is no ResNet/],
  ['ResNet-18', without(/\.conv3\./), /basic residual blocks \(ResNet-18/],
  [
    'boxes of all classes',
    withMore({ 'roi_heads.box_predictor.bbox_pred.weight': [4, 24] }),
    /one box for all classes/,
  ],
  ['masks of all classes', withMore({ 'roi_heads.mask_head.predictor.weight': [1, 8, 1, 1] }), /one mask for all/],
];

for (const [title, tensors, message] of refused) {
  test(`${title}: refused by name`, async (t) => {
    await failsWith(() => infer(tensors), 'ERR_UNSUPPORTED', message);
    await failsWith(
      () => infer(tensors),
      'ERR_UNSUPPORTED',
      /Supported is its Mask R-CNN on a ResNet or ResNeXt with FPN/,
    );
    t.pass();
  });
}

test('other weights are none of detectron2, and backbones are recognised', (t) => {
  t.is(inferDetectron2(new Map()), undefined);
  t.is(
    inferDetectron2(asTensors(Object.fromEntries(torchvisionTensors(slimConfig('maskrcnn_resnet50_fpn'))))),
    undefined,
  );
  const families: readonly (readonly [string, RegExp])[] = [
    ['blobs/conv1_w', /^Caffe2 Detectron weights/],
    ['res2_0_branch2a_w', /^Caffe2 Detectron weights/],
    ['stem.conv1.weight', /^a detectron2 backbone alone/],
    ['backbone.stem.conv1.weight', /^a detectron2 backbone alone/],
  ];
  for (const [name, description] of families) t.regex(describeFamily([name]) ?? '', description);
});

test('missing tensors are named as in the file', async (t) => {
  const tensors = without(/res4\.0\.conv2\.norm\.bias/);
  const check = (): void => checkWeights(detectron2Tensors(infer(tensors)), tensors);
  await failsWith(check, 'ERR_WEIGHTS', /missing \(1\):\n {2}backbone\.bottom_up\.res4\.0\.conv2\.norm\.bias/);
  t.pass();
});
