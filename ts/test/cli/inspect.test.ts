import { writeFileSync } from 'node:fs';
import test from 'ava';
import { writeSafetensors } from '../../src/index.js';
import { type ExpectedTensor, expectedCheckpoints, fixture } from '../weights/support.js';
import { instaseg, temporaryFolder, writeTinyModel } from './support.js';

const folder = temporaryFolder();
const MODEL = folder.path('tiny.safetensors');

test.before(() => writeTinyModel(MODEL, 91));
test.after.always(() => folder.remove());

interface Report {
  readonly format: string;
  readonly family: string | null;
  readonly config: { readonly model: string } | null;
  readonly tensors: readonly (ExpectedTensor & { readonly name: string })[];
}

for (const name of ['deflated.pth', 'legacy_nested.pth', 'arrays_protocol2.pkl', 'python2.pkl']) {
  test(`inspect --json --hash says what ${name} is`, async (t) => {
    const { code, stdout, stderr } = await instaseg(['inspect', fixture(name), '--json', '--hash']);
    t.is(code, 0, stderr);
    const { tensors, ...rest } = JSON.parse(stdout) as Report;
    const wanted = expectedCheckpoints[name];
    t.deepEqual(rest, { format: wanted?.format ?? '', family: null, config: null });
    t.deepEqual(
      Object.fromEntries(tensors.map(({ name: tensor, ...found }) => [tensor, found])),
      wanted?.tensors ?? {},
    );
  });
}

test('inspect knows models, and hashes nothing unasked', async (t) => {
  const { code, stdout } = await instaseg(['inspect', MODEL, '--json']);
  t.is(code, 0);
  const { format, family, config, tensors } = JSON.parse(stdout) as Report;
  t.deepEqual({ format, family }, { format: 'safetensors', family: 'torchvision' });
  t.is(config?.model, 'maskrcnn_resnet_fpn');
  t.true(tensors.length > 100 && tensors.every((tensor) => !('sha256' in tensor)));
});

test('without --json inspect prints a table', async (t) => {
  const model = await instaseg(['inspect', MODEL]);
  t.is(model.code, 0);
  t.regex(model.stdout, /^ {2}format +safetensors\n {2}family +torchvision\n {2}model +maskrcnn_resnet_fpn\n/);
  t.regex(model.stdout, /\n {2}tensors +\d+\n {2}size +\d+ bytes \([\d.]+ \w+\)\n\n/);
  t.regex(model.stdout, /\n {2}backbone\.body\.conv1\.weight +float32 +\[8, 3, 7, 7\]\n/);

  const other = await instaseg(['inspect', fixture('legacy_old_views.pth'), '--hash']);
  t.is(other.code, 0);
  t.regex(other.stdout, /^ {2}format +torch-legacy\n {2}family +unknown\n {2}model +unknown\n {2}tensors +1\n/);
  t.regex(
    other.stdout,
    /\n\n.*: expected torchvision Mask R-CNN weights.*\n\n {2}w {2}float32 {2}\[3\] {2}[0-9a-f]{64}\n$/,
  );
});

test('names cannot steer the terminal', async (t) => {
  const file = folder.path('steering.safetensors');
  await writeSafetensors(file, [{ name: 'a\u001b[2J\nb', dtype: 'u8', shape: [1], read: () => [Buffer.alloc(1)] }]);
  const { stdout } = await instaseg(['inspect', file]);
  t.regex(stdout, /\n {2}a\ufffd\[2J\ufffdb {2}uint8 {2}\[1\]\n$/);
});

test('what cannot be read exits with 3', async (t) => {
  const page = folder.path('page.pth');
  writeFileSync(page, '<!DOCTYPE html><html></html>');
  const cases: [file: string, message: RegExp][] = [
    [folder.path('missing.pth'), /^error ERR_FILE: .*missing\.pth: no such file/],
    [page, /^error ERR_CHECKPOINT: .*page\.pth: is an HTML or XML page/],
    [fixture('hostile.pkl'), /^error ERR_CHECKPOINT_UNSAFE: .*posix\.system/],
    [fixture('legacy_hostile.pth'), /^error ERR_CHECKPOINT_UNSAFE: .*posix\.system/],
    [fixture('big_endian.pth'), /^error ERR_CHECKPOINT: .*big-endian/],
  ];
  for (const [file, message] of cases) {
    const { code, stdout, stderr } = await instaseg(['inspect', file, '--json']);
    t.is(code, 3, file);
    t.regex(stderr, message);
    t.is(stdout, '');
  }
  t.is((await instaseg(['inspect'])).code, 2);
  t.is((await instaseg(['inspect', ''])).code, 2);
});

test('inspect and convert take the names of models, as the other commands do', async (t) => {
  const inspected = await instaseg(['inspect', 'maskrcnn_demo', '--json']);
  t.is(inspected.code, 0, inspected.stderr);
  t.is((JSON.parse(inspected.stdout) as Report).family, 'torchvision');
  const out = folder.path('demo.safetensors');
  t.is((await instaseg(['convert', 'yolactplus_demo', '-o', out])).code, 0);
  t.is((await instaseg(['inspect', out])).code, 0);

  // The cache is empty, and nothing may be fetched.
  const cache = folder.path('cache');
  for (const command of [
    ['inspect', 'maskrcnn_resnet50_fpn'],
    ['convert', 'maskrcnn_resnet50_fpn', '-o', out],
    ['segment', 'picture.png', '--weights', 'maskrcnn_resnet50_fpn'],
  ]) {
    const { code, stderr } = await instaseg([...command, '--offline', '--cache-dir', cache]);
    t.is(code, 3, stderr);
    t.true(stderr.includes(cache), stderr);
    t.regex(stderr, /maskrcnn_resnet50_fpn is not in the cache .*, and downloads are switched off/);
  }
  const unknown = await instaseg(['inspect', 'maskrcnn_demos']);
  t.is(unknown.code, 3);
  t.regex(unknown.stderr, /maskrcnn_demos: no such file, and no model has this name. There are maskrcnn_demo, yolactp/);
});

test('a precision that the device does not have is refused', async (t) => {
  const { code, stderr } = await instaseg([
    'segment',
    'x.png',
    '--weights',
    MODEL,
    '--device',
    'cpu',
    '--precision',
    'f16',
  ]);
  t.is(code, 3);
  t.regex(stderr, /precision "f16" needs a CUDA device/);
});
