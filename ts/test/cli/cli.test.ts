import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import sharp from 'sharp';
import { load, writeSafetensors, type CocoResult } from '../../src/index.js';
import { areaOfRle, finished, instaseg, start, temporaryFolder, writeImage, writeTinyModel } from './support.js';

const folder = temporaryFolder();
const MODEL = folder.path('tiny.safetensors');
const STREET = folder.path('street.png');
const NUMBERED = folder.path('000000000139.png');
const BROKEN = folder.path('broken.jpg');
// What makes the tiny model quick and its number of detections small.
const OPTIONS = { scoreThreshold: 0.3, maxDetections: 6, minSize: 64, maxSize: 128 };
const FLAGS = ['--score-threshold', '0.3', '--max-detections', '6', '--min-size', '64', '--max-size', '128'];
const SEGMENT = ['--weights', MODEL, ...FLAGS];

test.before(async () => {
  await writeTinyModel(MODEL, 91);
  await writeImage(STREET, 100, 75);
  await writeImage(NUMBERED, 60, 80, 2);
  writeFileSync(BROKEN, Buffer.from('\xff\xd8\xff\xe0 this is no photograph', 'latin1'));
});

test.after.always(() => folder.remove());

const readJson = (...names: string[]): CocoResult[] =>
  JSON.parse(readFileSync(folder.path(...names), 'utf8')) as CocoResult[];

/** What the API says about an image. */
async function expected(image: string, weights = MODEL, options = {}): Promise<CocoResult[]> {
  const model = await load(weights, { device: 'cpu', ...options });
  try {
    return (await model.segment(image, OPTIONS)).toJSON();
  } finally {
    await model.dispose();
  }
}

test('--version and --help', async (t) => {
  const version = await instaseg(['--version']);
  t.is(version.code, 0);
  t.regex(version.stdout, /^\d+\.\d+\.\d+\n$/);
  const help = await instaseg(['--help']);
  t.is(help.code, 0);
  for (const part of ['segment', 'convert', 'devices', 'demo', 'Examples:', 'Exit codes:', '130']) {
    t.true(help.stdout.includes(part), part);
  }
});

test('wrong usage exits with 2 and says what is wrong', async (t) => {
  const cases: [args: string[], message: RegExp][] = [
    [[], /Usage: instaseg/],
    [['frobnicate'], /^error ERR_ARGUMENT: unknown command 'frobnicate'/],
    [['segment'], /^error ERR_ARGUMENT: missing required argument 'image'/],
    [['segment', STREET, '--weights', MODEL, '--colour'], /^error ERR_ARGUMENT: unknown option '--colour'/],
    [['segment', STREET, '--weights', 'https://example.org/a.pth'], /--weights has to be a file.*download it first/],
    [['convert', MODEL], /^error ERR_ARGUMENT: required option '-o, --output/],
    [['convert', MODEL, '-o', MODEL], /^error ERR_ARGUMENT: --output is the checkpoint itself/],
    [['segment', STREET, ...SEGMENT, '--class-names', 'a,b,c'], /^error ERR_ARGUMENT: Expected 90 class names/],
    [['segment', STREET, ...SEGMENT, '--class-names', 'a,,c'], /'--class-names <.*Expected names that are not empty/],
    [['segment', STREET, ...SEGMENT, '--class-names', './no.txt'], /'--class-names <.*cannot be read \(ENOENT\)/],
    [
      ['segment', STREET, '--weights', MODEL, '--min-size', '2000'],
      /--min-size \(2000\) is above --max-size \(1333, the model's own\)/,
    ],
    [['segment', STREET, NUMBERED, ...SEGMENT, '--overlay', 'a.png'], /--overlay has to be a folder for 2 images/],
    [['segment', STREET, ...SEGMENT, '--overlay', 'a.gif'], /--overlay has to end in \.png, /],
    [['segment', STREET, ...SEGMENT, '--overlay', STREET], /--overlay would write .* which is the image/],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await instaseg(args);
    t.is(code, 2, args.join(' '));
    t.regex(stderr, message);
    t.is(stdout, '');
    t.notRegex(stderr, /^ {4}at /m);
  }
});

test('numbers are checked, and the message names the option', async (t) => {
  const cases: [option: string, values: string[]][] = [
    ['--threads', ['0', '-1', '1.5', 'two', '']],
    ['--score-threshold', ['NaN', '1.01', '-0.1']],
    ['--nms-threshold', ['Infinity']],
    ['--mask-threshold', ['0,5']],
    ['--max-detections', ['0', '1e9']],
    ['--min-size', ['0x10']],
    ['--max-size', ['-5']],
    ['--isa', ['sse9']],
    ['--device', ['gpu', 'cuda:x']],
  ];
  for (const [option, values] of cases) {
    for (const value of values) {
      const { code, stderr } = await instaseg(['segment', STREET, '--weights', MODEL, option, value]);
      t.is(code, 2, `${option} ${value}`);
      t.true(stderr.startsWith(`error ERR_ARGUMENT: option '${option} <`), stderr);
      t.true(stderr.includes(`argument '${value}' is invalid`), stderr);
    }
  }
});

test('without --weights the error names the ways to get some', async (t) => {
  const { code, stderr } = await instaseg(['segment', STREET]);
  t.is(code, 2);
  t.true(stderr.startsWith('error ERR_ARGUMENT: --weights is missing'));
  for (const part of ['--weights maskrcnn_resnet50_fpn', 'instaseg pull --list', 'instaseg convert', 'instaseg demo']) {
    t.true(stderr.includes(part), part);
  }
});

test('weights that cannot be loaded exit with 3', async (t) => {
  const page = folder.path('page.pth');
  writeFileSync(page, '<!DOCTYPE html><html><body>Not found</body></html>');
  const other = folder.path('other.safetensors');
  const zeros = new Uint8Array(8);
  await writeSafetensors(other, [{ name: 'proto_net.0.weight', dtype: 'f32', shape: [2], read: () => [zeros] }]);
  const cases: [args: string[], message: RegExp][] = [
    [['--weights', folder.path('missing.pth')], /^error ERR_FILE: .*missing\.pth: no such file/],
    [['--weights', page], /^error ERR_CHECKPOINT: .*page\.pth/],
    [['--weights', other], /^error ERR_WEIGHTS: .*YOLACT/],
    [['--weights', MODEL, '--device', 'cuda:99'], /^error ERR_DEVICE_UNAVAILABLE: /],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await instaseg(['segment', STREET, ...args, '--json', folder.path('none.json')]);
    t.is(code, 3, stderr);
    t.regex(stderr, message);
    t.is(stdout, '');
  }
  t.deepEqual(
    readdirSync(folder.path()).filter((name) => name.includes('none.json')),
    [],
  );
});

test('one image: the table, JSON and drawing agree with the API', async (t) => {
  const [json, drawing] = [folder.path('one.json'), folder.path('one.png')];
  const { code, stdout, stderr } = await instaseg([
    'segment',
    STREET,
    ...SEGMENT,
    '--json',
    json,
    '--overlay',
    drawing,
  ]);
  t.is(stderr, '');
  t.is(code, 0);
  const results = readJson('one.json');
  t.deepEqual(results, await expected(STREET));
  t.true(results.length > 1 && results.length <= 6, `${results.length} detections`);

  const [title, header, ...rows] = stdout.trimEnd().split('\n');
  t.is(title, `${STREET}: 100x75, ${results.length} objects`);
  t.deepEqual(header!.trim().split(/ {2,}/), ['#', 'label', 'score', 'x', 'y', 'width', 'height', 'area']);
  t.is(rows.length, results.length);
  results.forEach((result, i) => {
    t.is(result.image_id, 'street');
    t.deepEqual(result.segmentation.size, [75, 100]);
    t.true(result.score > 0.3 && result.score <= 1);
    const cells = rows[i]!.trim().split(/ {2,}/);
    const box = result.bbox.map((value) => value.toFixed(1));
    t.deepEqual(cells, [
      String(i),
      result.label,
      result.score.toFixed(3),
      ...box,
      String(areaOfRle(result.segmentation)),
    ]);
  });

  const { format, width, height } = await sharp(drawing).metadata();
  t.deepEqual([format, width, height], ['png', 100, 75]);
});

test('several images: one that fails does not stop the others', async (t) => {
  const missing = folder.path('gone.png');
  const images = [STREET, BROKEN, missing, NUMBERED];
  const drawn = folder.path('drawn', 'here');
  const json = ['--json', folder.path('several.json')];
  const { code, stdout, stderr } = await instaseg(['segment', ...images, ...SEGMENT, ...json, '--overlay', drawn]);
  t.is(code, 1);
  t.regex(stderr, /^error ERR_IMAGE: .*broken\.jpg/m);
  t.regex(stderr, /^error ERR_FILE: .*gone\.png/m);
  t.regex(stderr, /^2 of 4 images failed$/m);
  t.is(stderr.trimEnd().split('\n').length, 3, stderr);
  t.deepEqual(readJson('several.json'), [...(await expected(STREET)), ...(await expected(NUMBERED))]);
  t.deepEqual([...new Set(readJson('several.json').map(({ image_id }) => image_id))], ['street', 139]);
  t.deepEqual(
    [STREET, NUMBERED].map((image) => stdout.includes(`${image}: `)),
    [true, true],
  );
  t.deepEqual(readdirSync(drawn).toSorted(), ['000000000139.png', 'street.png']);
  const { width, height } = await sharp(folder.path('drawn', 'here', '000000000139.png')).metadata();
  t.deepEqual([width, height], [60, 80]);
});

test('images of one name: refused where drawings would overwrite each other, a warning for JSON', async (t) => {
  mkdirSync(folder.path('twin'));
  const twin = folder.path('twin', 'street.png');
  copyFileSync(STREET, twin);
  const drawn = await instaseg(['segment', STREET, twin, ...SEGMENT, '--overlay', folder.path('twins')]);
  t.is(drawn.code, 2);
  t.regex(drawn.stderr, /--overlay would write .*street\.png for .*twin.street\.png, which is the drawing of/);
  const listed = await instaseg(['segment', STREET, twin, STREET, ...SEGMENT, '--json', folder.path('twins.json')]);
  t.is(listed.code, 0);
  t.regex(listed.stderr, /^warning: .* have the same image_id, "street"\n$/);
});

test('--json - writes JSON alone to stdout', async (t) => {
  const { code, stdout, stderr } = await instaseg(['segment', STREET, NUMBERED, ...SEGMENT, '--json', '-']);
  t.is(code, 0);
  t.is(stderr, '');
  t.deepEqual(JSON.parse(stdout), [...(await expected(STREET)), ...(await expected(NUMBERED))]);
});

test('no detections make an empty array', async (t) => {
  const nothing = ['--weights', MODEL, ...FLAGS, '--score-threshold', '1', '--json', '-'];
  const { code, stdout } = await instaseg(['segment', STREET, ...nothing]);
  t.is(code, 0);
  t.is(stdout, '[]\n');
});

test('--json replaces a file only when it is complete, and writes to what is no file', async (t) => {
  writeFileSync(folder.path('old.json'), 'old');
  const failed = await instaseg(['segment', STREET, '--weights', BROKEN, '--json', folder.path('old.json')]);
  t.is(failed.code, 3);
  t.is(readFileSync(folder.path('old.json'), 'utf8'), 'old');
  const replaced = await instaseg(['segment', STREET, ...SEGMENT, '--json', folder.path('old.json'), '--quiet']);
  t.deepEqual(replaced, { code: 0, stdout: '', stderr: '' });
  t.deepEqual(readJson('old.json'), await expected(STREET));
  const unwritable = await instaseg(['segment', STREET, ...SEGMENT, '--json', folder.path('no', 'such.json')]);
  t.is(unwritable.code, 1);
  t.regex(unwritable.stderr, /^error ERR_FILE: .*such\.json: cannot be written \(ENOENT\)/);
  if (existsSync('/dev/null')) {
    t.is((await instaseg(['segment', STREET, ...SEGMENT, '--json', '/dev/null'])).code, 0);
    t.false(readdirSync('/dev').some((name) => name.startsWith('null.')));
  }
  t.deepEqual(
    readdirSync(folder.path()).filter((name) => name.startsWith('old.json.')),
    [],
  );
});

test('category ids are those of COCO for 91 and 81 outputs, otherwise the class index from 1', async (t) => {
  const idsOf = async (outputs: number, more: string[] = []): Promise<CocoResult[]> => {
    const weights = folder.path(`model-${outputs}.safetensors`);
    if (!existsSync(weights)) await writeTinyModel(weights, outputs);
    const { stdout } = await instaseg(['segment', STREET, '--weights', weights, ...FLAGS, ...more, '--json', '-']);
    const results = JSON.parse(stdout) as CocoResult[];
    t.true(results.length > 0, `${outputs} outputs`);
    return results;
  };
  const model = async (outputs: number): Promise<Map<string, number>> => {
    const { config, ...opened } = await openConfig(folder.path(`model-${outputs}.safetensors`));
    await opened.dispose();
    return new Map(config.classNames.map((name, i) => [name, config.categoryIds[i]!]));
  };
  for (const outputs of [91, 81]) {
    const results = await idsOf(outputs);
    const ids = await model(outputs);
    t.is(ids.get('person'), 1);
    t.is(ids.get('toothbrush'), 90);
    for (const { label, category_id } of results) t.is(category_id, ids.get(label)!, label);
  }
  for (const { label, category_id } of await idsOf(4)) t.is(label, `class ${category_id}`);
  writeFileSync(folder.path('names.txt'), 'background\napple\n\npear\nplum\n');
  const named = ['apple', 'pear', 'plum'];
  for (const value of [named.join(','), folder.path('names.txt')]) {
    for (const { label, category_id } of await idsOf(4, ['--class-names', value])) t.is(label, named[category_id - 1]!);
  }
});

async function openConfig(weights: string): Promise<{
  config: { classNames: readonly string[]; categoryIds: readonly number[] };
  dispose: () => Promise<void>;
}> {
  const model = await load(weights, { device: 'cpu' });
  return { config: model.config, dispose: () => model.dispose() };
}

test('a converted model gives identical JSON', async (t) => {
  const converted = folder.path('converted.safetensors');
  const conversion = await instaseg(['convert', MODEL, '-o', converted]);
  t.is(conversion.code, 0);
  t.is(conversion.stderr, '');
  for (const row of [
    /family +torchvision/,
    /model +maskrcnn/,
    /classes +90 \(person, .*toothbrush\)/,
    /tensors +\d+/,
    /size +\d+ bytes/,
  ]) {
    t.regex(conversion.stdout, row);
  }
  const [before, after] = await Promise.all(
    [MODEL, converted].map((weights) => instaseg(['segment', STREET, '--weights', weights, ...FLAGS, '--json', '-'])),
  );
  t.is(after!.code, 0);
  t.is(after!.stdout, before!.stdout);
});

test('convert records what it is told, and fails with 3', async (t) => {
  const converted = folder.path('told.safetensors');
  const names = Array.from({ length: 90 }, (_, i) => `name ${i}`).join(',');
  const told = ['--class-names', names, '--batch-norm-epsilon', '1e-5'];
  const { code } = await instaseg(['convert', MODEL, '-o', converted, ...told, '--quiet']);
  t.is(code, 0);
  const model = await load(converted, { device: 'cpu' });
  t.is(model.config.batchNorm.epsilon, 1e-5);
  t.is(model.classNames[1], 'name 0');
  await model.dispose();
  const failed = await instaseg(['convert', BROKEN, '-o', folder.path('never.safetensors')]);
  t.is(failed.code, 3);
  t.regex(failed.stderr, /^error ERR_CHECKPOINT: /);
  t.false(existsSync(folder.path('never.safetensors')));
  const negative = await instaseg(['convert', MODEL, '-o', converted, '--batch-norm-epsilon', '-1']);
  t.is(negative.code, 2);
});

test('devices lists the CPU, and why others cannot be used', async (t) => {
  const { code, stdout } = await instaseg(['devices', '--json']);
  t.is(code, 0);
  const devices = JSON.parse(stdout) as { name: string; available: boolean; reason?: string; threads?: number }[];
  const cpu = devices.find(({ name }) => name === 'cpu')!;
  t.true(cpu.available);
  t.true(cpu.threads! >= 1);
  for (const device of devices) t.is(device.reason === undefined, device.available, device.name);
  const table = await instaseg(['devices']);
  t.is(table.stdout.trimEnd().split('\n').length, devices.length);
  t.regex(table.stdout, /^ +cpu +available/);
});

test('--verbose tells device and times, and the stack of errors', async (t) => {
  const one = [
    'segment',
    BROKEN,
    STREET,
    ...SEGMENT,
    '--verbose',
    '--threads',
    '1',
    '--isa',
    'baseline',
    '--device',
    'cpu',
  ];
  const { code, stdout, stderr } = await instaseg(one);
  t.is(code, 1);
  t.regex(stderr, /^model +maskrcnn_resnet.*90 classes$/m);
  t.regex(stderr, /^device +cpu, 1 threads, baseline$/m);
  t.regex(stderr, /^error ERR_IMAGE: .*broken\.jpg/m);
  t.regex(stderr, /^ {4}at /m);
  t.regex(stdout, /objects, decode [\d.]+ m?s, forward [\d.]+ m?s$/m);
});

test('an interrupt ends it with 130 and leaves nothing half-written', async (t) => {
  const images = Array.from({ length: 200 }, (_, i) => (i % 2 === 0 ? STREET : NUMBERED));
  const child = start(['segment', ...images, ...SEGMENT, '--json', folder.path('interrupted.json')]);
  const end = finished(child);
  child.stdout!.once('data', () => child.kill('SIGINT'));
  const { code, stderr } = await end;
  t.is(code, 130);
  t.regex(stderr, /interrupted\n$/);
  t.notRegex(stderr, /^error/m);
  t.deepEqual(
    readdirSync(folder.path()).filter((name) => name.includes('interrupted')),
    [],
  );
});

test('a reader of stdout that goes away is no crash', async (t) => {
  const images = Array.from({ length: 200 }, () => STREET);
  const child = start(['segment', ...images, ...SEGMENT]);
  const end = finished(child);
  child.stdout!.once('data', () => child.stdout!.destroy());
  const { code, stderr } = await end;
  t.is(code, 0);
  t.is(stderr, '');
});

test('demo: both networks find the things in the scenes, draw them and write JSON', async (t) => {
  const { code, stdout, stderr } = await instaseg(['demo', '--out', folder.path('demo')]);
  t.is(stderr, '');
  t.is(code, 0);
  t.true(stdout.includes(' 16 kinds of drawn things'));
  t.true(stdout.includes('instaseg pull --list'), 'says what comes next');
  const scenes = ['scene-1', 'scene-2', 'scene-3', 'scene-4'];
  for (const [name, title] of [
    ['maskrcnn_demo', 'Mask R-CNN'],
    ['yolactplus_demo', 'YOLACT++'],
  ] as const) {
    for (const scene of scenes) t.true(stdout.includes(`${title}, ${scene}.jpg: `), scene);
    t.deepEqual(
      readdirSync(folder.path('demo', name)).toSorted(),
      scenes.map((scene) => `${scene}.png`),
    );
    const results = readJson('demo', `${name}.json`);
    t.deepEqual([...new Set(results.map(({ image_id }) => image_id))], scenes);
    for (const { segmentation } of results) t.true(areaOfRle(segmentation) > 0);
    for (const scene of scenes) {
      const picture = await sharp(join(__dirname, '../../../models/demo/scenes', `${scene}.jpg`)).metadata();
      const drawing = await sharp(folder.path('demo', name, `${scene}.png`)).metadata();
      t.deepEqual([drawing.width, drawing.height], [picture.width, picture.height]);
    }
  }
  t.deepEqual(readdirSync(folder.path('demo')).toSorted(), [
    'maskrcnn_demo',
    'maskrcnn_demo.json',
    'yolactplus_demo',
    'yolactplus_demo.json',
  ]);
});
