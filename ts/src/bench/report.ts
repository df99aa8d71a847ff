/** What a report holds: the JSON is the source, tables are made of it. */
import type { Ceilings } from './ceilings.js';
import type { Check, OpPrecision } from './check.js';
import type { DeviceState, GpuState, MachineInfo, Provenance } from './machine.js';
import type { ModelRow } from './model-bench.js';
import type { Statistics } from './samples.js';

export const SCHEMA = 'instaseg-bench/1';

/** What every report has. */
interface ReportHead {
  readonly schema: typeof SCHEMA;
  readonly provenance: Provenance;
  readonly machine: MachineInfo;
  readonly device: DeviceState;
  /** Of a GPU, at the start and at the end. */
  readonly gpu: { readonly start: GpuState | null; readonly end: GpuState | null };
  readonly settings: Readonly<Record<string, unknown>>;
  readonly ceilings: Ceilings;
  /** The arithmetic ceiling measured again at the end, over that of the start: below 1 the clocks fell meanwhile. */
  readonly ceilingDrift: number;
}

/** An op at a shape. Times are those of its own kernels: wall time on the CPU, events on a GPU. */
export interface OpRow {
  readonly model: string;
  readonly op: string;
  readonly name: string;
  readonly times: number;
  readonly shape: string;
  readonly precision: OpPrecision;
  readonly variant: string;
  readonly check: Check;
  readonly flops: number;
  /** Inputs, outputs and weights. */
  readonly bytes: number;
  /** Again and again: inputs and weights are where the caches keep them. */
  readonly hot: Statistics;
  /** After something else went through the caches. */
  readonly cold: Statistics;
  /** Of the median of the hot times. */
  readonly gflops: number;
  readonly gbps: number;
  /** Of the measured ceilings; above 100 where an algorithm needs fewer multiplications or data comes out of a cache. */
  readonly percentOfArithmetic: number | null;
  readonly percentOfBandwidth: number;
  /** The ceiling that the roofline puts over it. */
  readonly bound: 'compute' | 'memory';
}

export interface OpsReport extends ReportHead {
  readonly kind: 'ops';
  readonly rows: readonly OpRow[];
  /** Cases without figures, and why: a wrong result above all. */
  readonly failures: readonly { readonly row: string; readonly code: string; readonly message: string }[];
}

export interface ModelReport extends ReportHead {
  readonly kind: 'model';
  readonly rows: readonly ModelRow[];
}

export type BenchReport = OpsReport | ModelReport;
