/** A process of its own that does what an application does, and says how much memory that took: see memory.ts. */
import { readFileSync } from 'node:fs';
import { load } from '../models/load.js';
import type { MemoryRequest, PeakMemory } from './memory.js';

/** Images after which memory no longer grows. */
const IMAGES = 3;

/** Highest resident size in bytes. */
function peakRss(): number {
  try {
    // Unlike what getrusage says, this does not begin with the size of the process that started this one.
    const [, kilobytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
    if (kilobytes !== undefined) return Number(kilobytes) * 1024;
  } catch {
    // Another system than Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}

async function measure({ file, options, image }: MemoryRequest): Promise<PeakMemory> {
  const model = await load(file, options);
  try {
    for (let i = 0; i < IMAGES; i += 1) JSON.stringify(await model.segment(image));
    return { process: peakRss(), device: model.memoryStats().peak };
  } finally {
    await model.dispose();
  }
}

process.once('message', (request: MemoryRequest) => {
  measure(request).then(
    (peak) => process.send!(peak, () => process.disconnect()),
    (error: unknown) => {
      process.send!({ failed: error instanceof Error ? error.message : String(error) }, () => process.disconnect());
    },
  );
});
