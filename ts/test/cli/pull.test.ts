import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { InstasegError, listZoo, load, pullWeights, type PullProgress, type ZooModel } from '../../src/index.js';
import { writeTinyYolact } from '../golden/tiny-yolact.js';
import { serve } from '../weights/zoo/server.js';
import { Cache } from '../weights/zoo/support.js';
import { type Finished, finished, instaseg, temporaryFolder, writeImage } from './support.js';

const MAIN = join(__dirname, '../../src/cli/main.js');
const NAME = 'yolact_resnet50';
const folder = temporaryFolder();
const WEIGHTS = folder.path('tiny.safetensors');
const IMAGE = folder.path('image.png');

test.before(async () => {
  await writeTinyYolact(WEIGHTS, NAME);
  await writeImage(IMAGE, 64, 48);
});
test.after.always(() => folder.remove());

/** Published files of YOLACT have no checksum, so that small ones can stand for them. */
function withZoo(args: readonly string[], env: NodeJS.ProcessEnv): Promise<Finished> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  return finished(child);
}

test('pull prints the path of the file, and the other commands find it by name', async (t) => {
  await using server = await serve(readFileSync(WEIGHTS));
  using cache = new Cache();
  const env = { INSTASEG_CACHE: cache.folder, INSTASEG_MIRROR: server.url };
  const path = join(cache.folder, NAME, `${NAME}_54_800000.pth`);
  const pulled = await withZoo(['pull', 'YOLACT-ResNet50'], env);
  t.deepEqual(pulled, { code: 0, stdout: `${path}\n`, stderr: `${NAME}: downloading ${size(WEIGHTS)}\n` });
  t.is(server.asked[0]?.path, `/${NAME}/${NAME}_54_800000.pth`);
  t.deepEqual(await withZoo(['pull', NAME, '--offline'], env), { code: 0, stdout: `${path}\n`, stderr: '' });

  const args = ['segment', IMAGE, '--json', '-', '--score-threshold', '0.05', '--weights'];
  const named = await withZoo([...args, NAME], { ...env, INSTASEG_OFFLINE: '1' });
  t.is(named.code, 0, named.stderr);
  t.is(named.stdout, (await instaseg([...args, WEIGHTS])).stdout);
  t.is(server.asked.length, 1);

  await using model = await load(NAME, { cacheDir: cache.folder, offline: true });
  t.is(model.config.family, 'yolact');
});

test('load downloads by name, with progress', async (t) => {
  await using server = await serve(readFileSync(WEIGHTS));
  using cache = new Cache();
  const steps: PullProgress[] = [];
  const options = { cacheDir: cache.folder, mirror: server.url, onDownload: (step: PullProgress) => steps.push(step) };
  await using model = await load(NAME, options);
  t.is(model.config.family, 'yolact');
  t.true(steps.length > 1 && steps.every((step) => step.model === NAME));
  const count = steps.length;
  await using _again = await load(NAME, { ...options, offline: true });
  t.is(steps.length, count);
});

test('load says what a word is not', async (t) => {
  const unknown = await t.throwsAsync(load('yolact_resnet5000'), { instanceOf: InstasegError });
  t.is(unknown?.code, 'ERR_FILE');
  t.regex(unknown?.message ?? '', /^yolact_resnet5000: no such file, and no model .*There are maskrcnn_/);
  const absent = await t.throwsAsync(load(NAME, { offline: true, cacheDir: folder.path('none') }));
  t.is((absent as InstasegError).code, 'ERR_DOWNLOAD');
});

test('wrong bytes end pull with 3', async (t) => {
  await using server = await serve(readFileSync(WEIGHTS));
  using cache = new Cache();
  const { code, stdout, stderr } = await instaseg([
    'pull',
    'maskrcnn_resnet50_fpn',
    '--mirror',
    server.url,
    '--cache-dir',
    cache.folder,
    '--retries',
    '0',
  ]);
  t.deepEqual([code, stdout], [3, '']);
  t.regex(stderr, /\nerror ERR_CHECKPOINT: .*bf2d0c1e\.pth: has \d+ bytes, expected 178090079: the file is/);
});

test('pull --list shows the models, also as JSON', async (t) => {
  const table = await instaseg(['pull', '--list']);
  t.is(table.code, 0);
  for (const { name, licence } of listZoo()) {
    t.true(
      table.stdout.split('\n').some((line) => line.includes(`  ${name} `) && line.endsWith(licence)),
      name,
    );
  }
  const json = await instaseg(['pull', '--list', '--json']);
  t.deepEqual(JSON.parse(json.stdout) as ZooModel[], JSON.parse(JSON.stringify(listZoo())) as ZooModel[]);
});

test('wrong usage of pull', async (t) => {
  for (const [args, message] of [
    [['pull'], /name of a model is missing; there are\n.*\n {2}maskrcnn_resnet50_fpn /],
    [['pull', 'resnet'], /Expected the name of a published model, received "resnet"/],
    [['pull', NAME, '--timeout', '0'], /Expected an integer from 1/],
    [['pull', NAME, '--mirror', 'ftp://x'], /mirror must be an http\(s\) address/],
  ] as const) {
    const { code, stderr } = await instaseg(args);
    t.is(code, 2, stderr);
    t.regex(stderr, message);
  }
});

test('an interrupted pull ends as interrupted, and the next goes on', async (t) => {
  const file = Buffer.concat([readFileSync(WEIGHTS)]);
  await using server = await serve(file, [{ pieceBytes: 20_000, pieceDelay: 50 }, {}]);
  using cache = new Cache();
  const child = spawn(process.execPath, [MAIN, 'pull', NAME, '--mirror', server.url, '--cache-dir', cache.folder], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = finished(child);
  const partial = join(cache.folder, NAME, `${NAME}_54_800000.pth.partial`);
  while ((statSync(partial, { throwIfNoEntry: false })?.size ?? 0) < 60_000) await sleep(10);
  child.kill('SIGINT');
  const { code, stderr } = await ended;
  t.is(code, 130);
  t.regex(stderr, /interrupted\n$/);
  const { path } = await pullWeights(NAME, { mirror: server.url, cacheDir: cache.folder });
  t.true(readFileSync(path).equals(file));
  t.regex(server.asked[1]?.range ?? '', /^bytes=\d{5,}-$/);
});

/** As the terminal prints it. */
function size(path: string): string {
  const bytes = readFileSync(path).length;
  return bytes < 1e6 ? `${(bytes / 1e3).toFixed(bytes < 1e5 ? 1 : 0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}
