/** The whole of `instaseg bench ops` and `instaseg bench model`: device, ceilings, rows, report. */
import { Device, type DeviceName } from '../runtime/device.js';
import { InstasegError } from '../runtime/errors.js';
import { measureCeilings, measureFma } from './ceilings.js';
import type { OpPrecision } from './check.js';
import { deviceState, gpuState, machineInfo, provenance } from './machine.js';
import { benchModel, type ModelBenchOptions } from './model-bench.js';
import { OpBench } from './op-bench.js';
import { SCHEMA, type ModelReport, type OpRow, type OpsReport } from './report.js';
import { readShapes, shapeFiles, type ShapeCase } from './shape-file.js';

export interface BenchDeviceOptions {
  readonly device: DeviceName;
  readonly threads?: number | undefined;
  readonly isa?: 'baseline' | 'avx2' | 'avx512' | undefined;
}

export interface OpsOptions extends BenchDeviceOptions {
  /** Only cases whose model, op and name, with spaces between, have it in them. */
  readonly filter?: string | undefined;
  /** Files of shapes: names of the package's, or paths; by default all of the package's. */
  readonly shapes?: readonly string[] | undefined;
  readonly precision: OpPrecision;
  readonly variant?: string | undefined;
  readonly samples: number;
  readonly seconds: number;
  readonly signal?: AbortSignal | undefined;
  /** Told of every case: how many are done, of how many, and what the last one gave. */
  readonly onRow?: ((done: number, of: number, row: OpRow | InstasegError) => void) | undefined;
}

/** What all reports have, measured around `body`. */
async function withHead<T>(
  options: BenchDeviceOptions,
  settings: Readonly<Record<string, unknown>>,
  body: (device: Device, ceilings: OpsReport['ceilings']) => Promise<T>,
): Promise<{ head: Omit<OpsReport, 'kind' | 'rows' | 'failures'>; result: T }> {
  const device = await Device.open(options.device, { threads: options.threads, isa: options.isa });
  try {
    const machine = machineInfo();
    const start = await gpuState(device);
    const ceilings = await measureCeilings(device, machine);
    const result = await body(device, ceilings);
    const drift = (await measureFma(device)) / ceilings.gflops;
    const head = {
      schema: SCHEMA,
      provenance: await provenance(),
      machine,
      device: deviceState(device),
      gpu: { start, end: await gpuState(device) },
      settings,
      ceilings,
      ceilingDrift: drift,
    } as const;
    return { head, result };
  } finally {
    await device.dispose();
  }
}

/** The cases that a filter leaves. Throws ERR_ARGUMENT where that is none. */
export function chooseCases({
  filter = '',
  shapes = shapeFiles(),
}: Pick<OpsOptions, 'filter' | 'shapes'>): ShapeCase[] {
  const all = shapes.flatMap(readShapes);
  const chosen = all.filter(({ model, op, name }) => `${model} ${op} ${name}`.includes(filter));
  if (chosen.length === 0) {
    const known = [...new Set(all.map(({ op }) => op))].join(', ');
    throw new InstasegError(
      'ERR_ARGUMENT',
      `no case has "${filter}" in it; ops are ${known}, files ${shapes.join(', ')}`,
    );
  }
  return chosen;
}

export async function runOpsBench(options: OpsOptions): Promise<OpsReport> {
  const { filter, shapes, precision, variant, samples, seconds, signal, onRow } = options;
  const cases = chooseCases(options);
  const settings = { filter, shapes, precision, variant, samples, seconds };
  const { head, result } = await withHead(options, settings, async (device, ceilings) => {
    const bench = await OpBench.open(device, ceilings, { precision, variant, samples, seconds, signal });
    const rows: OpRow[] = [];
    const failures: { row: string; code: string; message: string }[] = [];
    try {
      for (const [i, shape] of cases.entries()) {
        try {
          const row = await bench.measure(shape);
          rows.push(row);
          onRow?.(i + 1, cases.length, row);
        } catch (error) {
          signal?.throwIfAborted();
          if (!(error instanceof InstasegError)) throw error;
          const { code, message } = error;
          failures.push({ row: `${shape.model} ${shape.op} ${shape.name}`, code, message });
          onRow?.(i + 1, cases.length, error);
        }
      }
    } finally {
      await bench.dispose();
    }
    return { rows, failures };
  });
  return { ...head, kind: 'ops', ...result };
}

export async function runModelBench(
  name: string,
  options: BenchDeviceOptions & Omit<ModelBenchOptions, 'load'> & Pick<ModelBenchOptions['load'], 'onDownload'>,
): Promise<ModelReport> {
  const { threads, isa, onDownload, precision, randomWeights, image, samples, seconds, signal, note } = options;
  const settings = { precision, randomWeights, image, samples, seconds };
  const { head, result } = await withHead(options, settings, (opened, ceilings) =>
    // The same device by its name: the model opens its own, so that its memory is its own.
    benchModel(name, ceilings, { ...settings, signal, note, load: { device: opened.name, threads, isa, onDownload } }),
  );
  return { ...head, kind: 'model', rows: [result] };
}
