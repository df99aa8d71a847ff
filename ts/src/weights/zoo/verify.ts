/** Whether a file is the published one. */
import { createHash } from 'node:crypto';
import { describeFirstBytes } from '../sniff.js';
import { openSourceFile } from '../source-file.js';
import { checkpointError } from '../tensor-info.js';

export interface Checksum {
  readonly algorithm: 'sha256' | 'md5';
  /** All hexadecimal digits, or the first ones, in lower case. */
  readonly digits: string;
}

export interface Expected {
  readonly bytes?: number | undefined;
  readonly checksum?: Checksum | undefined;
}

const HEAD_BYTES = 512;

/** Says what is wrong with a file that starts so; undefined for one that may be a checkpoint. */
export function problemOfHead(head: Uint8Array): string | undefined {
  const first = describeFirstBytes(Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, HEAD_BYTES)));
  return first.format === undefined ? first.problem : undefined;
}

/**
 * Checks that a file looks like a checkpoint and has the expected size and checksum. Rejects with ERR_CHECKPOINT, saying
 * what it is instead, ERR_FILE, or the signal's reason. `name` is what the messages call it.
 */
export async function verifyFile(
  path: string,
  { bytes, checksum }: Expected,
  { name = path, signal }: { readonly name?: string; readonly signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const file = await openSourceFile(path, signal);
  try {
    const problem = problemOfHead(await file.bytes(0, Math.min(HEAD_BYTES, file.size)));
    if (problem !== undefined) throw checkpointError(name, problem);
    if (bytes !== undefined && file.size !== bytes) {
      throw checkpointError(name, `has ${file.size} bytes, expected ${bytes}: the file is damaged, or another one`);
    }
    if (checksum === undefined) return;
    const hash = createHash(checksum.algorithm);
    for await (const chunk of file.read(0, file.size)) hash.update(chunk);
    const actual = hash.digest('hex');
    if (actual.startsWith(checksum.digits)) return;
    const label = { sha256: 'SHA-256', md5: 'MD5' }[checksum.algorithm];
    throw checkpointError(
      name,
      `has the ${label} ${actual}, expected ${checksum.digits}: the file is damaged, or another one`,
    );
  } finally {
    await file.close();
  }
}
