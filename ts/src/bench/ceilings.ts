/** What a device can do at most, measured at the start: arithmetic and memory, the two lines of a roofline. */
import { benchmarkCopy } from '../ops/benchmark-copy.js';
import { benchmarkFma } from '../ops/benchmark-fma.js';
import * as ops from '../ops/index.js';
import { Device } from '../runtime/device.js';
import { Tensor } from '../runtime/tensor.js';
import type { MachineInfo } from './machine.js';

/** GFLOP/s of f32 multiply-adds (two each), by the variant that did them, and GB/s of a copy, read and written. */
export interface Ceilings {
  /** Of the instruction set that the device uses; what percentages refer to. */
  readonly gflops: number;
  /** Of each instruction set up to the processor's highest; on a GPU the same as `gflops`. */
  readonly byIsa: Readonly<Record<string, number>>;
  readonly gbps: number;
  /** Bytes of the buffer that was copied. */
  readonly copyBytes: number;
}

const LEVELS = ['baseline', 'avx2', 'avx512'] as const;
const RUNS = 15;

/** A buffer that no cache holds: four times the last-level cache. */
function copyBytes(device: Device, machine: MachineInfo): number {
  if (device.name !== 'cpu') return 256 << 20;
  return Math.min(256 << 20, Math.max(64 << 20, 4 * (machine.lastLevelCache ?? 32 << 20)));
}

/** The best of several runs of one step, in milliseconds, with its work. */
async function best(
  device: Device,
  op: string,
  record: () => ReturnType<typeof benchmarkCopy>,
): Promise<{ milliseconds: number; flops: number; bytes: number }> {
  const plan = await device.compile([], () => {
    const output = record();
    return ops.slice(output, { begin: output.shape.map(() => 0), size: output.shape.map(() => 1) });
  });
  try {
    const times: number[] = [];
    for (let i = 0; i < RUNS; i += 1) {
      await plan.run([], { onProfile: ({ steps }) => times.push(steps.find((step) => step.op === op)!.milliseconds) });
    }
    const step = plan.steps.find((each) => each.op === op)!;
    return { milliseconds: Math.min(...times), flops: step.flops, bytes: step.bytes };
  } finally {
    plan.dispose();
  }
}

/** GFLOP/s: as many steps as take some 20 ms. */
export async function measureFma(device: Device): Promise<number> {
  const chains = Tensor.from(new Float32Array(device.name === 'cpu' ? 192 * 64 : 192 << 13).fill(1));
  const record = (length: number) => () => benchmarkFma(chains, { length, factor: 0.999, addend: 0.001 });
  let length = 1000;
  let found = await best(device, 'benchmarkFma', record(length));
  while (found.milliseconds < 10 && length < 1 << 24) {
    length = Math.ceil(length * Math.min(64, 20 / Math.max(found.milliseconds, 0.01)));
    found = await best(device, 'benchmarkFma', record(length));
  }
  return found.flops / found.milliseconds / 1e6;
}

async function measureCopy(device: Device, bytes: number): Promise<number> {
  const source = Tensor.from(new Float32Array(bytes / 4));
  const found = await best(device, 'benchmarkCopy', () => benchmarkCopy(source));
  return found.bytes / found.milliseconds / 1e6;
}

export async function measureCeilings(device: Device, machine: MachineInfo): Promise<Ceilings> {
  const bytes = copyBytes(device, machine);
  const gbps = await measureCopy(device, bytes);
  if (device.name !== 'cpu') {
    const gflops = await measureFma(device);
    return { gflops, byIsa: { [device.name]: gflops }, gbps, copyBytes: bytes };
  }
  const byIsa: Record<string, number> = {};
  for (const isa of LEVELS.slice(0, LEVELS.indexOf(machine.isa as (typeof LEVELS)[number]) + 1)) {
    const level = await Device.open('cpu', { isa, threads: device.threads });
    try {
      byIsa[isa] = await measureFma(level);
    } finally {
      await level.dispose();
    }
  }
  return { gflops: byIsa[device.isa] ?? (await measureFma(device)), byIsa, gbps, copyBytes: bytes };
}
