/** A file that is still being downloaded: `<file>.partial`, and beside it what it is a part of. */
import { type FileHandle, open, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { isErrno } from '../source-file.js';

/** What a partial file is a part of. */
export interface Whole {
  readonly url: string;
  /** For If-Range: a strong ETag or a date; undefined where the server gave none. */
  readonly validator: string | undefined;
  /** Size of the whole file, where the server said it. */
  readonly bytes: number | undefined;
  /** As the server stated it, if it did. */
  readonly sha256: string | undefined;
}

export class PartialFile {
  readonly path: string;
  readonly #note: string;

  constructor(target: string) {
    this.path = `${target}.partial`;
    this.#note = `${target}.partial.json`;
  }

  /** What there is to go on from: its size, and what it is a part of. Undefined where there is nothing of use. */
  async resumable(url: string): Promise<{ readonly bytes: number; readonly whole: Whole } | undefined> {
    const whole = await this.#readNote();
    const { size } = await stat(this.path).catch(() => ({ size: 0 }));
    if (whole?.url !== url || size === 0 || (whole.bytes !== undefined && size > whole.bytes)) return undefined;
    return { bytes: size, whole };
  }

  /** Begins anew. The note is written first: a partial file is never beside the note of another one. */
  async begin(whole: Whole): Promise<FileHandle> {
    await rm(this.path, { force: true });
    await writeFile(this.#note, JSON.stringify(whole));
    return open(this.path, 'w');
  }

  /** Opens it for writing at its end. */
  resume(): Promise<FileHandle> {
    return open(this.path, 'r+');
  }

  async discard(): Promise<void> {
    await rm(this.path, { force: true });
    await this.forget();
  }

  /** Removes the note alone, when the file has got its name. */
  async forget(): Promise<void> {
    await rm(this.#note, { force: true });
  }

  async #readNote(): Promise<Whole | undefined> {
    try {
      const { url, validator, bytes, sha256 } = JSON.parse(await readFile(this.#note, 'utf8')) as Partial<Whole>;
      return typeof url === 'string' ? { url, validator, bytes, sha256 } : undefined;
    } catch (error) {
      // No note, or one cut off by a crash.
      if (isErrno(error) || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }
}
