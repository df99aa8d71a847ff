import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import test from 'ava';
import { evaluateCoco, load, loadCocoDataset, type CocoResult } from '../../src/index.js';
import { FIXTURE, readCase } from '../evaluation/support.js';
import { referencePath, testWithReference } from '../masks/support.js';
import { finished, instaseg, start, temporaryFolder, writeImage, writeTinyModel } from './support.js';

const folder = temporaryFolder();
const MODEL = folder.path('tiny.safetensors');
const GT = folder.path('gt.json');
const FLAGS = ['--score-threshold', '0.3', '--max-detections', '6', '--min-size', '64', '--max-size', '128'];
const OPTIONS = { scoreThreshold: 0.3, maxDetections: 6, minSize: 64, maxSize: 128 };
const OWN = ['--annotations', join(FIXTURE, 'gt.json'), '--results', join(FIXTURE, 'dt.json')];
const RUN = ['--annotations', GT, '--images', folder.path(), '--weights', MODEL, ...FLAGS];
const SIZES = { 'a.png': [100, 75], 'b.png': [60, 80], 'c.png': [80, 80] } as const;

interface Report {
  readonly images: number;
  readonly failedImages: number[];
  readonly bbox: Part;
  readonly segm: Part;
}

interface Part {
  readonly useCategories: boolean;
  readonly objects: number;
  readonly stats: Record<string, number>;
  readonly perCategory: { readonly categoryId: number; readonly ap: number }[];
}

const image = (id: number, file_name: keyof typeof SIZES): object => {
  const [width, height] = SIZES[file_name];
  return { id, file_name, width, height };
};
const IMAGES = [image(12, 'c.png'), image(5, 'b.png'), image(3, 'a.png')];
let categories: object[];
let annotations: object[];

/** What the API finds in each image, in the order of their ids. */
let detected: CocoResult[];

const writeJson = (path: string, value: unknown): void => writeFileSync(path, JSON.stringify(value));
const readJson = <T>(name: string): T => JSON.parse(readFileSync(folder.path(name), 'utf8')) as T;
/** What a run to this file left beside it. */
const partials = (name: string): string[] => readdirSync(folder.path()).filter((file) => file.startsWith(`${name}.`));

test.before(async () => {
  await writeTinyModel(MODEL, 5);
  let seed = 1;
  for (const [name, [width, height]] of Object.entries(SIZES)) {
    await writeImage(folder.path(name), width, height, seed++);
  }
  const model = await load(MODEL, { device: 'cpu' });
  detected = [];
  for (const [imageId, name] of [
    [3, 'a.png'],
    [5, 'b.png'],
    [12, 'c.png'],
  ] as const) {
    detected.push(...(await model.segment(folder.path(name), { ...OPTIONS, imageId })).toJSON());
  }
  categories = model.config.categoryIds.slice(1).map((id) => ({ id, name: `thing ${id}` }));
  await model.dispose();
  // The truth: every other detection.
  annotations = detected
    .filter((_, i) => i % 2 === 0)
    .map(({ image_id, category_id, bbox, segmentation }, i) => {
      const area = bbox[2] * bbox[3];
      return { id: i + 1, image_id, category_id, bbox, area, segmentation };
    });
  writeJson(GT, { images: IMAGES, categories, annotations });
});

test.after.always(() => folder.remove());

test('a results file: the figures in JSON are those of pycocotools', async (t) => {
  const { expected } = readCase(FIXTURE);
  const json = folder.path('figures.json');
  const { code, stdout, stderr } = await instaseg(['eval', ...OWN, '--json', json, '--quiet']);
  t.deepEqual({ code, stdout, stderr }, { code: 0, stdout: '', stderr: '' });
  const report = readJson<Report>('figures.json');
  for (const type of ['bbox', 'segm'] as const) {
    t.deepEqual(Object.values(report[type].stats), expected(type).stats);
    t.deepEqual(Object.keys(report[type].stats).slice(0, 3), ['AP', 'AP50', 'AP75']);
    for (const { categoryId, ap } of report[type].perCategory) t.is(ap, expected(type).per_category_ap[categoryId]!);
  }
  t.deepEqual([report.images, report.failedImages], [9, []]);

  const merged = await instaseg(['eval', ...OWN, '--no-categories', '--iou-type', 'segm', '--json', '-']);
  const { segm, bbox } = JSON.parse(merged.stdout) as Partial<Report>;
  t.deepEqual(Object.values(segm!.stats), expected('segm_no_categories').stats);
  t.deepEqual([bbox, segm!.useCategories, segm!.perCategory], [undefined, false, []]);
  const both = await instaseg(['eval', ...OWN, '--pycocotools-fields', '--json', '-']);
  t.deepEqual(Object.values((JSON.parse(both.stdout) as Report).segm.stats), expected('segm_both_fields').stats);
});

testWithReference('the reference data: the figures are those of pycocotools', async (t) => {
  const path = (name: string): string => referencePath(`coco/${name}`);
  const { stdout } = await instaseg([
    'eval',
    '--annotations',
    path('gt.json'),
    '--results',
    path('dt.json'),
    '--json',
    '-',
  ]);
  const expected = JSON.parse(readFileSync(path('expected.json'), 'utf8')) as Record<string, { stats: number[] }>;
  const report = JSON.parse(stdout) as Report;
  for (const type of ['bbox', 'segm'] as const) {
    t.deepEqual(Object.values(report[type].stats), expected[type]!.stats);
  }
});

test('a results file: the tables', async (t) => {
  const { code, stdout, stderr } = await instaseg(['eval', ...OWN, '--per-class']);
  t.deepEqual([code, stderr], [0, '']);
  const [boxes, byCategory, masks, masksByCategory, ...rest] = stdout.trimEnd().split('\n\n');
  t.deepEqual(rest, []);
  t.regex(boxes!, /^gt\.json, boxes \(bbox\): 9 images, 40 objects, \d+ detections\n/);
  t.regex(masks!, /^gt\.json, masks \(segm\): /);
  t.is(boxes!.split('\n').length, 14);
  t.regex(boxes!, /^ {2}AP +average precision +0\.50:0\.95 +all +100 +0\.229$/m);
  t.regex(boxes!, /^ {2}AR1 +average recall +0\.50:0\.95 +all +1 +0\.183$/m);
  t.regex(masks!, /^ {2}AP75 +average precision +0\.75 +all +100 +0\.156$/m);
  t.regex(byCategory!, /^boxes by category\n {2}category +objects +detections +AP /);
  t.regex(masksByCategory!, /^ {2}toothbrush +0 +\d+ +- +- +- +- +- +- +-$/m);
});

test('results without masks: boxes only, unless masks are asked for', async (t) => {
  const { results, expected } = readCase(FIXTURE);
  writeJson(
    folder.path('boxes.json'),
    results.map((row) => ({ ...row, segmentation: undefined })),
  );
  const args = [
    'eval',
    '--annotations',
    join(FIXTURE, 'gt.json'),
    '--results',
    folder.path('boxes.json'),
    '--json',
    '-',
  ];
  const { code, stdout, stderr } = await instaseg(args);
  t.is(code, 0);
  t.is(stderr, 'only boxes are measured: the results have no masks\n');
  const report = JSON.parse(stdout) as Partial<Report>;
  t.deepEqual(Object.values(report.bbox!.stats), expected('bbox').stats);
  t.is(report.segm, undefined);
  const asked = await instaseg([...args, '--iou-type', 'segm']);
  t.is(asked.code, 2);
  t.regex(asked.stderr, /^error ERR_ARGUMENT: results\[\d+\] has no segmentation to compare/);
});

test('wrong usage exits with 2, files that cannot be read with 1, weights with 3', async (t) => {
  const missing = folder.path('missing.json');
  writeJson(folder.path('strange.json'), { images: [] });
  const cases: [args: string[], code: number, message: RegExp][] = [
    [[], 2, /required option '--annotations <gt.json>' not specified/],
    [['--annotations', GT], 2, /expected --results, or --images with --weights/],
    [['--annotations', GT, '--images', '.'], 2, /--images needs --weights/],
    [[...OWN, '--images', '.'], 2, /'--results <dt.json>' cannot be used with option '--images <dir>'/],
    [[...OWN, '--save-results', 'a.json'], 2, /cannot be used with option '--save-results/],
    [[...OWN, '--iou-type', 'keypoints'], 2, /Expected bbox, segm or bbox,segm/],
    [[...RUN, '--save-results', '-'], 2, /--save-results has to be a file/],
    [['--annotations', missing, '--results', missing], 1, /^error ERR_FILE: .*missing\.json: no such file/],
    [['--annotations', GT, '--results', missing], 1, /^error ERR_FILE: .*missing\.json: no such file/],
    [['--annotations', folder.path('strange.json'), '--results', GT], 2, /strange\.json: categories must be an array/],
    [['--annotations', GT, '--results', GT], 2, /gt\.json must be an array/],
    [['--annotations', GT, '--images', '.', '--weights', missing], 3, /^error ERR_FILE: /],
    [[...OWN, '--json', folder.path('no', 'such.json')], 1, /^error ERR_FILE: .*such\.json: cannot be written/],
    [[...RUN, '--nms', 'fast'], 2, /^error ERR_ARGUMENT: /],
  ];
  for (const [args, code, message] of cases) {
    const result = await instaseg(['eval', ...args]);
    t.is(result.code, code, `${args.join(' ')}\n${result.stderr}`);
    t.regex(result.stderr, message);
  }
});

test('a model over images: what the API finds, evaluated as the API does', async (t) => {
  const saved = folder.path('saved.json');
  const { code, stdout, stderr } = await instaseg(['eval', ...RUN, '--save-results', saved, '--json', '-']);
  t.is(stderr, '');
  t.is(code, 0);
  t.deepEqual(readJson('saved.json'), detected);
  t.true(detected.length > 6);
  const report = JSON.parse(stdout) as Report;
  const dataset = await loadCocoDataset(GT);
  for (const iouType of ['bbox', 'segm'] as const) {
    const { stats } = await evaluateCoco(dataset, detected, { iouType });
    t.deepEqual(
      Object.values(report[iouType].stats),
      stats.map(({ value }) => value),
    );
    t.is(report[iouType].stats.AR100, 1);
  }
  t.deepEqual(partials('saved.json'), []);
  const again = await instaseg(['eval', '--annotations', GT, '--results', saved, '--json', '-']);
  t.deepEqual((JSON.parse(again.stdout) as Report).segm, report.segm);
});

test('--max-images takes the first images by id', async (t) => {
  const { stdout } = await instaseg(['eval', ...RUN, '--max-images', '2', '--save-results', folder.path('two.json')]);
  t.deepEqual(
    readJson('two.json'),
    detected.filter(({ image_id }) => image_id !== 12),
  );
  t.regex(stdout, /^gt\.json, boxes \(bbox\): 2 images, /);
});

test('images that fail are reported and counted, and tried again by the same command', async (t) => {
  const gt = folder.path('failing.json');
  const images = [...IMAGES, { id: 4, file_name: 'later.png', width: 100, height: 75 }];
  images.push({ id: 6, file_name: 'a.png', width: 75, height: 100 });
  writeJson(gt, { images, categories, annotations });
  const saved = folder.path('failed.json');
  const args = ['eval', '--annotations', gt, ...RUN.slice(2), '--save-results', saved, '--json', '-'];
  const first = await instaseg(args);
  t.is(first.code, 1);
  t.regex(first.stderr, /^error ERR_FILE: .*later\.png/m);
  t.regex(first.stderr, /^error ERR_IMAGE: a\.png: the image is 100x75, .* say 75x100: try --ignore-orientation$/m);
  t.regex(first.stderr, /^2 of 5 images failed: their objects count as not found$/m);
  t.deepEqual((JSON.parse(first.stdout) as Report).failedImages, [4, 6]);
  t.deepEqual(readJson('failed.json'), detected);
  t.deepEqual(partials('failed.json'), ['failed.json.partial']);

  await writeImage(folder.path('later.png'), 100, 75, 9);
  const second = await instaseg(args);
  t.is(second.code, 1);
  t.regex(second.stderr, /^going on after 3 of 5 images, from .*failed\.json\.partial$/m);
  t.deepEqual((JSON.parse(second.stdout) as Report).failedImages, [6]);
  t.true(readJson<CocoResult[]>('failed.json').some(({ image_id }) => image_id === 4));

  const other = await instaseg([...args, '--mask-threshold', '0.6']);
  t.is(other.code, 2);
  t.regex(other.stderr, /failed\.json\.partial holds results of other weights, annotations or options: delete it/);
  t.true(existsSync(`${saved}.partial`));
});

test('an interrupted run goes on where it stopped', async (t) => {
  const gt = folder.path('many.json');
  const count = 150;
  const images = Array.from({ length: count }, (_, i) => image(i + 1, i % 2 === 0 ? 'a.png' : 'b.png'));
  writeJson(gt, { images, categories, annotations: [] });
  const args = ['eval', '--annotations', gt, ...RUN.slice(2)];
  const partial = folder.path('many-out.json.partial');
  const lines = (): number => (existsSync(partial) ? readFileSync(partial, 'utf8').split('\n').length : 0);

  const child = start([...args, '--save-results', folder.path('many-out.json')]);
  const end = finished(child);
  while (lines() < 10 && child.exitCode === null) await setTimeout(5);
  child.kill('SIGINT');
  const { code, stdout, stderr } = await end;
  t.is(code, 130);
  t.is(stdout, '');
  const kept = Number(/^(\d+) of 150 images are kept in .*many-out\.json\.partial/m.exec(stderr)?.[1]);
  t.true(kept >= 7 && kept < count, stderr);
  t.false(existsSync(folder.path('many-out.json')));

  appendFileSync(partial, '{"image_id":149,"results":[{"image_'); // as a hard end leaves it
  const resumed = await instaseg([...args, '--save-results', folder.path('many-out.json')]);
  t.is(resumed.code, 0);
  t.regex(resumed.stderr, new RegExp(`^going on after ${kept} of 150 images`));
  t.false(existsSync(partial));
  const whole = await instaseg([...args, '--save-results', folder.path('whole.json')]);
  t.is(whole.code, 0);
  t.is(resumed.stdout, whole.stdout);
  t.is(readFileSync(folder.path('many-out.json'), 'utf8'), readFileSync(folder.path('whole.json'), 'utf8'));
});

test('a bundled model goes by its name', async (t) => {
  const demo = resolve(__dirname, '../../../ts/test/fixtures/demo');
  const images = ['--annotations', join(demo, 'instances.json'), '--images', join(demo, 'images'), '--max-images', '2'];
  const saved = folder.path('by-name.json');
  const { code, stderr } = await instaseg(['eval', ...images, '--weights', 'maskrcnn_demo', '--save-results', saved]);
  t.is(stderr, '');
  t.is(code, 0);
  t.deepEqual([...new Set(readJson<CocoResult[]>('by-name.json').map(({ image_id }) => image_id))], [1, 2]);
});
