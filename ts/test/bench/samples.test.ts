import test from 'ava';
import { median, middleHalf, percentile, sample, summarize } from '../../src/bench/samples.js';

test('median and percentile of odd, even and single counts', (t) => {
  t.is(median([3, 1, 2]), 2);
  t.is(median([4, 1, 3, 2]), 2.5);
  t.is(median([5]), 5);
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  t.is(percentile(hundred, 0.95), 95);
  t.is(percentile([7], 0.95), 7);
});

test('the noise is a robust deviation over the median', (t) => {
  t.deepEqual(summarize([2, 2, 2], true), { samples: 3, min: 2, median: 2, p95: null, noise: 0, stable: true });
  // Deviations 1, 0, 1, 0, 98: their median is 1.
  const { noise, min } = summarize([9, 10, 11, 10, 108], false);
  t.is(min, 9);
  t.true(Math.abs(noise - 1.4826 / 10) < 1e-12);
});

test('a 95th percentile takes twenty samples', (t) => {
  const times = Array.from({ length: 20 }, (_, i) => i + 1);
  t.is(summarize(times.slice(0, 19), true).p95, null);
  t.is(summarize(times, true).p95, 19);
});

test('the middle half has neither end', (t) => {
  t.deepEqual(middleHalf([80, 10, 20, 70, 30, 60, 40, 50]).sort(), [4, 5, 6, 7]);
  t.deepEqual(middleHalf([3, 1, 2]).sort(), [0, 1, 2], 'of three there is no quarter');
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
  t.deepEqual(found, { samples: 4, min: 10, median: 10, p95: null, noise: 0, stable: true });
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
