/** What a device can do at most, measured at the start and at the end: arithmetic and memory, the two lines of a roofline. */
import { benchmarkCopy } from '../ops/benchmark-copy.js';
import { benchmarkFma } from '../ops/benchmark-fma.js';
import * as ops from '../ops/index.js';
import { Device, listDevices } from '../runtime/device.js';
import { Tensor } from '../runtime/tensor.js';
import type { MachineInfo } from './machine.js';

/** GFLOP/s of f32 multiply-adds (two each) and GB/s of a copy, read and written. */
export interface Rates {
  readonly gflops: number;
  readonly gbps: number;
}

/**
 * What percentages refer to: of the rates at the start and at the end the larger ones, since a device that was busy at
 * one of the two times can do more than was seen then.
 */
export interface Ceilings extends Rates {
  /** `gflops` of each instruction set up to the processor's highest; on a GPU the same as `gflops`. */
  readonly byIsa: Readonly<Record<string, number>>;
  /** Bytes of the buffer that was copied. */
  readonly copyBytes: number;
  /** Bytes that are copied before each call that is measured cold. */
  readonly flushBytes: number;
  readonly start: Rates;
  readonly end: Rates;
}

/** Beyond that, the machine was not steady, and percentages are marked. */
const STEADY = 0.05;

/** How far the rates at the end are from those at the start, as fractions: below 0 they fell. */
export function drift({ start, end }: Pick<Ceilings, 'start' | 'end'>): Rates {
  return { gflops: end.gflops / start.gflops - 1, gbps: end.gbps / start.gbps - 1 };
}

export function isSteady(ceilings: Pick<Ceilings, 'start' | 'end'>): boolean {
  const { gflops, gbps } = drift(ceilings);
  return Math.max(Math.abs(gflops), Math.abs(gbps)) <= STEADY;
}

const LEVELS = ['baseline', 'avx2', 'avx512'] as const;
/** A ceiling is the best of that many runs, and of those that this takes: clocks rise and pages come at first. */
const RUNS = 15;
const LEAST_MS = 500;
const MIB = 1 << 20;

/** The cache that everything goes through last: of the processor, or the L2 of a GPU. Bytes, or null. */
function lastCache(device: Device, machine: MachineInfo): number | null {
  if (device.name === 'cpu') return machine.lastLevelCache;
  return listDevices().find(({ name }) => name === device.name)?.l2Cache ?? null;
}

/**
 * Sizes of buffers by the last cache: twice its size pushes everything else out, four times its size fits into no cache.
 * Where the size is not known it is taken for 64 MiB, more than most have. Two buffers of that size are held at a time:
 * together no more than a quarter of the machine's memory.
 */
export function bufferSizes(device: Device, machine: MachineInfo): { copyBytes: number; flushBytes: number } {
  const cache = lastCache(device, machine) ?? 64 * MIB;
  const most = Math.floor(machine.memory / 8 / MIB) * MIB;
  const least = device.name === 'cpu' ? 64 * MIB : 256 * MIB;
  return { copyBytes: Math.min(most, Math.max(least, 4 * cache)), flushBytes: Math.min(most, 2 * cache) };
}

/** The best of several runs of one step, in milliseconds, with its work. */
async function best(
  device: Device,
  op: string,
  record: () => ReturnType<typeof benchmarkCopy>,
  leastMs = LEAST_MS,
): Promise<{ milliseconds: number; flops: number; bytes: number }> {
  const plan = await device.compile([], () => {
    const output = record();
    return ops.slice(output, { begin: output.shape.map(() => 0), size: output.shape.map(() => 1) });
  });
  try {
    const times: number[] = [];
    const started = performance.now();
    while (times.length < RUNS || performance.now() - started < leastMs) {
      await plan.run([], { onProfile: ({ steps }) => times.push(steps.find((step) => step.op === op)!.milliseconds) });
    }
    const step = plan.steps.find((each) => each.op === op)!;
    return { milliseconds: Math.min(...times), flops: step.flops, bytes: step.bytes };
  } finally {
    plan.dispose();
  }
}

/** GFLOP/s: as many steps as take some 20 ms. */
async function measureFma(device: Device): Promise<number> {
  const chains = Tensor.from(new Float32Array(device.name === 'cpu' ? 192 * 64 : 192 << 13).fill(1));
  const record = (length: number) => () => benchmarkFma(chains, { length, factor: 0.999, addend: 0.001 });
  let length = 1000;
  let { milliseconds } = await best(device, 'benchmarkFma', record(length), 0);
  while (milliseconds < 10 && length < 1 << 24) {
    length = Math.ceil(length * Math.min(64, 20 / Math.max(milliseconds, 0.01)));
    ({ milliseconds } = await best(device, 'benchmarkFma', record(length), 0));
  }
  const found = await best(device, 'benchmarkFma', record(length));
  return found.flops / found.milliseconds / 1e6;
}

async function measureCopy(device: Device, bytes: number): Promise<number> {
  const source = Tensor.from(new Float32Array(bytes / 4));
  const found = await best(device, 'benchmarkCopy', () => benchmarkCopy(source));
  return found.bytes / found.milliseconds / 1e6;
}

/** Ceilings as they are at the start; `end` measures the device again and closes them. */
export async function measureCeilings(
  device: Device,
  machine: MachineInfo,
): Promise<{ readonly end: () => Promise<Ceilings> }> {
  const sizes = bufferSizes(device, machine);
  const rates = async (): Promise<Rates> => ({
    gbps: await measureCopy(device, sizes.copyBytes),
    gflops: await measureFma(device),
  });
  const start = await rates();
  const byIsa: Record<string, number> = {};
  const own = device.name === 'cpu' ? device.isa : device.name;
  const highest = LEVELS.indexOf(machine.isa as (typeof LEVELS)[number]);
  for (const isa of device.name === 'cpu' ? LEVELS.slice(0, highest + 1) : []) {
    if (isa === own) {
      byIsa[isa] = start.gflops;
      continue;
    }
    const level = await Device.open('cpu', { isa, threads: device.threads });
    try {
      byIsa[isa] = await measureFma(level);
    } finally {
      await level.dispose();
    }
  }
  return {
    end: async () => {
      const end = await rates();
      const gflops = Math.max(start.gflops, end.gflops);
      const gbps = Math.max(start.gbps, end.gbps);
      return { gflops, gbps, byIsa: { ...byIsa, [own]: gflops }, ...sizes, start, end };
    },
  };
}
