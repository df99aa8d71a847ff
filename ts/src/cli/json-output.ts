/** One COCO results array, written as the images are done. */
import { randomUUID } from 'node:crypto';
import { open, realpath, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { InstasegError, type CocoResult } from '../index.js';
import type { Terminal } from './terminal.js';

export interface JsonOutput {
  add(results: readonly CocoResult[]): Promise<void>;
  /** Completes the array; a file appears under its name only now. */
  finish(): Promise<void>;
  /** Gives up: nothing of a file stays. Does nothing once it is finished. */
  discard(): Promise<void>;
}

/** Opens the output named by --json; `-` is stdout. Rejects with ERR_FILE. */
export async function openJson(target: string, terminal: Terminal): Promise<JsonOutput> {
  const sink = target === '-' ? stdoutSink(terminal) : await openFile(target);
  let started = false;
  let ended = false;
  return {
    async add(results) {
      for (const result of results) {
        await sink.write(`${started ? ',' : '['}\n${JSON.stringify(result)}`);
        started = true;
      }
    },
    async finish() {
      await sink.write(started ? '\n]\n' : '[]\n');
      await sink.finish();
      ended = true;
    },
    async discard() {
      if (!ended) await sink.discard();
      ended = true;
    },
  };
}

interface Sink {
  write(text: string): Promise<void> | void;
  finish(): Promise<void> | void;
  discard(): Promise<void> | void;
}

function stdoutSink(terminal: Terminal): Sink {
  return { write: (text) => terminal.write(text), finish: () => undefined, discard: () => undefined };
}

/** A file that is written beside its target and takes its place when it is complete. */
async function openFile(target: string): Promise<Sink> {
  const explained = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (cause) {
      const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
      throw new InstasegError('ERR_FILE', `${target}: cannot be written (${reason})`, { cause });
    }
  };
  const existing = await stat(target).catch(() => undefined);
  if (existing?.isDirectory()) throw new InstasegError('ERR_FILE', `${target}: cannot be written (it is a folder)`);
  // Only a regular file is replaced: /dev/stdout, a pipe and the like are written to. Links stay links.
  const replaced = existing && !existing.isFile() ? undefined : existing ? await realpath(target) : target;
  const path = replaced === undefined ? target : `${replaced}.${randomUUID()}.tmp`;
  const handle: FileHandle = await explained(open(path, replaced === undefined ? 'w' : 'wx'));
  return {
    write: (text) => explained(handle.appendFile(text)),
    async finish() {
      await explained(handle.close());
      if (replaced !== undefined) await explained(rename(path, replaced));
    },
    async discard() {
      await handle.close().catch(() => undefined);
      if (replaced !== undefined) await rm(path, { force: true });
    },
  };
}
