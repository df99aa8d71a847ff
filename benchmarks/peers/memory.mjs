// Peak memory of a worker, without what the comparison of results takes.
import { readFileSync, writeFileSync } from 'node:fs';

/** Highest resident size of this process in bytes, since it began or was reset (Linux; null elsewhere). */
function highest() {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    return Number(kilobytes) * 1024;
  } catch {
    return null;
  }
}

let before = 0;

/** Runs `body`, whose memory does not count. */
export async function uncounted(body) {
  before = Math.max(before, highest() ?? 0);
  const result = await body();
  globalThis.gc?.();
  try {
    writeFileSync('/proc/self/clear_refs', '5');
  } catch {
    // Then it does count.
  }
  return result;
}

/** Bytes, of loading and of all runs; null where the system does not tell. */
export function peakMemory() {
  const now = highest();
  return now === null ? null : Math.max(before, now);
}
