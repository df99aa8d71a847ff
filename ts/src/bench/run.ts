/** The whole of `instaseg bench ops` and `instaseg bench model`: device, ceilings, rows, report. */
import { Device, type DeviceName } from '../runtime/device.js';
import { InstasegError } from '../runtime/errors.js';
import { bufferSizes, measureCeilings } from './ceilings.js';
import type { OpPrecision } from './check.js';
import { deviceState, gpuState, machineInfo, provenance, type MachineInfo } from './machine.js';
import { ModelBench, placeModel, type ModelBenchOptions } from './model-bench.js';
import { OpBench } from './op-bench.js';
import { checkCase } from './op-cases.js';
import {
  rowName,
  SCHEMA,
  type ModelReport,
  type OpFailure,
  type OpMeasurement,
  type OpRow,
  type OpsReport,
} from './report.js';
import { underRoofline } from './roofline.js';
import { readShapes, shapeFiles, shapeText, type ShapeCase } from './shape-file.js';

export interface BenchDeviceOptions {
  readonly device: DeviceName;
  readonly threads?: number | undefined;
  readonly isa?: 'baseline' | 'avx2' | 'avx512' | undefined;
}

export interface OpsOptions extends BenchDeviceOptions {
  /** Only cases whose model, op and name, with spaces between, have it in them, in any case. */
  readonly filter?: string | undefined;
  /** Files of shapes: names of the package's, or paths; by default all of the package's. */
  readonly shapes?: readonly string[] | undefined;
  readonly precision: OpPrecision;
  readonly variant?: string | undefined;
  readonly samples: number;
  readonly seconds: number;
  readonly signal?: AbortSignal | undefined;
  /** Told of every case: how many are done, of how many, and what the last one gave. */
  readonly onRow?: ((done: number, of: number, row: OpMeasurement | InstasegError) => void) | undefined;
}

/** What is measured, opened before the ceilings are taken, so that what is wrong with it shows at once. */
interface Bench<T> {
  measure(): Promise<T>;
  dispose(): Promise<void>;
}

/** What all reports have, measured around a bench. */
async function withHead<T>(
  options: BenchDeviceOptions,
  settings: Readonly<Record<string, unknown>>,
  open: (device: Device, machine: MachineInfo) => Promise<Bench<T>>,
): Promise<{ head: Omit<OpsReport, 'kind' | 'rows' | 'failures'>; result: T }> {
  const device = await Device.open(options.device, { threads: options.threads, isa: options.isa });
  try {
    const machine = machineInfo();
    const bench = await open(device, machine);
    try {
      const origin = await provenance();
      const start = await gpuState(device);
      const ceilings = await measureCeilings(device, machine);
      const result = await bench.measure();
      const head = {
        schema: SCHEMA,
        provenance: origin,
        machine,
        device: deviceState(device),
        gpu: { start, end: await gpuState(device) },
        settings,
        ceilings: await ceilings.end(),
      } as const;
      return { head, result };
    } finally {
      await bench.dispose();
    }
  } finally {
    await device.dispose();
  }
}

/**
 * The cases that a filter leaves, checked.
 * @throws InstasegError ERR_ARGUMENT where that is none, and for a line that makes no sense
 */
export function chooseCases({
  filter = '',
  shapes = shapeFiles(),
}: Pick<OpsOptions, 'filter' | 'shapes'>): ShapeCase[] {
  const all = shapes.flatMap(readShapes);
  const text = filter.toLowerCase();
  const chosen = all.filter(({ model, op, name }) => `${model} ${op} ${name}`.toLowerCase().includes(text));
  if (chosen.length === 0) {
    const known = [...new Set(all.map(({ op }) => op))].join(', ');
    throw new InstasegError(
      'ERR_ARGUMENT',
      `no case has "${filter}" in it; ops are ${known}, files ${shapes.join(', ')}`,
    );
  }
  chosen.forEach(checkCase);
  const seen = new Set<string>();
  for (const { model, op, name, where } of chosen) {
    const row = `${model} ${op} ${name}`;
    if (seen.has(row)) throw new InstasegError('ERR_ARGUMENT', `${where}: another file has "${row}" too`);
    seen.add(row);
  }
  return chosen;
}

export async function runOpsBench(options: OpsOptions): Promise<OpsReport> {
  const { filter, shapes, precision, variant, samples, seconds, signal, onRow } = options;
  const cases = chooseCases(options);
  const settings = { filter, shapes, precision, variant, samples, seconds };
  const { head, result } = await withHead(options, settings, async (device, machine) => {
    const { flushBytes } = bufferSizes(device, machine);
    const bench = await OpBench.open(device, flushBytes, { precision, variant, samples, seconds, signal });
    const measure = async (): Promise<{ rows: OpMeasurement[]; failures: OpFailure[] }> => {
      const rows: OpMeasurement[] = [];
      const failures: OpFailure[] = [];
      for (const [i, shape] of cases.entries()) {
        try {
          const row = await bench.measure(shape);
          rows.push(row);
          onRow?.(i + 1, cases.length, row);
        } catch (error) {
          signal?.throwIfAborted();
          if (!(error instanceof InstasegError)) throw error;
          const { code, message } = error;
          failures.push({ row: rowName({ ...shape, shape: shapeText(shape), precision }), code, message });
          onRow?.(i + 1, cases.length, error);
        }
      }
      return { rows, failures };
    };
    return { measure, dispose: () => bench.dispose() };
  });
  const place = (row: OpMeasurement): OpRow => ({
    ...row,
    ...underRoofline({ ...row, milliseconds: row.hot.median }, head.ceilings),
  });
  return { ...head, kind: 'ops', rows: result.rows.map(place), failures: result.failures };
}

export async function runModelBench(
  name: string,
  options: BenchDeviceOptions & Omit<ModelBenchOptions, 'load'> & Pick<ModelBenchOptions['load'], 'onDownload'>,
): Promise<ModelReport> {
  const { threads, isa, onDownload, precision, randomWeights, image, samples, seconds, signal, note } = options;
  const settings = { precision, randomWeights, image, samples, seconds };
  const { head, result } = await withHead(options, settings, (opened) =>
    // The same device by its name: the model opens its own, so that its memory is its own.
    ModelBench.open(name, { ...settings, signal, note, load: { device: opened.name, threads, isa, onDownload } }),
  );
  return { ...head, kind: 'model', rows: [placeModel(result, head.ceilings)] };
}
