/** What a report holds: the JSON is the source, tables are made of it. */
import type { Ceilings } from './ceilings.js';
import type { Check, OpPrecision } from './check.js';
import type { DeviceState, GpuState, MachineInfo, Provenance } from './machine.js';
import type { ModelRow } from './model-bench.js';
import type { UnderRoofline } from './roofline.js';
import type { Statistics } from './samples.js';

export const SCHEMA = 'instaseg-bench/2';

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
}

/** An op at a shape. Times are those of its own kernels: wall time on the CPU, events on a GPU. */
export interface OpMeasurement {
  readonly model: string;
  readonly op: string;
  readonly name: string;
  readonly times: number;
  readonly shape: string;
  readonly precision: OpPrecision;
  readonly variant: string;
  /** Null where there are no other kernels to compare with. */
  readonly check: Check | null;
  /** Works on counted rows: flops and bytes are those of full capacity, so there are no rates. */
  readonly counted: boolean;
  readonly flops: number;
  /** Inputs, outputs and weights. */
  readonly bytes: number;
  /** Again and again: inputs and weights are where the caches keep them. */
  readonly hot: Statistics;
  /** After something else went through the caches. */
  readonly cold: Statistics;
  /** Of the median of the hot times. */
  readonly gflops: number | null;
  readonly gbps: number | null;
}

/** The same under the ceilings, which are known when everything was measured. */
export interface OpRow extends OpMeasurement, UnderRoofline {}

/** A case without figures. */
export interface OpFailure {
  /** As {@link rowName}. */
  readonly row: string;
  readonly code: string;
  readonly message: string;
}

/** What a row of two reports is the same by. */
export function rowName({
  model,
  op,
  name,
  shape,
  precision,
}: Pick<OpMeasurement, 'model' | 'op' | 'name' | 'shape' | 'precision'>): string {
  return `${model} ${op} ${name} ${shape} ${precision}`;
}

export interface OpsReport extends ReportHead {
  readonly kind: 'ops';
  readonly rows: readonly OpRow[];
  /** Cases without figures, and why: a wrong result above all. */
  readonly failures: readonly OpFailure[];
}

export interface ModelReport extends ReportHead {
  readonly kind: 'model';
  readonly rows: readonly ModelRow[];
}

export type BenchReport = OpsReport | ModelReport;
