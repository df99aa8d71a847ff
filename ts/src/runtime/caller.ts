/**
 * Stacks that lead to the caller. What fails after it has waited, in a queue or for native code, has lost the frames of
 * whoever called: they are taken when the call comes in.
 */
import { InstasegError } from './errors.js';

/** Whoever called a public function. */
export interface Caller {
  /** The lines of a stack below its message, each begun by a line break; formatted when they are read. */
  readonly frames: string;
}

/** The caller of the public function `at`, which is running. */
export function callerOf(at: (...args: never[]) => unknown): Caller {
  const here: { stack?: string } = {};
  Error.captureStackTrace(here, at);
  return {
    get frames() {
      const { stack = '' } = here;
      const end = stack.indexOf('\n');
      return end < 0 ? '' : stack.slice(end);
    },
  };
}

/** Awaits what was begun for `caller`; the stacks of its InstasegErrors end with the caller's frames. */
export async function onBehalfOf<T>(caller: Caller, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    blame(caller, error);
    throw error;
  }
}

/** The same for what is done at once. */
export function doneFor<T>(caller: Caller, work: () => T): T {
  try {
    return work();
  } catch (error) {
    blame(caller, error);
    throw error;
  }
}

/** Adds the caller's frames to the stack of an InstasegError that lacks them; other errors stay as they are. */
export function blame(caller: Caller, error: unknown): void {
  if (!(error instanceof InstasegError) || error.stack === undefined) return;
  const [, nearest] = caller.frames.split('\n', 2);
  if (nearest !== undefined && !error.stack.includes(nearest)) error.stack += caller.frames;
}
