import test from 'ava';
import { median, percentile, sample, summarize } from '../../src/bench/samples.js';

test('median and percentile of odd, even and single counts', (t) => {
  t.is(median([3, 1, 2]), 2);
  t.is(median([4, 1, 3, 2]), 2.5);
  t.is(median([5]), 5);
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  t.is(percentile(hundred, 0.95), 95);
  t.is(percentile([7], 0.95), 7);
});

test('the noise is a robust deviation over the median', (t) => {
  t.deepEqual(summarize([2, 2, 2], true), { samples: 3, min: 2, median: 2, p95: 2, noise: 0, stable: true });
  // Deviations 1, 0, 1, 0, 98: their median is 1. The outlier is in the p95 alone.
  const { noise, p95, min } = summarize([9, 10, 11, 10, 108], false);
  t.is(min, 9);
  t.is(p95, 108);
  t.true(Math.abs(noise - 1.4826 / 10) < 1e-12);
});

/** A clock that the calls move on, and the calls' times in turn; the last one is repeated. */
function script(times: readonly number[]): {
  clock: () => number;
  measure: () => Promise<number>;
  calls: () => number;
} {
  let now = 0;
  let calls = 0;
  const measure = (): Promise<number> => {
    const time = times[Math.min(calls, times.length - 1)]!;
    calls += 1;
    now += time;
    return Promise.resolve(time);
  };
  return { clock: () => now, measure, calls: () => calls };
}

test('warming up lasts until times are stable, and none of it is a sample', async (t) => {
  const { clock, measure } = script([90, 50, 30, 20, 12, 10, 10, 10, 10, 10, 10]);
  const found = await sample(measure, { samples: 4, seconds: 10 }, undefined, clock);
  t.deepEqual(found, { samples: 4, min: 10, median: 10, p95: 10, noise: 0, stable: true });
});

test('times that never settle are sampled when the time for warming up is over, and say so', async (t) => {
  let turn = 1;
  let now = 0;
  const measure = (): Promise<number> => {
    turn *= 1.5;
    now += 100;
    return Promise.resolve(turn);
  };
  const found = await sample(measure, { samples: 8, seconds: 2 }, undefined, () => now);
  t.false(found.stable);
  t.is(found.samples, 8);
});

test('time ends the samples, but a few are taken however long they last', async (t) => {
  const slow = script([4000]);
  const few = await sample(slow.measure, { samples: 100, seconds: 1 }, undefined, slow.clock);
  t.is(few.samples, 5);
  const quick = script([100]);
  const some = await sample(quick.measure, { samples: 100, seconds: 1 }, undefined, quick.clock);
  t.is(some.samples, 10);
  const one = script([4000]);
  t.is((await sample(one.measure, { samples: 1, seconds: 1 }, undefined, one.clock)).samples, 1);
});

test('an abort ends sampling with its reason', async (t) => {
  const reason = new Error('enough');
  await t.throwsAsync(
    sample(() => Promise.resolve(1), { samples: 5, seconds: 1 }, AbortSignal.abort(reason)),
    {
      is: reason,
    },
  );
});
