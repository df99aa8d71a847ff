/** Peak memory of a network in a process that does nothing else: a benchmark's own buffers are none of it. */
import { fork } from 'node:child_process';
import { join } from 'node:path';
import type { Precision } from '../models/options.js';
import type { DeviceName } from '../runtime/device.js';
import { InstasegError } from '../runtime/errors.js';

/** What the process loads and runs. */
export interface MemoryRequest {
  readonly file: string;
  readonly options: {
    readonly device: DeviceName;
    readonly threads?: number | undefined;
    readonly isa?: 'baseline' | 'avx2' | 'avx512' | undefined;
    readonly precision: Precision;
  };
  /** The bytes of an image file. */
  readonly image: Uint8Array;
}

/** Bytes. */
export interface PeakMemory {
  /** Highest resident size of the process, Node included. */
  readonly process: number;
  /** Highest of what the device held, weights included; on the CPU it is part of the process. */
  readonly device: number;
}

/** @throws InstasegError ERR_INTERNAL where the process ends without an answer; or the signal's reason */
export async function measureMemory(request: MemoryRequest, signal?: AbortSignal): Promise<PeakMemory> {
  signal?.throwIfAborted();
  // Images travel as bytes, and options of the parent's Node (a debugger's) are not the child's.
  const child = fork(join(__dirname, 'memory-worker.js'), [], { serialization: 'advanced', execArgv: [] });
  const stop = (): void => void child.kill();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise<PeakMemory>((resolve, reject) => {
      const failed = (why: string): void => {
        reject(new InstasegError('ERR_INTERNAL', `memory was not measured: ${why}`));
      };
      child.once('message', (answer: PeakMemory | { failed: string }) => {
        if ('failed' in answer) failed(answer.failed);
        else resolve(answer);
      });
      child.once('error', (error) => failed(error.message));
      child.once('exit', (code, killedBy) => failed(`its process ended (${killedBy ?? code})`));
      child.send(request, (error) => {
        if (error) failed(error.message);
      });
    });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
