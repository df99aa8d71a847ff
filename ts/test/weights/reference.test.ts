import { existsSync } from 'node:fs';
import test from 'ava';
import { openCheckpoint } from '../../src/weights/checkpoint.js';
import { seededTensor } from '../../src/weights/seeded.js';
import { describeAll, type ExpectedTensor, failure, readJson, reference, referenceTest } from './support.js';

// Files that two generations of PyTorch wrote, and broken and hostile ones.

interface ExpectedFile {
  readonly ok: boolean;
  readonly format?: string;
  readonly reason?: string;
  readonly tensors?: Record<string, ExpectedTensor>;
}

const list = reference('checkpoints/expected.json');
const files = existsSync(list) ? readJson<{ files: Record<string, ExpectedFile> }>(list).files : {};

if (Object.keys(files).length === 0)
  referenceTest(test, 'reference checkpoints', (t) => {
    t.pass();
  });

for (const [name, file] of Object.entries(files)) {
  const open = (): ReturnType<typeof openCheckpoint> => openCheckpoint(reference(`checkpoints/${name}`));
  if (file.ok) {
    test(`reference ${name} is read`, async (t) => {
      const checkpoint = await open();
      t.is(checkpoint.format, file.format as typeof checkpoint.format);
      t.deepEqual(await describeAll(checkpoint), file.tensors ?? {});
      await checkpoint.close();
    });
  } else {
    test(`reference ${name} is refused (${file.reason})`, async (t) => {
      const { code, message } = await failure(async () => describeAll(await open()));
      t.is(code, file.reason === 'forbidden global' ? 'ERR_CHECKPOINT_UNSAFE' : 'ERR_CHECKPOINT');
      if (code === 'ERR_CHECKPOINT_UNSAFE')
        t.regex(message, /posix\.system|(__builtin__|builtins)\.eval|torch\.storage\._load_from_bytes/);
    });
  }
}

referenceTest(test, 'reference seeded vectors', (t) => {
  interface Vector {
    readonly name: string;
    readonly seed: number;
    readonly shape: number[];
    readonly values: number[];
  }
  for (const { name, seed, shape, values } of readJson<Vector[]>(reference('seeded_vectors.json'))) {
    t.deepEqual([...seededTensor(name, shape, seed).subarray(0, values.length)], values);
  }
});
