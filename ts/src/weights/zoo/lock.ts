/** A lock between processes, also on several machines that share a folder. */
import { randomUUID } from 'node:crypto';
import { readFile, stat, unlink, utimes, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isErrno } from '../source-file.js';

export interface LockOptions {
  /** A lock that has shown no sign of life for so many milliseconds is taken over; by default 20 seconds. */
  readonly stale?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called once if another process holds the lock. */
  readonly onWait?: (() => void) | undefined;
}

export interface Lock {
  /** Aborted when the lock has been taken over: after a long stop of this process, say. */
  readonly lost: AbortSignal;
  release(): Promise<void>;
}

const POLL_MS = 200;

/**
 * Takes the lock `path`, a file that only one process can make and whose time of change it renews. No handlers of exit
 * or signals are installed, as these belong to the program: a process that dies leaves the file, and others wait until
 * it is stale. Two that find the same stale lock may both take it; the loser learns of it through `lost`. Rejects with
 * the errors of creating a file other than that it exists.
 */
export async function lock(path: string, { stale = 20_000, signal, onWait }: LockOptions = {}): Promise<Lock> {
  const token = randomUUID();
  for (let waited = false; ; waited = true) {
    signal?.throwIfAborted();
    try {
      await writeFile(path, token, { flag: 'wx' });
      return hold(path, token, stale);
    } catch (error) {
      if (!isErrno(error) || error.code !== 'EEXIST') throw error;
    }
    if (!waited) onWait?.();
    const changed = await timeOfChange(path);
    if (changed !== undefined && Date.now() - changed > stale) await unlink(path).catch(() => undefined);
    else await sleep(Math.min(POLL_MS, stale), undefined, { signal }).catch(() => undefined);
  }
}

function hold(path: string, token: string, stale: number): Lock {
  const lost = new AbortController();
  const isOurs = async (): Promise<boolean> => (await readFile(path, 'utf8').catch(() => '')) === token;
  const renew = async (): Promise<void> => {
    const now = new Date();
    if (await isOurs()) await utimes(path, now, now).catch(() => undefined);
    else lost.abort();
  };
  const timer = setInterval(() => void renew(), stale / 4).unref();
  return {
    lost: lost.signal,
    release: async () => {
      clearInterval(timer);
      if (await isOurs()) await unlink(path).catch(() => undefined);
    },
  };
}

/** In milliseconds; undefined where the file is gone. */
async function timeOfChange(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch {
    return undefined;
  }
}
