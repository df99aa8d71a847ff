/** How commands end. */
import { InstasegError } from '../index.js';

/** Documented in --help. */
export const EXIT = { ok: 0, failed: 1, usage: 2, model: 3 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends a command with an exit code; `cause` is what is reported. */
export class CommandFailure extends Error {
  constructor(
    readonly exitCode: ExitCode,
    override readonly cause: unknown,
  ) {
    super('the command failed');
  }
}

/** The command was called in a way that makes no sense. */
export function usageError(message: string): CommandFailure {
  return new CommandFailure(EXIT.usage, new InstasegError('ERR_ARGUMENT', message));
}

/** Waits for a step that everything depends on: a failure ends the command with `exitCode`, or as a usage error. */
export async function step<T>(exitCode: ExitCode, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const usage = error instanceof InstasegError && error.code === 'ERR_ARGUMENT';
    throw new CommandFailure(usage ? EXIT.usage : exitCode, error);
  }
}
