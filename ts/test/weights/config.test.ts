import test from 'ava';
import {
  type ConfigOverrides,
  configFromMetadata,
  configToMetadata,
  type MaskRcnnConfig,
  overrideConfig,
} from '../../src/weights/families/config.js';
import { inferTorchvision } from '../../src/weights/families/torchvision.js';
import { failsWith, publishedTensors } from './support.js';

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
  ['another family', withField('family', 'yolact'), /'torchvision' for config\.family, received "yolact"/],
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
];

for (const [overrides, message] of wrong) {
  test(`overrides are checked: ${JSON.stringify(overrides)}`, async (t) => {
    await failsWith(() => overrideConfig(config, overrides), 'ERR_ARGUMENT', message);
    t.pass();
  });
}
