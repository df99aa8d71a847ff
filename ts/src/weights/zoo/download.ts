/** Downloads a checkpoint, through interruptions, until the whole and right file is there. */
import { type FileHandle, rename } from 'node:fs/promises';
import { STATUS_CODES } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { InstasegError } from '../../runtime/errors.js';
import { checkpointError } from '../tensor-info.js';
import { get, type HttpAnswer, TransientError } from './http.js';
import { PartialFile, type Whole } from './partial.js';
import { type Expected, problemOfHead, verifyFile } from './verify.js';

export interface Download {
  readonly url: string;
  /** Path of the file; it appears when it is complete and checked. `<target>.partial` is beside it until then. */
  readonly target: string;
  readonly expected: Expected;
  /**
   * Milliseconds: longest wait for the connection, for the answer to begin, and for more of it. Less than a byte a
   * millisecond over that time counts as nothing.
   */
  readonly timeout: number;
  /** Attempts after the first that may fail in a row, without a megabyte of progress. */
  readonly retries: number;
  /** Milliseconds before the second attempt; doubled with each. */
  readonly retryDelay: number;
  readonly signal: AbortSignal;
  readonly onProgress: (phase: 'downloading' | 'verifying', bytesDone: number, bytesTotal: number | undefined) => void;
}

/** For files of unknown size: an answer without end is ended here. */
const MAX_BYTES = 4e9;
const PROGRESS_BYTES = 1e6;
const MAX_DELAY_MS = 60_000;
const HEAD_BYTES = 512;

/**
 * Downloads `url` into `target`. What an interrupted download left is gone on from, where the server can do that and the
 * file there is still the same. Rejects with ERR_DOWNLOAD (network, server), ERR_CHECKPOINT (what came is not the file,
 * and is removed), the errors of the file system, or the signal's reason.
 */
export async function download(task: Download): Promise<void> {
  const partial = new PartialFile(task.target);
  for (let again = false; ; again = true) {
    const { whole, resumed } = await fetchAll(task, partial);
    const bytes = task.expected.bytes ?? whole.bytes;
    task.onProgress('verifying', bytes ?? 0, bytes);
    const expected = { bytes, checksum: task.expected.checksum ?? statedChecksum(whole) };
    try {
      await verifyFile(partial.path, expected, { name: task.url, signal: task.signal });
      break;
    } catch (error) {
      if (task.signal.aborted) throw error;
      await partial.discard();
      // The older part may be to blame: once more from the start.
      if (!resumed || again) throw error;
    }
  }
  await rename(partial.path, task.target);
  await partial.forget();
}

const statedChecksum = ({ sha256 }: Whole): Expected['checksum'] =>
  sha256 === undefined ? undefined : { algorithm: 'sha256', digits: sha256 };

/** What has come, and whether it came in one piece. */
interface Fetched {
  readonly whole: Whole;
  readonly resumed: boolean;
}

async function fetchAll(task: Download, partial: PartialFile): Promise<Fetched> {
  for (let failures = 0, attempt = 1; ; attempt++) {
    const progress = { bytes: 0 };
    try {
      return await fetchOnce(task, partial, progress);
    } catch (error) {
      task.signal.throwIfAborted();
      if (!(error instanceof TransientError)) throw error;
      failures = progress.bytes >= PROGRESS_BYTES ? 1 : failures + 1;
      if (failures > task.retries) throw givenUp(task, error, attempt);
      const delay = Math.min(error.retryAfterMs ?? task.retryDelay * 2 ** (failures - 1), MAX_DELAY_MS);
      await sleep(delay, undefined, { signal: task.signal }).catch(() => task.signal.throwIfAborted());
    }
  }
}

function givenUp({ url }: Download, error: TransientError, attempts: number): InstasegError {
  const often = attempts === 1 ? '' : ` (${attempts} attempts)`;
  return new InstasegError(
    'ERR_DOWNLOAD',
    `${url}: ${error.message}${often}. What has come is kept: another try goes on from there`,
    { cause: error },
  );
}

/** One request. `progress` counts what it brings, also where it fails. */
async function fetchOnce(task: Download, partial: PartialFile, progress: { bytes: number }): Promise<Fetched> {
  const { url, timeout, signal } = task;
  const left = await partial.resumable(url);
  // Without a validator parts of two files could be joined, unless the checksum says so in the end.
  const resumable = left && (left.whole.validator !== undefined || task.expected.checksum) ? left : undefined;
  if (resumable && resumable.bytes === resumable.whole.bytes) return { whole: resumable.whole, resumed: true };
  const headers = {
    accept: '*/*',
    'accept-encoding': 'identity',
    'user-agent': 'instaseg',
    ...(resumable && { range: `bytes=${resumable.bytes}-` }),
    ...(resumable?.whole.validator !== undefined && { 'if-range': resumable.whole.validator }),
  };
  const answer = await get({ url, headers, timeout, signal });
  try {
    const start = await startOf(answer, resumable?.bytes ?? 0, task, partial);
    const whole =
      start > 0 && resumable
        ? resumable.whole
        : { url, validator: validatorOf(answer), bytes: totalOf(answer, start), sha256: answer.linked.sha256 };
    const out = start > 0 ? await partial.resume() : await partial.begin(whole);
    try {
      await receive(answer, out, { start, bytes: totalOf(answer, start) }, task, progress);
      await out.sync();
    } finally {
      await out.close();
    }
    return { whole, resumed: start > 0 };
  } catch (error) {
    // What has come is of no use: not the file, or no room for it.
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof InstasegError || code === 'ENOSPC' || code === 'EDQUOT') await partial.discard();
    throw error;
  } finally {
    await answer.close();
  }
}

/** The byte of the file that the answer begins with; rejects where it is no part of the file. */
async function startOf(
  { status, headers }: HttpAnswer,
  asked: number,
  { url }: Download,
  partial: PartialFile,
): Promise<number> {
  const { 'content-encoding': encoding = 'identity' } = headers;
  if ((status === 200 || status === 206) && encoding !== 'identity') {
    throw new InstasegError('ERR_DOWNLOAD', `${url}: the server packed the file with ${encoding}`);
  }
  if (status === 200) return 0;
  if (status === 206) {
    const from = /^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1];
    if (asked > 0 && Number(from) === asked) return asked;
  }
  if (status === 206 || status === 416) {
    await partial.discard();
    throw new TransientError('The server did not give the rest of the file');
  }
  const said = `The server answered ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd();
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const seconds = Number(headers['retry-after']);
    throw new TransientError(said, seconds >= 0 ? seconds * 1000 : undefined);
  }
  throw new InstasegError('ERR_DOWNLOAD', `${url}: ${said}`);
}

/** Size of the whole file. */
function totalOf({ headers, linked }: HttpAnswer, start: number): number | undefined {
  const length = headers['content-length'];
  return length !== undefined && /^\d+$/.test(length) ? start + Number(length) : linked.bytes;
}

/** A weak ETag is of no use for parts. */
function validatorOf({ headers }: HttpAnswer): string | undefined {
  const { etag, 'last-modified': date } = headers;
  return etag?.startsWith('"') ? etag : date;
}

/** Writes the body behind what is there. Throws where it is not the file, too slow, or ends early. */
async function receive(
  answer: HttpAnswer,
  out: FileHandle,
  { start, bytes }: { readonly start: number; readonly bytes: number | undefined },
  { url, expected, timeout, onProgress }: Download,
  progress: { bytes: number },
): Promise<void> {
  const limit = expected.bytes ?? MAX_BYTES;
  const total = bytes ?? expected.bytes;
  let head = Buffer.alloc(0);
  const pace = new Pace(timeout);
  onProgress('downloading', start, total);
  for await (const chunk of answer.body) {
    if (start === 0 && head.length < HEAD_BYTES) {
      head = Buffer.concat([head, chunk.subarray(0, HEAD_BYTES)]);
      const problem = head.length >= HEAD_BYTES ? problemOfHead(head) : undefined;
      if (problem !== undefined) throw checkpointError(url, problem);
    }
    // After a look at the first bytes, which say more.
    const size = Math.max(bytes ?? 0, start + progress.bytes + chunk.length);
    if (size > limit && (start > 0 || head.length >= HEAD_BYTES)) {
      const has = bytes === undefined ? `over ${limit}` : bytes;
      throw checkpointError(url, `has ${has} bytes, expected ${expected.bytes === undefined ? 'less' : limit}`);
    }
    await writeAll(out, chunk, start + progress.bytes);
    progress.bytes += chunk.length;
    onProgress('downloading', start + progress.bytes, total);
    pace.add(chunk.length);
  }
  const end = start + progress.bytes;
  if (bytes !== undefined && end < bytes) {
    throw new TransientError(`The connection ended at byte ${end} of ${bytes}`);
  }
}

async function writeAll(out: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += (await out.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
  }
}

/** Notices an answer that drips: silence is noticed by the connection itself. */
class Pace {
  #since = performance.now();
  #bytes = 0;

  constructor(readonly window: number) {}

  /** Throws when less than a byte a millisecond came in the last window of time. */
  add(bytes: number): void {
    this.#bytes += bytes;
    const spent = performance.now() - this.#since;
    if (spent < this.window) return;
    if (this.#bytes < spent)
      throw new TransientError(`Only ${this.#bytes} bytes came in ${(spent / 1000).toFixed(1)} s`);
    this.#since = performance.now();
    this.#bytes = 0;
  }
}
