import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ZooModel } from '../../../src/index.js';
import { pullModel, type PulledWeights, type PullOptions, type PullTimes } from '../../../src/weights/zoo/pull.js';

/** Bytes that begin as a safetensors file does, which is all that a download looks at. */
export function checkpointBytes(length: number, seed = 1): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (Math.imul(i + seed, 0x9e3779b1) >>> 13) & 255;
  bytes.writeBigUInt64LE(1000n);
  bytes.write('{', 8);
  return bytes;
}

export const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A model that is published at an address. */
export function modelAt(url: string, facts: Partial<ZooModel> = {}): ZooModel {
  return {
    name: 'test_model',
    aliases: [],
    family: 'torchvision',
    url: `${url}/files/test-0123.pth`,
    bytes: undefined,
    megabytes: 1,
    checksum: undefined,
    licence: 'none',
    source: url,
    maskAp: 1,
    boxAp: 1,
    split: 'val2017',
    ...facts,
  };
}

export class Cache {
  readonly folder = mkdtempSync(join(tmpdir(), 'instaseg-zoo-'));
  readonly file = join(this.folder, 'test_model', 'test-0123.pth');

  pull(
    model: ZooModel,
    options: PullOptions = {},
    times: PullTimes & { check?: boolean } = {},
  ): Promise<PulledWeights> {
    return pullModel(model, { cacheDir: this.folder, ...options }, { check: true, retryDelay: 5, ...times });
  }

  /** Everything in the model's folder. */
  files(): string[] {
    const folder = join(this.folder, 'test_model');
    return existsSync(folder) ? readdirSync(folder).sort() : [];
  }

  content(): Buffer {
    return readFileSync(this.file);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
