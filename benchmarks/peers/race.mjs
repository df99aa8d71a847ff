// Timing the same work on several workers, and the summary of a side's calls.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { median } = require('../../dist/src/bench/samples.js');

/**
 * Milliseconds of every worker, the sides taking turns: at least `least` rounds, more where they are short. A turn is
 * `warmups` calls and `calls` timed ones, and begins when all other sides are at rest: threads of onnxruntime spin for
 * up to 100 ms after a call, on the cores that the next side needs.
 */
export async function race(workers, { least, most, seconds, warmups, calls }) {
  const samples = workers.map(() => []);
  const started = performance.now();
  for (let round = 0; round < most; round += 1) {
    if (round >= least && performance.now() - started > seconds * 1000) break;
    for (const [i, worker] of workers.entries()) {
      await Promise.all(workers.filter((other) => other !== worker).map((other) => other.atRest()));
      for (let call = -warmups; call < calls; call += 1) {
        const { ms } = await worker.ask({ do: 'run' });
        if (call >= 0) samples[i].push(ms);
      }
    }
  }
  return samples.map((times) => ({ min: Math.min(...times), median: median(times), runs: times.length }));
}

export const round = (value, digits = 2) => Number(value.toFixed(digits));

/** What a report says of our times and a peer's. */
export const comparison = (mine, theirs) => ({
  ours: round(mine.min),
  peer: round(theirs.min),
  ratio: round(theirs.min / mine.min),
  ratioOfMedians: round(theirs.median / mine.median),
  runs: mine.runs,
});
