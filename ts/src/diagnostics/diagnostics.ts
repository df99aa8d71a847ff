/** What an issue report needs: versions, which addon was loaded and why, processor, devices, caches. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { loadSharp } from '../image/sharp.js';
import { addonFile } from '../runtime/addon.js';
import type { AddonOrigin } from '../runtime/addon-file.js';
import { listDevices, type DeviceInfo } from '../runtime/device.js';
import { version } from '../runtime/version.js';
import { cacheDirectory } from '../weights/zoo/cache.js';
import { relevantEnvironment } from './environment.js';
import {
  describeMemory,
  describeProcessor,
  describeSystem,
  nvidiaDriver,
  type MemoryReport,
  type ProcessorReport,
  type SystemReport,
} from './system.js';

/** The native addon that was loaded. */
export interface AddonReport {
  readonly path: string;
  /** Why this file. */
  readonly origin: AddonOrigin;
  /** Of the package that it was compiled from. */
  readonly version: string;
  /** Its size; undefined where it is not a file of its own, in a bundle. */
  readonly bytes?: number | undefined;
}

/** A folder of files that can be made again. */
export interface CacheReport {
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
}

/** What `diagnostics()` collects, and `instaseg doctor` prints. */
export interface Diagnostics {
  readonly version: string;
  readonly node: { readonly version: string; readonly path: string; readonly runtime: string };
  readonly system: SystemReport;
  readonly processor: ProcessorReport;
  readonly memory: MemoryReport;
  /** The native addon, or why it could not be loaded. */
  readonly addon: AddonReport | { readonly error: string };
  /** As `listDevices()` has them; empty where the addon could not be loaded. */
  readonly devices: readonly DeviceInfo[];
  /** NVIDIA's kernel driver, as it names itself. */
  readonly nvidiaDriver?: string | undefined;
  /** sharp, which reads and writes pictures, and the libraries in it, or why it could not be loaded. */
  readonly sharp: Readonly<Record<string, string>>;
  /** Downloaded checkpoints. */
  readonly weightsCache: CacheReport;
  /** Environment variables that change what the package does, without credentials. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Collects facts about this installation and this machine. Does not throw: what cannot be loaded says why. */
export async function diagnostics(): Promise<Diagnostics> {
  const addon = await describeAddon();
  return {
    version,
    node: { version: process.versions.node, path: process.execPath, runtime: runtime() },
    system: describeSystem(),
    processor: describeProcessor(),
    memory: describeMemory(),
    addon,
    devices: 'error' in addon ? [] : listDevices(),
    nvidiaDriver: nvidiaDriver(),
    sharp: await describeSharp(),
    weightsCache: await describeCache(cacheDirectory()),
    environment: relevantEnvironment(),
  };
}

/** What runs the program: others than Node have `process` too. */
function runtime(): string {
  const { bun, deno, electron } = process.versions as Record<string, string | undefined>;
  if (electron !== undefined) return `Electron ${electron}`;
  if (bun !== undefined) return `Bun ${bun}`;
  return deno === undefined ? 'Node' : `Deno ${deno}`;
}

async function describeAddon(): Promise<Diagnostics['addon']> {
  try {
    const { exports, origin, path } = addonFile();
    const bytes = await stat(path).then(
      ({ size }) => size,
      () => undefined,
    );
    return { path, origin, version: exports.version, bytes };
  } catch (error) {
    return { error: (error as Error).message };
  }
}

async function describeSharp(): Promise<Record<string, string>> {
  try {
    const { versions } = await loadSharp();
    return { ...versions } as Record<string, string>;
  } catch (error) {
    return { error: (error as Error).message };
  }
}

async function describeCache(path: string): Promise<CacheReport> {
  let files = 0;
  let bytes = 0;
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true }).catch(() => [])) {
    if (!entry.isFile()) continue;
    const status = await stat(join(entry.parentPath, entry.name)).catch(() => undefined);
    if (!status) continue;
    files += 1;
    bytes += status.size;
  }
  return { path, files, bytes };
}
