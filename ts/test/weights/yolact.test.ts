import { existsSync } from 'node:fs';
import test from 'ava';
import { checkWeights, describeFamily, isTrainingCounter } from '../../src/weights/families/check-weights.js';
import type { ConfigOverrides, YolactConfig } from '../../src/weights/families/config.js';
import { inferTorchvision } from '../../src/weights/families/torchvision.js';
import { canonicalYolactNames, inferYolact, yolactTensors } from '../../src/weights/families/yolact.js';
import {
  asTensors,
  failsWith,
  failure,
  inferredAgain,
  publishedTensors,
  readJson,
  reference,
  referenceTest,
  sha256,
  slimYolact,
  yolactConfig,
  yolactLists,
  type YolactModel,
} from './support.js';

const plus = asTensors(yolactLists.models.yolact_plus_resnet50);
const darknet = asTensors(yolactLists.models.yolact_darknet53);

const infer = (...args: Parameters<typeof inferYolact>): YolactConfig => inferYolact(...args) as YolactConfig;

/** Tensors of a configuration, with what else its checkpoint holds. */
const tensorsOf = (config: YolactConfig): typeof plus => asTensors(Object.fromEntries(yolactTensors(config)));

/** Without what a forward pass does not need. */
const needed = (shapes: Record<string, number[]>): [string, number[]][] =>
  Object.entries(shapes).filter(([name]) => !isTrainingCounter(name) && !name.startsWith('semantic_seg_conv.'));

for (const model of ['yolact_plus_resnet50', 'yolact_darknet53'] as const) {
  test(`${model}: names and shapes are the official ones, in their order`, (t) => {
    const shapes = yolactLists.models[model];
    const config = infer(asTensors(shapes));
    t.is(config.model, model);
    t.deepEqual([...yolactTensors(config)], needed(shapes));
  });
}

const digest = (config: YolactConfig): string =>
  sha256([...yolactTensors(config)].map(([name, shape]) => `${name}: ${shape.join()}`).join('\n'));

test('the other models have the official names and shapes too', (t) => {
  const { digests } = yolactLists;
  for (const model of ['yolact_resnet50', 'yolact_base', 'yolact_plus_base'] as const) {
    const config = yolactConfig(model);
    t.is(config.model, model);
    t.is(digest(config), digests[model] as string);
  }
  t.is(digests['yolact_im700'], digests['yolact_base']);
  for (const model of ['yolact_resnet50', 'yolact_plus_base'] as const) {
    t.is(digest({ ...yolactConfig(model), numClasses: 3 }), digests[`${model}, 3 classes`] as string);
  }
});

test('YOLACT++ weights give the whole configuration', (t) => {
  const { classNames, categoryIds, ...config } = infer(plus);
  t.deepEqual(config, {
    family: 'yolact',
    model: 'yolact_plus_resnet50',
    numClasses: 81,
    image: {
      channelOrder: 'rgb',
      scale: 1,
      statsOrder: 'bgr',
      mean: [103.94, 116.78, 123.68],
      std: [57.38, 57.12, 58.4],
      normalizeBeforeResize: false,
      size: 550,
      antialias: false,
    },
    backbone: {
      kind: 'resnet',
      blocks: [3, 4, 6, 3],
      stem: 64,
      widths: [64, 128, 256, 512],
      outputs: [256, 512, 1024, 2048],
      groups: 1,
      strideIn: '3x3',
      deformable: [3, 4, 6, 3].map((blocks, stage) => Array.from({ length: blocks }, () => stage > 0)),
      selected: [1, 2, 3],
    },
    batchNorm: { kind: 'batch', epsilon: 1e-5 },
    fpn: {
      channels: 256,
      downsamples: 2,
      interpolation: 'bilinear',
      reluPredictions: true,
      reluDownsamples: false,
    },
    protonet: {
      layers: [
        { kind: 'conv', channels: 256, kernel: 3 },
        { kind: 'conv', channels: 256, kernel: 3 },
        { kind: 'conv', channels: 256, kernel: 3 },
        { kind: 'upsample' },
        { kind: 'conv', channels: 256, kernel: 3 },
        { kind: 'conv', channels: 32, kernel: 1 },
      ],
      activation: 'relu',
    },
    head: {
      shared: true,
      upfeature: [256],
      anchorsPerCell: 9,
      coefficients: 32,
      coefficientActivation: 'tanh',
      scoreActivation: 'softmax',
      background: 'first',
    },
    anchors: {
      scales: [24, 48, 96, 192, 384].map((scale) => [scale, scale * 2 ** (1 / 3), scale * 2 ** (2 / 3)]),
      ratios: [1, 0.5, 2],
      square: false,
      preapplySqrt: false,
    },
    detect: {
      variances: [0.1, 0.2],
      confThreshold: 0.05,
      nms: 'fast',
      nmsThreshold: 0.5,
      topK: 200,
      maxDetections: 100,
      scoreThreshold: 0,
    },
    mask: {
      activation: 'sigmoid',
      cropPadding: 1,
      interpolation: 'bilinear',
      threshold: 0.5,
      rescore: { convs: [8, 16, 32, 64, 128] },
      resolution: 'original',
      rescoreBoxes: false,
    },
  });
  t.deepEqual([classNames[0], classNames[16], categoryIds[0], categoryIds[16]], ['background', 'cat', 0, 17]);
  t.deepEqual([classNames.at(-1), categoryIds.at(-1)], ['toothbrush', 90]);
});

test('YOLACT is told from YOLACT++ by its parts', (t) => {
  const config = yolactConfig('yolact_base');
  t.like(config, { model: 'yolact_base', head: { anchorsPerCell: 3 }, mask: { rescore: null } });
  t.deepEqual(config.anchors, {
    scales: [[24], [48], [96], [192], [384]],
    ratios: [1, 0.5, 2],
    square: true,
    preapplySqrt: false,
  });
  t.false((config.backbone.kind === 'resnet' ? config.backbone.deformable : [[true]]).flat().includes(true));
});

test('deformable convolutions are found block by block', (t) => {
  const { backbone } = yolactConfig('yolact_plus_base');
  const deformable = backbone.kind === 'resnet' ? backbone.deformable : [];
  const indices = deformable.map((stage) => stage.flatMap((is, i) => (is ? [i] : [])));
  t.deepEqual(indices, [[], [0, 3], [0, 3, 6, 9, 12, 15, 18, 21], [0]]);
});

test('DarkNet has its own stages and normalisation', (t) => {
  const config = infer(darknet);
  t.is(config.model, 'yolact_darknet53');
  t.deepEqual(config.backbone, {
    kind: 'darknet',
    blocks: [1, 2, 8, 8, 4],
    stem: 32,
    widths: [32, 64, 128, 256, 512],
    outputs: [64, 128, 256, 512, 1024],
    negativeSlope: 0.1,
    selected: [2, 3, 4],
  });
  t.like(config.image, { scale: 1 / 255, mean: [0, 0, 0], std: [1, 1, 1], size: 550 });
  t.true(config.anchors.square);
});

const IM700_SCALES = [[30], [61], [122], [244], [488]];

const base = tensorsOf(yolactConfig('yolact_base'));

const sizes: [string, ConfigOverrides, string, number, number[][]][] = [
  ['yolact_im700_54_800000.pth', {}, 'yolact_im700', 700, IM700_SCALES],
  ['yolact_im700.safetensors', {}, 'yolact_im700', 700, IM700_SCALES],
  ['yolact_im400_54_800000.pth', {}, 'yolact_im400', 400, [[17], [34], [69], [139], [279]]],
  ['yolact_im7000_1_1.pth', {}, 'yolact_base', 550, [[24], [48], [96], [192], [384]]],
  ['my_yolact_im700_1_1.pth', {}, 'yolact_base', 550, [[24], [48], [96], [192], [384]]],
  ['weights.pth', { model: 'yolact_im700' }, 'yolact_im700', 700, IM700_SCALES],
  ['yolact_im700_1_1.pth', { model: 'yolact_base' }, 'yolact_base', 550, [[24], [48], [96], [192], [384]]],
  ['weights.pth', { image: { size: 700 } }, 'yolact_base', 700, [[24], [48], [96], [192], [384]]],
  ['yolact_im700_1_1.pth', { image: { size: 550 } }, 'yolact_im700', 550, IM700_SCALES],
];

for (const [file, overrides, model, size, scales] of sizes) {
  test(`${file} with ${JSON.stringify(overrides)} is ${model} at ${size}`, (t) => {
    const config = infer(base, {}, overrides, file);
    t.is(config.model, model);
    t.is(config.image.size, size);
    t.deepEqual(config.anchors.scales, scales);
  });
}

test('the name of a file says nothing about weights that do not look like yolact_base', (t) => {
  t.deepEqual(infer(plus, {}, {}, 'yolact_im700_1_1.pth'), infer(plus));
  t.is(infer(darknet, {}, {}, 'yolact_im700_1_1.pth').image.size, 550);
});

test('overrides win over what is inferred', (t) => {
  const config = infer(
    plus,
    {},
    { classNames: Array.from({ length: 80 }, (_, i) => `thing ${i}`), detect: { topK: 50 } },
  );
  t.deepEqual([config.classNames[1], config.categoryIds[80]], ['thing 0', 80]);
  t.is(config.detect.topK, 50);
});

for (const isPlus of [false, true]) {
  test(`${isPlus ? 'YOLACT++' : 'YOLACT'}: all widths and depths are read from the tensors`, (t) => {
    const slim = slimYolact(isPlus, 5);
    t.is(slim.model, 'yolact_custom');
    t.is(slim.numClasses, 5);
    t.deepEqual(slim.classNames, ['background', 'class 1', 'class 2', 'class 3', 'class 4']);
    t.like(slim.backbone, { blocks: [1, 2, 2, 1], stem: 2, widths: [2, 2, 4, 4], outputs: [4, 6, 8, 10] });
    t.deepEqual(slim.head.upfeature, [5, 6]);
    t.deepEqual(slim.protonet.layers[1], { kind: 'upsample' });
    t.is(slim.head.coefficients, 2);
    t.deepEqual(slim.mask.rescore, isPlus ? { convs: [2, 3] } : null);
    t.notThrows(() => checkWeights(yolactTensors(inferredAgain(slim)), tensorsOf(slim)));
  });
}

test('a slim DarkNet is read from its tensors', (t) => {
  const full = infer(darknet);
  if (full.backbone.kind !== 'darknet') throw new Error('Expected a DarkNet');
  const backbone = { ...full.backbone, blocks: [1, 1, 2, 1, 3], stem: 2, widths: [1, 2, 3, 4, 5] };
  const slim = inferredAgain({ ...full, backbone: { ...backbone, outputs: [2, 4, 6, 8, 10] } });
  t.deepEqual(slim.backbone, { ...backbone, outputs: [2, 4, 6, 8, 10] });
  t.is(slim.model, 'yolact_custom');
});

test('another number of levels gets scales of its own', (t) => {
  const { fpn, anchors, ...full } = yolactConfig('yolact_resnet50');
  const fewer = inferredAgain({
    ...full,
    fpn: { ...fpn, downsamples: 1 },
    anchors: { ...anchors, scales: anchors.scales.slice(1) },
  });
  t.is(fewer.fpn.downsamples, 1);
  t.deepEqual(fewer.anchors.scales, [[24], [48], [96], [192]]);
});

test('YOLACT++ without its rescoring network is a model of its own', (t) => {
  const bare = new Map([...plus].filter(([name]) => !name.startsWith('maskiou_net.')));
  const config = infer(bare);
  t.is(config.model, 'yolact_custom');
  t.is(config.mask.rescore, null);
  t.notThrows(() =>
    checkWeights(
      yolactTensors(config),
      new Map(
        needed(yolactLists.models.yolact_plus_resnet50)
          .filter(([name]) => bare.has(name))
          .map(([name, shape]) => [name, { dtype: 'f32' as const, shape }]),
      ),
    ),
  );
});

test('what a forward pass does not need is left out', (t) => {
  const names = [
    'backbone.layers.0.0.conv1.weight',
    'backbone.layer1.0.conv1.weight',
    'backbone.bn1.num_batches_tracked',
    'fpn.downsample_layers.1.bias',
    'fpn.downsample_layers.2.weight',
    'fpn.downsample_layers.10.weight',
    'semantic_seg_conv.weight',
    'class_existence_fc.bias',
    'proto_net.0.weight',
  ];
  const kept = [names[0], names[2], names[3], names[8]] as string[];
  t.deepEqual([...canonicalYolactNames(names).keys()], kept);
  t.deepEqual(
    [...canonicalYolactNames(names.map((name) => `module.${name}`))],
    kept.map((name) => [`module.${name}`, name]),
  );
});

test('legacy entries change nothing about the configuration', (t) => {
  const legacy = new Map(plus);
  for (const [name, info] of plus) {
    const old = name.replace(/^backbone\.layers\.(\d)/, (_, i) => `backbone.layer${Number(i) + 1}`);
    if (old !== name) legacy.set(old, info);
  }
  for (const i of [2, 3]) {
    legacy.set(`fpn.downsample_layers.${i}.weight`, { dtype: 'f32', shape: [256, 256, 3, 3] });
  }
  t.deepEqual(infer(legacy), infer(plus));
});

test('two names for one tensor are refused', async (t) => {
  const wrapped = new Map([...plus].map(([name, info]) => [`module.${name}`, info]));
  t.deepEqual(infer(wrapped), infer(plus));
  await failsWith(
    () => canonicalYolactNames(['proto_net.0.weight', 'proto_net.0.weight']),
    'ERR_WEIGHTS',
    /are both "proto_net\.0\.weight"/,
  );
});

test('weights of other families are not YOLACT, nor the other way round', (t) => {
  t.is(inferYolact(new Map()), undefined);
  t.is(inferYolact(publishedTensors('maskrcnn_resnet50_fpn')), undefined);
  t.is(inferTorchvision(plus), undefined);
  t.is(inferYolact(new Map([...plus].filter(([name]) => name.startsWith('backbone.')))), undefined);
  t.regex(describeFamily(plus.keys()) ?? '', /^YOLACT/);
});

/** The tensors with some replaced, or removed by undefined. */
function changed(tensors: typeof plus, changes: Record<string, number[] | undefined>): typeof plus {
  const result = new Map(tensors);
  for (const [name, shape] of Object.entries(changes)) {
    if (shape) result.set(name, { dtype: 'f32', shape });
    else result.delete(name);
  }
  return result;
}

const headOf = (anchorsPerCell: number): Record<string, number[]> => ({
  'prediction_layers.0.bbox_layer.weight': [4 * anchorsPerCell, 256, 3, 3],
  'prediction_layers.0.conf_layer.weight': [81 * anchorsPerCell, 256, 3, 3],
  'prediction_layers.0.mask_layer.weight': [32 * anchorsPerCell, 256, 3, 3],
});

test('anchors that are not guessed have to be given', async (t) => {
  const six = changed(base, headOf(6));
  await failsWith(() => infer(six), 'ERR_UNSUPPORTED', /predicts 6 anchors a cell, expected 3 .* or 9 .*as "anchors"/);
  const scales = [24, 48, 96, 192, 384].map((scale) => [scale, scale * 1.5]);
  const config = infer(six, {}, { anchors: { scales, square: false } });
  t.like(config, { model: 'yolact_custom', numClasses: 81, head: { anchorsPerCell: 6 }, anchors: { square: false } });
  t.deepEqual(config.anchors.scales, scales);
  await failsWith(
    () => infer(six, {}, { anchors: { square: false } }),
    'ERR_ARGUMENT',
    /predicts 6 anchors a cell, scales and ratios make 3/,
  );
});

test('other backbones and prototype networks are refused in words', async (t) => {
  const vgg = new Map([...base].filter(([name]) => !name.startsWith('backbone.')));
  vgg.set('backbone.layers.0.0.weight', { dtype: 'f32', shape: [64, 3, 3, 3] });
  await failsWith(() => infer(vgg), 'ERR_UNSUPPORTED', /DarkNet-53 only/);
  const transposed = changed(base, { 'proto_net.8.weight': [256, 256, 2, 2] });
  await failsWith(() => infer(transposed), 'ERR_UNSUPPORTED', /Transposed convolutions/);
  for (const position of [0, 2]) {
    const name = `proto_net.${position}`;
    const lacking = changed(base, { [`${name}.weight`]: undefined, [`${name}.bias`]: undefined });
    await failsWith(() => infer(lacking), 'ERR_WEIGHTS', /prototype network lacks tensors: found 2 layers/);
  }
  t.pass();
});

/** The message about tensors with some replaced, or removed by undefined. */
async function mismatch(tensors: typeof plus, changes: Record<string, number[] | undefined>): Promise<string> {
  const actual = changed(tensors, changes);
  const error = await failure(() => checkWeights(yolactTensors(infer(actual)), actual));
  return `${error.code}: ${error.message}`;
}

const slimTensors = tensorsOf(slimYolact(true));

const mismatches: [Record<string, number[] | undefined>, string][] = [
  [{ 'backbone.bn1.running_var': undefined }, 'missing (1):\n  backbone.bn1.running_var'],
  [{ 'backbone.layers.1.0.conv2.bias': undefined }, 'missing (1):\n  backbone.layers.1.0.conv2.bias'],
  [
    { 'backbone.layers.1.0.conv2.conv_offset_mask.weight': [18, 2, 3, 3] },
    'wrong shape or type (1):\n  backbone.layers.1.0.conv2.conv_offset_mask.weight: expected [27, 2, 3, 3], found f32 [18, 2, 3, 3]',
  ],
  [{ 'maskiou_net.maskiou_net.4.bias': undefined }, 'missing (1):\n  maskiou_net.maskiou_net.4.bias'],
  [
    { 'maskiou_net.maskiou_net.4.weight': [80, 3, 1, 1] },
    'wrong shape or type (1):\n  maskiou_net.maskiou_net.4.weight: expected [2, 3, 1, 1], found f32 [80, 3, 1, 1]',
  ],
  [
    { 'fpn.lat_layers.0.weight': [4, 8, 1, 1] },
    'wrong shape or type (1):\n  fpn.lat_layers.0.weight: expected [4, 10, 1, 1], found f32 [4, 8, 1, 1]',
  ],
  [
    { 'prediction_layers.0.mask_layer.bias': [17] },
    'wrong shape or type (1):\n  prediction_layers.0.mask_layer.bias: expected [18], found f32 [17]',
  ],
  [{ 'prediction_layers.0.bbox_layer.bias': undefined }, 'missing (1):\n  prediction_layers.0.bbox_layer.bias'],
  [
    { 'prediction_layers.1.bbox_layer.weight': [36, 6, 3, 3] },
    'unexpected (1):\n  prediction_layers.1.bbox_layer.weight',
  ],
];

for (const [changes, table] of mismatches) {
  test(`weights are refused, ${table.replaceAll('\n', ' ')}`, async (t) => {
    t.is(await mismatch(slimTensors, changes), `ERR_WEIGHTS: The weights do not fit the model.\n${table}`);
  });
}

/** What is said about tensors in any step, or undefined where all is well. */
const complaint = (tensors: typeof plus): Promise<string | undefined> =>
  failure(() => {
    const config = inferYolact(tensors);
    if (config) checkWeights(yolactTensors(config), tensors);
  }).then(
    ({ code }) => code,
    () => undefined,
  );

test('every tensor and every layer that is missing is found out', async (t) => {
  t.is(await complaint(slimTensors), undefined);
  for (const name of slimTensors.keys()) {
    t.is(await complaint(changed(slimTensors, { [name]: undefined })), 'ERR_WEIGHTS', name);
    const layer = name.replace(/[^.]*$/, '');
    const rest = new Map([...slimTensors].filter(([other]) => other.replace(/[^.]*$/, '') !== layer));
    // Fewer levels are a model of their own.
    if (layer !== 'fpn.downsample_layers.1.') t.is(await complaint(rest), 'ERR_WEIGHTS', layer);
  }
});

interface Case {
  readonly model: YolactModel;
  readonly settings: {
    readonly max_size: number;
    readonly num_classes: number;
    readonly conf_thresh: number;
    readonly nms_thresh: number;
    readonly top_k: number;
    readonly max_num_detections: number;
    readonly use_maskiou: boolean;
    readonly rescore_bbox: boolean;
    readonly pred_scales: number[][];
    readonly aspect_ratios: number[][][];
    readonly use_square_anchors: boolean;
    readonly backbone_args: [number[], number[]?, number?];
    readonly mean_bgr: number[];
    readonly std_bgr: number[];
  };
  readonly state_dict: { readonly shapes: Record<string, number[]> };
}

/** Where deformable convolutions are, by the rule of dbolya/yolact's backbone.py. */
const deformableBlocks = (blocks: number[], layers: number[] = [0, 0, 0, 0], interval = 1): boolean[][] =>
  blocks.map((count, stage) =>
    Array.from({ length: count }, (_, i) => i + (layers[stage] as number) >= count && i % interval === 0),
  );

for (const name of ['yolact_r50/cat', 'yolact_base_r101/saw', 'yolact_plus_r50/cyclists', 'yolact_plus_r101/cat']) {
  referenceTest(test, `reference ${name}: tensors and settings are the official ones`, (t) => {
    const file = reference(`${name}/case.json`);
    t.true(existsSync(file));
    const { model, settings, state_dict } = readJson<Case>(file);
    const config = infer(asTensors(state_dict.shapes));
    t.deepEqual([...yolactTensors(config)], needed(state_dict.shapes));
    t.deepEqual(config, yolactConfig(model));
    const { image, detect, anchors, mask, backbone } = config;
    t.is(config.model, model);
    t.is(config.numClasses, settings.num_classes);
    t.like(image, { size: settings.max_size, mean: settings.mean_bgr, std: settings.std_bgr });
    t.like(detect, { confThreshold: settings.conf_thresh, nmsThreshold: settings.nms_thresh, topK: settings.top_k });
    t.is(detect.maxDetections, settings.max_num_detections);
    t.deepEqual(anchors.scales, settings.pred_scales);
    t.true(settings.aspect_ratios.every(([ratios]) => String(ratios) === String(anchors.ratios)));
    t.is(anchors.square, settings.use_square_anchors);
    t.is(mask.rescore !== null, settings.use_maskiou);
    t.is(mask.rescoreBoxes, settings.rescore_bbox);
    const [blocks] = settings.backbone_args;
    t.like(backbone, { kind: 'resnet', blocks, deformable: deformableBlocks(...settings.backbone_args) });
  });
}
