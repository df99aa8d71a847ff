/** Timing: how long to warm up, how many samples, and what they say. */

/** What a series of measured times says; milliseconds. */
export interface Statistics {
  readonly samples: number;
  readonly min: number;
  readonly median: number;
  /** Null below 20 samples, where it would be the slowest one by another name. */
  readonly p95: number | null;
  /** Median absolute deviation over the median, scaled to a standard deviation for normal errors (1.4826). */
  readonly noise: number;
  /** Whether warming up ended because times were stable, rather than because it took too long. */
  readonly stable: boolean;
}

export interface SamplingOptions {
  /** Samples to take, unless the time is up first. */
  readonly samples: number;
  /**
   * The most seconds for the samples, and a fifth of it for warming up; five samples are taken however long they last,
   * after six calls that say whether times are stable.
   */
  readonly seconds: number;
}

const LEAST_SAMPLES = 5;
const LEAST_FOR_P95 = 20;
const WARM_UP_SHARE = 0.2;
const WARM_UP_WINDOW = 3;
// Times are stable when the medians of two windows in a row differ by no more.
const STABLE = 0.02;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** The value that `fraction` of the values do not exceed. */
export function percentile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(fraction * sorted.length) - 1))]!;
}

export function summarize(times: readonly number[], stable: boolean): Statistics {
  const middle = median(times);
  const deviation = median(times.map((time) => Math.abs(time - middle)));
  return {
    samples: times.length,
    min: Math.min(...times),
    median: middle,
    p95: times.length < LEAST_FOR_P95 ? null : percentile(times, 0.95),
    noise: middle > 0 ? (1.4826 * deviation) / middle : 0,
    stable,
  };
}

/**
 * Calls `measure`, which gives the milliseconds of one call, until its times are stable; then for the samples, which are
 * the last calls.
 * @param clock milliseconds, for tests
 */
export async function sample(
  measure: () => Promise<number>,
  { samples, seconds }: SamplingOptions,
  signal?: AbortSignal,
  clock: () => number = () => performance.now(),
): Promise<Statistics> {
  const limit = seconds * 1000;
  let started = clock();
  const warm: number[] = [];
  let stable = false;
  while (!stable && (warm.length < 2 * WARM_UP_WINDOW || clock() - started < WARM_UP_SHARE * limit)) {
    signal?.throwIfAborted();
    warm.push(await measure());
    if (warm.length < 2 * WARM_UP_WINDOW) continue;
    const before = median(warm.slice(-2 * WARM_UP_WINDOW, -WARM_UP_WINDOW));
    const now = median(warm.slice(-WARM_UP_WINDOW));
    stable = Math.abs(now - before) <= STABLE * before;
  }
  started = clock();
  const times: number[] = [];
  while (times.length < Math.min(LEAST_SAMPLES, samples) || (times.length < samples && clock() - started < limit)) {
    signal?.throwIfAborted();
    times.push(await measure());
  }
  return summarize(times, stable);
}

/** Positions of the values from the first quartile to the third: half of them, without outliers on either side. */
export function middleHalf(values: readonly number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const cut = Math.floor(values.length / 4);
  return order.slice(cut, values.length - cut);
}
