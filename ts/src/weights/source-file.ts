import { type FileHandle, open, stat } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import { InstasegError } from '../runtime/errors.js';
import { show } from '../runtime/validate.js';
import { checkpointError } from './tensor-info.js';

/** Largest chunk, in bytes, that any reader of this folder hands out. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

/** A regular file opened for positional reads; several reads may run at the same time. */
export interface SourceFile {
  readonly path: string;
  /** Size in bytes when the file was opened; a file that shrinks later gives ERR_CHECKPOINT. */
  readonly size: number;
  /** Aborts reading with its reason. */
  readonly signal: AbortSignal | undefined;
  /** The bytes [start, end) in chunks of at most CHUNK_BYTES. No chunk is ever reused. */
  read(start: number, end: number): AsyncGenerator<Uint8Array, void, undefined>;
  /** The bytes [start, end) in one buffer. */
  bytes(start: number, end: number): Promise<Buffer>;
  close(): Promise<void>;
}

/** Bytes [start, end) of a buffer as chunks of the same kind. */
export function* chunksOf(buffer: Buffer, start: number, end: number): Generator<Uint8Array, void, undefined> {
  for (let at = start; at < end; at += CHUNK_BYTES) {
    yield Uint8Array.prototype.slice.call(buffer, at, Math.min(at + CHUNK_BYTES, end));
  }
}

/** The path of a string or a file: URL; ERR_ARGUMENT for anything else. */
export function toPath(path: string | URL): string {
  if (typeof path === 'string' && path !== '' && !path.includes('\0')) return path;
  if (path instanceof URL && path.protocol === 'file:') return fileURLToPath(path);
  const received = path instanceof URL ? path.href : show(path);
  const fix =
    types.isArrayBufferView(path) || types.isAnyArrayBuffer(path) ? '; write it to a file and pass its path' : '';
  throw new InstasegError('ERR_ARGUMENT', `Expected a file path or a file: URL for path, received ${received}${fix}`);
}

/** An error of the operating system, as Node.js reports it; in Jest it is of another realm than this code. */
export const isErrno = (error: unknown): error is NodeJS.ErrnoException =>
  types.isNativeError(error) && 'code' in error && 'syscall' in error;

function fileError(path: string, error: unknown): InstasegError {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT') return new InstasegError('ERR_FILE', `${path}: no such file`, { cause: error });
  return new InstasegError('ERR_FILE', `${path}: cannot be read (${code ?? String(error)})`, { cause: error });
}

/** Opens a regular file; ERR_FILE says why where that fails. An aborted signal rejects with its reason, later reads too. */
export async function openSourceFile(path: string, signal?: AbortSignal): Promise<SourceFile> {
  signal?.throwIfAborted();
  try {
    // Before opening: opening a named pipe would wait for a writer.
    const kind = await stat(path);
    if (kind.isDirectory()) throw new InstasegError('ERR_FILE', `${path}: is a directory, expected a checkpoint file`);
    if (!kind.isFile()) throw new InstasegError('ERR_FILE', `${path}: is not a regular file`);
    const handle = await open(path, 'r');
    return wrapHandle(path, kind.size, handle, signal);
  } catch (error) {
    throw isErrno(error) ? fileError(path, error) : error;
  }
}

function wrapHandle(path: string, size: number, handle: FileHandle, signal: AbortSignal | undefined): SourceFile {
  let closed: Promise<void> | undefined;

  async function fill(buffer: Buffer, start: number): Promise<Buffer> {
    for (let done = 0; done < buffer.length;) {
      signal?.throwIfAborted();
      if (closed) throw new InstasegError('ERR_DISPOSED', `${path}: the checkpoint has been closed`);
      const { bytesRead } = await handle.read(buffer, done, buffer.length - done, start + done).catch((error) => {
        throw fileError(path, error);
      });
      if (bytesRead === 0) throw checkpointError(path, `ends at byte ${start + done}: the file is truncated`);
      done += bytesRead;
    }
    return buffer;
  }

  return {
    path,
    size,
    signal,
    async *read(start, end) {
      for (let at = start; at < end; at += CHUNK_BYTES) {
        yield await fill(Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - at)), at);
      }
    },
    bytes: (start, end) => fill(Buffer.allocUnsafeSlow(end - start), start),
    close: () => (closed ??= handle.close()),
  };
}
