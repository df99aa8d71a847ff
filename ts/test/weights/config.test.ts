import test from 'ava';
import {
  type ConfigOverrides,
  configFromMetadata,
  configToMetadata,
  type MaskRcnnConfig,
  overrideConfig,
  type YolactConfig,
} from '../../src/weights/families/config.js';
import { inferTorchvision } from '../../src/weights/families/torchvision.js';
import { failsWith, publishedTensors, slimYolact, yolactConfig } from './support.js';

const config = inferTorchvision(publishedTensors('maskrcnn_resnet50_fpn')) as MaskRcnnConfig;

test('metadata give the same configuration back, to the last bit', (t) => {
  const metadata = configToMetadata(config);
  t.true(Object.values(metadata).every((value) => typeof value === 'string'));
  t.deepEqual(configFromMetadata(metadata), config);
  t.deepEqual(JSON.parse(JSON.stringify(config)), config);
});

test('other metadata hold no configuration', (t) => {
  t.is(configFromMetadata({ format: 'pt' }), undefined);
});

const key = Object.keys(configToMetadata(config))[0] as string;

/** The metadata with one field of the configuration replaced, or removed by undefined. */
const withField = (section: keyof MaskRcnnConfig, value: unknown): Record<string, string> => ({
  [key]: JSON.stringify({ version: 1, config: { ...config, [section]: value } }),
});

const broken: [string, Record<string, string>, RegExp][] = [
  ['text that is not JSON', { [key]: '{' }, /not valid JSON/],
  ['null', { [key]: 'null' }, /has version undefined, expected 1/],
  ['a newer version', { [key]: '{"version":2,"config":{}}' }, /version 2/],
  ['no configuration', { [key]: '{"version":1}' }, /expected an object for config/],
  [
    'an unknown family',
    withField('family', 'dino'),
    /expected 'torchvision' or 'yolact' or 'detectron2' for config\.family, received "dino"/,
  ],
  ['a missing section', withField('rpn', undefined), /expected an object for config\.rpn/],
  ['a missing field', withField('fpn', { channels: 256 }), /config\.fpn\.norm/],
  ['an unknown field', withField('fpn', { ...config.fpn, depth: 3 }), /config\.fpn has the unknown field "depth"/],
  ['a number that is text', withField('numClasses', '91'), /config\.numClasses, received "91"/],
  [
    'a list of another length',
    withField('backbone', { ...config.backbone, blocks: [3, 4, 6] }),
    /list of 4 items for config\.backbone\.blocks/,
  ],
  [
    'an entry of another type',
    withField('image', { ...config.image, std: [1, 0, 1] }),
    /config\.image\.std\[1\], received 0/,
  ],
  [
    'a threshold above one',
    withField('box', { ...config.box, nmsThreshold: 1.5 }),
    /0 to 1 for config\.box\.nmsThreshold/,
  ],
  [
    'a box head of an unknown kind',
    withField('box', { ...config.box, head: { kind: 'x' } }),
    /config\.box\.head\.kind/,
  ],
  ['a box head that is null', withField('box', { ...config.box, head: null }), /object for config\.box\.head/],
  ['names of another number', withField('classNames', ['background']), /91 classes, 1 names/],
  [
    'uneven anchors',
    withField('anchors', { ...config.anchors, sizes: [[1], [2], [3], [4], [5, 6]] }),
    /same number of anchor sizes/,
  ],
];

for (const [what, metadata, message] of broken) {
  test(`metadata with ${what} are refused`, async (t) => {
    await failsWith(() => configFromMetadata(metadata), 'ERR_CHECKPOINT', message);
    t.pass();
  });
}

test('overrides win, section by section', (t) => {
  const changed = overrideConfig(config, {
    batchNormEpsilon: 1e-5,
    image: { minSize: 320, maxSize: 640 },
    box: { scoreThreshold: 0.5, nmsThreshold: undefined },
  });
  t.is(changed.batchNorm.epsilon, 1e-5);
  t.like(changed.image, { minSize: 320, maxSize: 640, sizeDivisor: 32 });
  t.like(changed.box, { scoreThreshold: 0.5, nmsThreshold: 0.5 });
  t.is(config.image.minSize, 800);
});

test('a configuration shares nothing with another', (t) => {
  const first = overrideConfig(config, {}) as unknown as { image: { mean: number[] } };
  first.image.mean[0] = 99;
  t.is(inferTorchvision(publishedTensors('maskrcnn_resnet50_fpn'))?.image.mean[0], 0.485);
});

const wrong: [ConfigOverrides, RegExp][] = [
  [{ classNames: ['cup'] }, /Expected 90 class names \(or 91 with the background first\) for classNames, received 1/],
  [{ batchNormEpsilon: -1 }, /config\.batchNorm\.epsilon, received -1/],
  [{ image: { minSize: 2000 } }, /minSize 2000 is above maxSize 1333/],
  [{ box: { maxDetections: 0.5 } }, /config\.box\.maxDetections/],
  [{ detect: { topK: 100 } }, /Expected no "detect" \(topK\): models of the torchvision family have none/],
  [{ image: { size: 550 } }, /config\.image has the unknown field "size"/],
];

for (const [overrides, message] of wrong) {
  test(`overrides are checked: ${JSON.stringify(overrides)}`, async (t) => {
    await failsWith(() => overrideConfig(config, overrides), 'ERR_ARGUMENT', message);
    t.pass();
  });
}

const yolact = yolactConfig('yolact_plus_resnet50');

test('metadata give the same YOLACT back', (t) => {
  for (const same of [yolact, yolactConfig('yolact_base'), slimYolact(false), slimYolact(true)]) {
    t.deepEqual(configFromMetadata(configToMetadata(same)), same);
    t.deepEqual(JSON.parse(JSON.stringify(same)), same);
  }
});

const { backbone, protonet, head, anchors, detect, mask } = yolact;

const brokenYolact: [string, { [K in keyof YolactConfig]?: unknown }, RegExp][] = [
  ['the sections of another family', { rpn: config.rpn } as object, /config has the unknown field "rpn"/],
  ['a missing section', { protonet: undefined }, /object for config\.protonet/],
  ['a backbone of an unknown kind', { backbone: { ...backbone, kind: 'vgg' } }, /'resnet' for config\.backbone\.kind/],
  ['a DarkNet of four stages', { backbone: { ...backbone, kind: 'darknet' } }, /unknown field "groups"/],
  ['a stage that is not there', { backbone: { ...backbone, selected: [2, 3, 4] } }, /not ascending stages below 4/],
  ['stages out of order', { backbone: { ...backbone, selected: [2, 1, 3] } }, /\[2, 1, 3\], are not ascending/],
  ['a block too many', { backbone: { ...backbone, blocks: [3, 4, 6, 4] } }, /deformable needs an entry a block/],
  [
    'an unknown layer',
    { protonet: { ...protonet, layers: [{ kind: 'pool' }] } },
    /'conv' for config\.protonet\.layers\[0\]\.kind/,
  ],
  [
    'a resize at the end',
    { protonet: { ...protonet, layers: [...protonet.layers, { kind: 'upsample' }] } },
    /has to be a convolution to 32 channels/,
  ],
  ['other coefficients than prototypes', { head: { ...head, coefficients: 16 } }, /convolution to 16 channels/],
  ['heads that are not shared', { head: { ...head, shared: false } }, /expected true for config\.head\.shared/],
  ['a level too many', { fpn: { ...yolact.fpn, downsamples: 3 } }, /there are 6 levels and 5 lists of scales/],
  ['other anchors than the head', { anchors: { ...anchors, ratios: [1] } }, /predicts 9 anchors a cell.* make 3/],
  ['an unknown NMS', { detect: { ...detect, nms: 'soft' } }, /'fast' or 'cross-class' or 'traditional'/],
  ['one variance', { detect: { ...detect, variances: [0.1] } }, /list of 2 items for config\.detect\.variances/],
  ['a rescoring network without layers', { mask: { ...mask, rescore: { convs: [] } } }, /config\.mask\.rescore\.convs/],
  [
    'boxes rescored by nothing',
    { mask: { ...mask, rescore: null, rescoreBoxes: true } },
    /rescoreBoxes needs a network/,
  ],
  ['names of another number', { classNames: ['background'] }, /81 classes, 1 names/],
];

for (const [what, changes, message] of brokenYolact) {
  test(`metadata of a YOLACT with ${what} are refused`, async (t) => {
    const metadata = { [key]: JSON.stringify({ version: 1, config: { ...yolact, ...changes } }) };
    await failsWith(() => configFromMetadata(metadata), 'ERR_CHECKPOINT', message);
    t.pass();
  });
}

test("a YOLACT's overrides win, section by section", (t) => {
  const changed = overrideConfig(yolact, {
    model: 'cups',
    batchNormEpsilon: 1e-3,
    image: { size: 320, minSize: undefined },
    rpn: {},
    box: { scoreThreshold: undefined },
    detect: { scoreThreshold: 0.15, nms: 'traditional' },
    mask: { rescoreBoxes: true, cropPadding: 0 },
  });
  t.deepEqual(changed, {
    ...yolact,
    model: 'cups',
    batchNorm: { kind: 'batch', epsilon: 1e-3 },
    image: { ...yolact.image, size: 320 },
    detect: { ...detect, scoreThreshold: 0.15, nms: 'traditional' },
    mask: { ...mask, rescoreBoxes: true, cropPadding: 0 },
  });
  t.is(yolact.detect.nms, 'fast');
});

const wrongYolact: [ConfigOverrides, RegExp][] = [
  [{ classNames: ['cup'] }, /Expected 80 class names \(or 81 with the background first\)/],
  [{ rpn: { minSize: 1 } }, /Expected no "rpn" \(minSize\): models of the yolact family have none/],
  [{ roiAlign: { aligned: true } }, /Expected no "roiAlign"/],
  [{ box: { scoreThreshold: 0.5 } }, /Expected no "box"/],
  [{ image: { minSize: 320 } }, /config\.image has the unknown field "minSize"/],
  [{ anchors: { sizes: [[32]] } }, /config\.anchors has the unknown field "sizes"/],
  [{ mask: { paste: 'torchvision' } }, /config\.mask has the unknown field "paste"/],
  [{ image: { size: 0 } }, /integer from 1 for config\.image\.size, received 0/],
  [{ anchors: { ratios: [1, 2] } }, /predicts 9 anchors a cell, scales and ratios make 6/],
  [{ detect: { topK: 0 } }, /config\.detect\.topK/],
  [{ model: 'yolact_im700' }, /predicts 9 anchors a cell, scales and ratios make 3/],
];

for (const [overrides, message] of wrongYolact) {
  test(`overrides of a YOLACT are checked: ${JSON.stringify(overrides)}`, async (t) => {
    await failsWith(() => overrideConfig(yolact, overrides), 'ERR_ARGUMENT', message);
    t.pass();
  });
}

test('a value that does not fit is described in a few words, however large it is', async (t) => {
  const size = Buffer.alloc(1 << 28) as unknown as number;
  const message = /integer from 1 for config\.image\.size, received Buffer\(268435456\)$/;
  await failsWith(() => overrideConfig(yolact, { image: { size } }), 'ERR_ARGUMENT', message);
  t.pass();
});
