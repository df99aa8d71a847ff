/**
 * Results of a long run, kept image by image: JSON lines, the first one with the key of the run, the others
 * {"image_id", "results"}. A line that was cut off is as if it were not there.
 */
import { createHash } from 'node:crypto';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { InstasegError, type CocoResult } from '../index.js';

export interface PartialResults {
  /** Undefined where nothing is written. */
  readonly path: string | undefined;
  readonly done: ReadonlyMap<number, readonly CocoResult[]>;
  add(imageId: number, results: readonly CocoResult[]): Promise<void>;
  close(): Promise<void>;
  /** Deletes the file. */
  remove(): Promise<void>;
}

/** A short hash of everything that results depend on. */
export function keyOf(settings: object): string {
  return createHash('sha256').update(JSON.stringify(settings)).digest('hex').slice(0, 16);
}

/**
 * Opens `<target>.partial`; without a target results are only held in memory. Rejects with ERR_FILE when it cannot be
 * written, with ERR_ARGUMENT when it belongs to another run.
 */
export async function openPartialResults(target: string | undefined, key: string): Promise<PartialResults> {
  const done = new Map<number, readonly CocoResult[]>();
  const path = target === undefined ? undefined : `${target}.partial`;
  const file = path === undefined ? undefined : await openFile(path, key, done);
  return {
    path,
    done,
    async add(imageId, results) {
      await file?.appendFile(`${JSON.stringify({ image_id: imageId, results })}\n`);
      done.set(imageId, results);
    },
    close: async () => file?.close(),
    remove: async () => (path === undefined ? undefined : rm(path, { force: true })),
  };
}

async function openFile(path: string, key: string, done: Map<number, readonly CocoResult[]>): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, 'a+');
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
    throw new InstasegError('ERR_FILE', `${path}: cannot be written (${reason})`, { cause });
  }
  try {
    const found = await readLines(file, done);
    if (found !== undefined && found !== key) {
      throw new InstasegError(
        'ERR_ARGUMENT',
        `${path} holds results of other weights, annotations or options: delete it, or name another --save-results`,
      );
    }
    // Also ends a line that was cut off.
    await file.appendFile(found === undefined ? `\n${JSON.stringify({ key })}\n` : '\n');
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Fills `done`; returns the file's key, undefined when it has none yet. */
async function readLines(file: FileHandle, done: Map<number, readonly CocoResult[]>): Promise<string | undefined> {
  let key: string | undefined;
  for await (const line of file.readLines({ start: 0, autoClose: false })) {
    const entry = parseLine(line);
    if (entry?.key !== undefined) key ??= entry.key;
    else if (entry?.image_id !== undefined && Array.isArray(entry.results)) done.set(entry.image_id, entry.results);
  }
  return key;
}

function parseLine(line: string): { key?: string; image_id?: number; results?: CocoResult[] } | undefined {
  try {
    return JSON.parse(line) as { key?: string };
  } catch {
    return undefined;
  }
}
