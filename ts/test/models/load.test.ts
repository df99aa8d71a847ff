/** What load says, and when. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { InstasegError, load, type LoadOptions } from '../../src/index.js';

const cacheDir = mkdtempSync(join(tmpdir(), 'instaseg-load-'));
test.after.always(() => rmSync(cacheDir, { recursive: true }));

const wrong: [Record<string, unknown>, string][] = [
  [{ device: 'cuda:99' }, 'ERR_DEVICE_UNAVAILABLE'],
  [{ device: 'gpu' }, 'ERR_ARGUMENT'],
  [{ device: 'cpu', precision: 'f16' }, 'ERR_UNSUPPORTED'],
  [{ precision: 'f8' }, 'ERR_ARGUMENT'],
  [{ threads: -1 }, 'ERR_ARGUMENT'],
  [{ memoryLimit: 0 }, 'ERR_ARGUMENT'],
  [{ maxBatch: 0 }, 'ERR_ARGUMENT'],
  [{ maxQueue: -1 }, 'ERR_ARGUMENT'],
  [{ planCacheBytes: 0.5 }, 'ERR_ARGUMENT'],
  [{ sha256: 'abc' }, 'ERR_ARGUMENT'],
];

for (const [options, code] of wrong) {
  test(`${JSON.stringify(options)} is refused before the weights are looked for`, async (t) => {
    const offline = { offline: true, cacheDir, ...options } as LoadOptions;
    const error = await t.throwsAsync(load('maskrcnn_resnet50_fpn', offline), { instanceOf: InstasegError });
    t.is(`${error.code}`, code, error.message);
  });
}

test('weights that are not there are looked for when everything else is right', async (t) => {
  const options: LoadOptions = { device: 'cpu', threads: 1, offline: true, cacheDir };
  await t.throwsAsync(load('maskrcnn_resnet50_fpn', options), { instanceOf: InstasegError, code: 'ERR_DOWNLOAD' });
  await t.throwsAsync(load('./nowhere.safetensors', options), { instanceOf: InstasegError, code: 'ERR_FILE' });
  t.deepEqual(readdirSync(cacheDir), []);
});

test('weights in memory are refused in a few words', async (t) => {
  const message = /received Buffer\(268435456\); write it to a file and pass its path$/;
  await t.throwsAsync(load(Buffer.alloc(1 << 28) as unknown as string), { instanceOf: InstasegError, message });
});
