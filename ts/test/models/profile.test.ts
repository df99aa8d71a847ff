/** Where the time of a call goes, as `profile` tells it. Times themselves are no matter of tests. */
import { resolve } from 'node:path';
import test from 'ava';
import { InstasegError, load } from '../../src/index.js';

const SCENE = resolve(__dirname, '../../../models/demo/scenes/scene-1.jpg');

for (const name of ['maskrcnn_demo', 'yolactplus_demo']) {
  test(`${name}: a profiled call has the same result, its stages, and says when it compiled`, async (t) => {
    const model = await load(name, { device: 'cpu', threads: 2 });
    try {
      const plain = await model.segment(SCENE);
      t.is(plain.profile, null);
      model.trim();
      const first = await model.segment(SCENE, { profile: true });
      t.is(JSON.stringify(first), JSON.stringify(plain));
      t.true(first.profile!.compiled, 'trim() dropped the plans');
      const again = await model.segment(SCENE, { profile: true });
      t.false(again.profile!.compiled);
      for (const { profile, timings } of [first, again]) {
        const { decode, plan, run, instances, total } = profile!;
        for (const time of [decode, plan, instances, run.inputs, run.queued]) t.true(time >= 0);
        t.is(decode, timings!.decode);
        t.true(decode + plan + run.total + instances <= total + 1e-6, 'the stages follow one another');
        t.is(run.steps[0]!.op, 'preprocess');
        t.true(run.steps.some(({ label }) => label?.startsWith('backbone.')));
      }
    } finally {
      await model.dispose();
    }
  });
}

test('a batch has no profile', async (t) => {
  const model = await load('maskrcnn_demo', { device: 'cpu', threads: 1 });
  const error = await t.throwsAsync(model.segment([SCENE], { profile: true } as never), { instanceOf: InstasegError });
  t.is(error.code, 'ERR_ARGUMENT');
  t.regex(error.message, /^segment\(\[\.\.\.\]\) has no option "profile"/);
  await model.dispose();
});
