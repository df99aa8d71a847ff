// A report of a script in this folder, which says where and when it was made.
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';

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
