/** Where and when a report was made. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { addonFile } from '../runtime/addon.js';
import { listDevices, type Device } from '../runtime/device.js';
import { PACKAGE_ROOT } from './package-root.js';

/** The computer and the software of a report. */
export interface MachineInfo {
  readonly cpu: string;
  /** Threads that the system sees. */
  readonly logicalCores: number;
  /** Highest instruction set that the processor has, of those that kernels are written for. */
  readonly isa: string;
  /** Bytes of the last-level cache, where the system tells. */
  readonly lastLevelCache: number | null;
  /** Bytes. */
  readonly memory: number;
  readonly platform: string;
  readonly node: string;
  /** What else ran in the minute before: figures of a busy machine are worth little. */
  readonly loadAverage: number;
}

export interface GpuState {
  readonly name: string;
  readonly uuid: string;
  readonly driver: string;
  /** MHz. */
  readonly smClock: number;
  readonly memoryClock: number;
  readonly temperature: number;
  /** What held clocks back, as nvidia-smi says it; empty where nothing did. */
  readonly throttled: string;
}

export interface Provenance {
  readonly date: string;
  readonly version: string;
  /** What was built, in a clone; null in an installed package, and where nobody knows or parts are of different ones. */
  readonly commit: string | null;
  /** The same for the addon and for the TypeScript; null in an installed package. */
  readonly built: { readonly native: string | null; readonly typescript: string | null } | null;
  /** Why figures should not be published under this commit: builds that are older than the sources, or unknown ones. */
  readonly warnings: readonly string[];
}

/** The device that was measured. */
export interface DeviceState {
  readonly name: string;
  readonly description: string;
  readonly threads: number | null;
  readonly isa: string | null;
}

export function machineInfo(): MachineInfo {
  const processor = cpus();
  return {
    cpu: processor[0]?.model.trim() ?? 'unknown',
    logicalCores: processor.length,
    isa: listDevices()[0]?.isa ?? 'baseline',
    lastLevelCache: lastLevelCache(),
    memory: totalmem(),
    platform: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    loadAverage: loadavg()[0]!,
  };
}

/** From Linux's description of the first core's caches. */
function lastLevelCache(): number | null {
  const folder = '/sys/devices/system/cpu/cpu0/cache';
  try {
    const read = (index: string, file: string): string => readFileSync(join(folder, index, file), 'utf8').trim();
    const sizes = readdirSync(folder)
      .filter((name) => name.startsWith('index') && read(name, 'type') !== 'Instruction')
      .map((name) => {
        const [, value, unit] = /^(\d+)([KMG]?)$/.exec(read(name, 'size')) ?? [];
        return Number(value ?? 0) * 1024 ** ' KMG'.indexOf(unit || ' ');
      });
    return Math.max(...sizes) || null;
  } catch {
    return null;
  }
}

const run = promisify(execFile);

/** Of what runs here, not of what is checked out: scripts/build-record.mjs, which clones have, knows what was built. */
export async function provenance(): Promise<Provenance> {
  const manifest = JSON.parse(readFileSync(join(PACKAGE_ROOT, 'package.json'), 'utf8')) as { version: string };
  const head = { date: new Date().toISOString(), version: manifest.version };
  const script = join(PACKAGE_ROOT, 'scripts', 'build-record.mjs');
  if (!existsSync(script)) return { ...head, commit: null, built: null, warnings: [] };
  const { stdout } = await run(process.execPath, [script, 'inspect', addonFile().path]);
  return { ...head, ...(JSON.parse(stdout) as Pick<Provenance, 'commit' | 'built' | 'warnings'>) };
}

export function deviceState(device: Device): DeviceState {
  const { name } = device;
  const description = listDevices().find((listed) => listed.name === name)?.description ?? name;
  return name === 'cpu'
    ? { name, description, threads: device.threads, isa: device.isa }
    : { name, description, threads: null, isa: null };
}

const GPU_FIELDS =
  'name,uuid,driver_version,clocks.sm,clocks.mem,temperature.gpu,clocks_event_reasons.active,clocks_throttle_reasons.active';

/** Clocks and driver of a GPU, where nvidia-smi is there; null otherwise and for the CPU. */
export async function gpuState(device: Device): Promise<GpuState | null> {
  const uuid = listDevices().find(({ name }) => name === device.name)?.uuid;
  if (uuid === undefined || !device.name.startsWith('cuda:')) return null;
  // Drivers know one of the two names of the last field.
  for (const left of ['clocks_throttle_reasons.active', 'clocks_event_reasons.active']) {
    const fields = GPU_FIELDS.split(',').filter((field) => field !== left);
    const result = await run('nvidia-smi', [
      `--id=${uuid}`,
      `--query-gpu=${fields.join()}`,
      '--format=csv,noheader,nounits',
    ])
      .then(({ stdout }) => stdout.trim().split(', '))
      .catch(() => undefined);
    if (result?.length === fields.length) return parseGpuState(result);
  }
  return null;
}

/** Reasons that are no throttling: idle (1) and clocks that an application set (2). */
const HARMLESS = 0x3;

export function parseGpuState(fields: readonly string[]): GpuState {
  const [name, uuid, driver, sm, memory, temperature, reasons] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const active = Number(reasons) & ~HARMLESS;
  return {
    name,
    uuid,
    driver,
    smClock: Number(sm),
    memoryClock: Number(memory),
    temperature: Number(temperature),
    throttled: active === 0 ? '' : `0x${active.toString(16)}`,
  };
}
