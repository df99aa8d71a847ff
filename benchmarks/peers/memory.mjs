import { readFileSync } from 'node:fs';

/** Highest resident size of this process in bytes (Linux; null elsewhere). */
export function peakMemory() {
  try {
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    return Number(kilobytes) * 1024;
  } catch {
    return null;
  }
}
