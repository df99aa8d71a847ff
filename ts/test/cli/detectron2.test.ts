/** The command line with detectron2's checkpoints: what it takes, and what it refuses by name. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'ava';
import { load, type CocoResult } from '../../src/index.js';
import { array, dict, dtype, pickle, string } from '../weights/pickle-builder.js';
import { instaseg, temporaryFolder, writeImage } from './support.js';

const PKL = path.resolve(__dirname, '../../../ts/test/fixtures/detectron2/resnext/model_final.pkl');
const folder = temporaryFolder();
const STREET = folder.path('street.png');
const FLAGS = ['--min-size', '160', '--max-size', '320'];

test.before(() => writeImage(STREET, 200, 150));
test.after.always(() => folder.remove());

async function results(weights: string, flags: readonly string[] = []): Promise<CocoResult[]> {
  const file = folder.path(`${path.basename(weights)}-${flags.length}.json`);
  const args = ['segment', STREET, '--weights', weights, ...FLAGS, ...flags, '--json', file, '--quiet'];
  const { code, stderr } = await instaseg(args);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(readFileSync(file, 'utf8')) as CocoResult[];
}

test('segment takes a .pkl of the model zoo as it is', async (t) => {
  const found = await results(PKL);
  t.true(found.length >= 3);
  await using model = await load(PKL, { device: 'cpu' });
  const result = await model.segment(STREET, { minSize: 160, maxSize: 320 });
  t.deepEqual(found, result.toJSON());
  t.true(found.every(({ label, category_id: id }) => label === `class ${id}` && id >= 1 && id <= 8));
});

test('class names come from a file, and sizes are checked against each other', async (t) => {
  const names = folder.path('names.txt');
  writeFileSync(names, 'ash\nbirch\ncedar\ndogwood\nelm\nfir\ngum\nhazel\n');
  const found = await results(PKL, ['--class-names', names]);
  t.true(found.every(({ label }) => /^(ash|birch|cedar|dogwood|elm|fir|gum|hazel)$/.test(label)));
  const { code, stderr } = await instaseg(['segment', STREET, '--weights', PKL, '--min-size', '1400']);
  t.is(code, 2);
  t.regex(stderr, /--min-size \(1400\) is above --max-size \(1333, the model's own\)/);
});

test('inspect and convert say what it is; a converted file gives the same results', async (t) => {
  const inspected = await instaseg(['inspect', PKL]);
  t.regex(inspected.stdout, /^ *format +pickle-4 *$/m);
  t.regex(inspected.stdout, /^ *family +detectron2 *$/m);
  t.regex(inspected.stdout, /^ *model +mask_rcnn_X_custom_4x2d_FPN *$/m);
  const converted = folder.path('converted.safetensors');
  const { code, stdout } = await instaseg(['convert', PKL, '-o', converted]);
  t.is(code, 0);
  t.regex(stdout, /classes +8 \(class 1, class 2, class 3, \.\.\., class 8\)/);
  t.deepEqual(await results(converted), await results(PKL));
  const half = folder.path('half.safetensors');
  t.is((await instaseg(['convert', PKL, '-o', half, '--dtype', 'f16', '--quiet'])).code, 0);
  t.true(statSync(half).size < 0.6 * statSync(converted).size);
  t.true((await results(half)).length > 0);
  const wrong = await instaseg(['convert', PKL, '-o', half, '--dtype', 'int8']);
  t.is(wrong.code, 2);
  t.regex(wrong.stderr, /--dtype/);
});

test('what is not supported is refused by name', async (t) => {
  const one = array([1], dtype('f4'), string(Buffer.alloc(4)));
  const model = (...names: string[]): Buffer => dict(names.map((name) => [name, one]));
  const files: readonly (readonly [name: string, content: Buffer, message: RegExp])[] = [
    ['blobs', dict([['blobs', model('conv1_w', 'res2_0_branch2a_w')]]), /Caffe2 Detectron weights/],
    ['backbone', dict([['model', model('stem.conv1.weight', 'res2.0.conv1.weight')]]), /a detectron2 backbone alone/],
    [
      'c4',
      dict([
        [
          'model',
          model(
            'backbone.res2.0.conv1.weight',
            'proposal_generator.rpn_head.conv.weight',
            'roi_heads.res5.0.conv1.weight',
          ),
        ],
      ]),
      /ERR_UNSUPPORTED: .*a C4 model .*mask_rcnn_R_50_FPN_3x/,
    ],
  ];
  for (const [name, content, message] of files) {
    const file = folder.path(`${name}.pkl`);
    writeFileSync(file, pickle(content));
    for (const args of [
      ['segment', STREET, '--weights', file],
      ['convert', file, '-o', folder.path('never.safetensors')],
    ]) {
      const { code, stderr } = await instaseg(args);
      t.is(code, 3);
      t.regex(stderr, message);
    }
    t.is((await instaseg(['inspect', file])).code, 0);
  }
});
