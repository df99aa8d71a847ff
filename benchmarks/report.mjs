// What the benchmarks share: timing, and a report that says where and when it was made.
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';

/** Minimum and median in milliseconds of `runs` calls, after warm-up calls. */
export async function time(run, { warmUp = 2, runs = 7 } = {}) {
  for (let i = 0; i < warmUp; i += 1) await run();
  const samples = [];
  for (let i = 0; i < runs; i += 1) {
    const start = performance.now();
    await run();
    samples.push(performance.now() - start);
  }
  samples.sort((a, b) => a - b);
  return { min: samples[0], median: samples[Math.floor(samples.length / 2)] };
}

function commit() {
  try {
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

/** Prints rows as a table, or everything as JSON with --json. */
export function report(title, device, rows) {
  const where = {
    title,
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    node: process.version,
    threads: device.threads,
    isa: device.isa,
  };
  if (process.argv.includes('--json')) {
    console.log(JSON.stringify({ ...where, rows }, null, 1));
    return;
  }
  console.log(Object.values(where).join(' | '));
  console.table(rows);
}
