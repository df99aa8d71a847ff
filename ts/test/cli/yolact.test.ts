/** The command line with a YOLACT: its flags, its two scores, and the flags that it refuses. */
import { readFileSync } from 'node:fs';
import test from 'ava';
import { load, type CocoResult, type SegmentOptions } from '../../src/index.js';
import { writeTinyYolact } from '../golden/tiny-yolact.js';
import { areaOfRle, instaseg, temporaryFolder, writeImage } from './support.js';

const folder = temporaryFolder();
const MODEL = folder.path('tiny.safetensors');
const PLAIN = folder.path('plain.safetensors');
const STREET = folder.path('street.png');
const NUMBERED = folder.path('000000000139.png');

test.before(async () => {
  await writeTinyYolact(MODEL, 'yolact_plus_resnet50');
  await writeTinyYolact(PLAIN, 'yolact_resnet50');
  await writeImage(STREET, 200, 150);
  await writeImage(NUMBERED, 120, 160, 2);
});

test.after.always(() => folder.remove());

const SEGMENT = ['--weights', MODEL, '--max-detections', '30'];
const OPTIONS: SegmentOptions = { maxDetections: 30 };

/** What the command line writes. */
async function results(name: string, image: string, flags: readonly string[]): Promise<CocoResult[]> {
  const file = folder.path(`${name}.json`);
  const { code, stderr } = await instaseg(['segment', image, ...flags, '--json', file, '--quiet']);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(readFileSync(file, 'utf8')) as CocoResult[];
}

/** What the API says. */
async function expected(image: string, options: SegmentOptions, weights = MODEL): Promise<CocoResult[]> {
  const model = await load(weights, { device: 'cpu' });
  try {
    return (await model.segment(image, options)).toJSON();
  } finally {
    await model.dispose();
  }
}

test('one image: the table and JSON agree with the API; JSON has both scores', async (t) => {
  const file = folder.path('one.json');
  const { code, stdout, stderr } = await instaseg(['segment', STREET, ...SEGMENT, '--json', file]);
  t.is(code, 0, stderr);
  const found = JSON.parse(readFileSync(file, 'utf8')) as CocoResult[];
  t.deepEqual(found, await expected(STREET, OPTIONS));
  t.true(found.length >= 5);
  for (const { image_id: id, category_id: category, label, bbox, score, box_score: boxScore, segmentation } of found) {
    t.is(id, 'street');
    t.true(category >= 1 && category <= 90);
    t.true(stdout.includes(label), label);
    t.true(bbox.every(Number.isInteger));
    t.true(score >= 0 && boxScore! <= 1);
    t.deepEqual(segmentation.size, [150, 200]);
    t.true(areaOfRle(segmentation) <= 150 * 200);
  }
  t.true(found.some(({ score, box_score: boxScore }) => score !== boxScore));
  t.true(
    found.every(({ box_score: boxScore }, i) => i === 0 || boxScore! <= found[i - 1]!.box_score!),
    'by class score',
  );
});

test('several images: one array', async (t) => {
  const file = folder.path('two.json');
  const { code } = await instaseg(['segment', STREET, NUMBERED, ...SEGMENT, '--json', file, '--quiet']);
  t.is(code, 0);
  t.deepEqual(JSON.parse(readFileSync(file, 'utf8')), [
    ...(await expected(STREET, OPTIONS)),
    ...(await expected(NUMBERED, OPTIONS)),
  ]);
});

test('the flags of the family do what the options do', async (t) => {
  const flags: readonly (readonly [flags: readonly string[], options: SegmentOptions])[] = [
    [['--nms', 'cross-class'], { nms: 'cross-class' }],
    [['--nms', 'traditional'], { nms: 'traditional' }],
    [['--top-k', '2'], { topK: 2 }],
    [['--rescore-boxes'], { rescoreBoxes: true }],
    [['--score-threshold', '0.9', '--mask-threshold', '0.2'], { scoreThreshold: 0.9, maskThreshold: 0.2 }],
  ];
  const seen = new Set([JSON.stringify(await expected(STREET, OPTIONS))]);
  for (const [i, [given, options]] of flags.entries()) {
    const found = await results(`flags-${i}`, STREET, [...SEGMENT, ...given]);
    t.deepEqual(found, await expected(STREET, { ...OPTIONS, ...options }), given.join(' '));
    seen.add(JSON.stringify(found));
  }
  t.is(seen.size, flags.length + 1, 'each changes the result');
  t.deepEqual(
    await results('fast', STREET, [...SEGMENT, '--nms', 'fast']),
    await expected(STREET, OPTIONS),
    'the default',
  );
});

test('flags of the other family, and values that there are not, are refused by name', async (t) => {
  const cases: readonly (readonly [flags: readonly string[], message: RegExp, weights?: string])[] = [
    [['--nms', 'soft'], /--nms <kind>/],
    [['--top-k', '0'], /--top-k <n>/],
    [['--top-k', 'many'], /--top-k <n>/],
    [['--min-size', '300'], /minSize/],
    [['--max-size', '300'], /maxSize/],
    [['--pre-nms-top-n', '10'], /preNmsTopN/],
    [['--post-nms-top-n', '10'], /postNmsTopN/],
    [['--rescore-boxes'], /rescoreBoxes/, PLAIN],
  ];
  for (const [flags, message, weights = MODEL] of cases) {
    const { code, stdout, stderr } = await instaseg(['segment', STREET, '--weights', weights, ...flags]);
    t.is(code, 2, `${flags.join(' ')}: ${stderr}`);
    t.regex(stderr, /ERR_ARGUMENT/);
    t.regex(stderr, message);
    t.is(stdout, '');
    t.notRegex(stderr, /^ {4}at /m);
  }
});

test('converted weights give the same JSON', async (t) => {
  for (const [name, weights] of [
    ['plus', MODEL],
    ['plain', PLAIN],
  ] as const) {
    const converted = folder.path(`${name}-converted.safetensors`);
    const { code, stdout, stderr } = await instaseg(['convert', weights, '-o', converted]);
    t.is(code, 0, stderr);
    t.regex(stdout, /family +yolact/);
    t.deepEqual(
      await results(`${name}-after`, STREET, ['--weights', converted]),
      await results(`${name}-before`, STREET, ['--weights', weights]),
    );
  }
});

test('a preset is kept by convert, and can be named when segmenting', async (t) => {
  const converted = folder.path('im700.safetensors');
  const { code, stdout, stderr } = await instaseg(['convert', PLAIN, '-o', converted, '--model', 'yolact_im700']);
  t.is(code, 0, stderr);
  t.regex(stdout, /model +yolact_im700/);
  const after = await results('im700-after', STREET, ['--weights', converted]);
  t.deepEqual(after, await results('im700-named', STREET, ['--weights', PLAIN, '--model', 'yolact_im700']));
  t.notDeepEqual(after, await results('im550', STREET, ['--weights', PLAIN]));
});
