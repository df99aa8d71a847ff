/** What the operating system says of itself: its name, processor, limits and NVIDIA driver. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, freemem, release, totalmem, type } from 'node:os';
import { detectLibc, TRIPLE, type Libc } from '../runtime/platform.js';

/** The operating system. */
export interface SystemReport {
  /** Platform and architecture, as prebuilds are named: "linux-x64". */
  readonly triple: string;
  /** For example "Debian GNU/Linux 12 (bookworm)", where the system says. */
  readonly name: string;
  readonly kernel: string;
  readonly libc?: Libc | undefined;
}

/** The processor, as this process may use it. */
export interface ProcessorReport {
  readonly model: string;
  /** Logical processors, and those that the process may use. */
  readonly logical: number;
  readonly usable: number;
  /** Processors' worth of time that the control group grants, where it limits it. */
  readonly quota?: number | undefined;
  /** Of the instruction sets that kernels could use, those that the processor has. */
  readonly features: readonly string[];
}

/** Memory of the machine, and the bound that its control group sets. */
export interface MemoryReport {
  /** Bytes. */
  readonly total: number;
  readonly free: number;
  /** Of the control group, where there is one. */
  readonly limit?: number | undefined;
}

const FEATURES = [
  ...['sse4_2', 'avx', 'f16c', 'fma', 'avx2', 'avx_vnni'],
  ...['avx512f', 'avx512bw', 'avx512dq', 'avx512vl', 'avx512_vnni', 'avx512_bf16', 'avx512_fp16', 'amx_tile'],
  ...['asimd', 'asimdhp', 'asimddp', 'bf16', 'i8mm', 'sve'],
];

export function describeSystem(): SystemReport {
  const name = /^PRETTY_NAME="?(.*?)"?$/m.exec(read('/etc/os-release') ?? '')?.[1] ?? type();
  return { triple: TRIPLE, name, kernel: `${type()} ${release()}`, libc: detectLibc() };
}

export function describeProcessor(): ProcessorReport {
  const processors = cpus();
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(read('/proc/cpuinfo') ?? '')?.[1]?.split(' ') ?? [];
  return {
    model: processors[0]?.model.trim() || 'unknown',
    logical: processors.length,
    usable: availableParallelism(),
    quota: processorQuota(),
    features: FEATURES.filter((name) => flags.includes(name)),
  };
}

export function describeMemory(): MemoryReport {
  const limit = process.constrainedMemory?.() ?? 0;
  // Without a limit the control group may say a number that no machine has.
  return { total: totalmem(), free: freemem(), limit: limit > 0 && limit < totalmem() ? limit : undefined };
}

/** The version line of NVIDIA's kernel driver; undefined where it is not loaded. */
export function nvidiaDriver(): string | undefined {
  return read('/proc/driver/nvidia/version')?.split('\n')[0]?.trim();
}

/** Of version 2, else of version 1 of control groups; in a container, its own. */
function processorQuota(): number | undefined {
  const [quota, period] =
    read('/sys/fs/cgroup/cpu.max')?.trim().split(' ').map(Number) ??
    ['cfs_quota_us', 'cfs_period_us'].map((name) => Number(read(`/sys/fs/cgroup/cpu/cpu.${name}`) ?? Number.NaN));
  const share = quota! / period!;
  return share > 0 ? share : undefined; // "max", or -1: none
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
