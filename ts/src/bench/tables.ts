/** Reports as rows of cells. */
import type { ReportComparison } from './compare.js';
import { STAGE_NAMES, STAGES, type LayerRow, type ModelRow } from './model-bench.js';
import type { BenchReport, OpsReport } from './report.js';

/** Cells, the first row being the header, and the columns that are aligned to the right. */
export interface Table {
  readonly rows: readonly (readonly string[])[];
  readonly right: readonly number[];
}

/** Three significant digits of milliseconds. */
const ms = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const percent = (fraction: number, digits = 0): string => `${(100 * fraction).toFixed(digits)} %`;
const whole = (value: number): string => value.toFixed(0);
const optional = (value: number | null): string => (value === null ? '' : whole(value));
const megabytes = (bytes: number | null): string => (bytes === null ? 'unknown' : `${(bytes / 1e6).toFixed(0)} MB`);

/** Where, when and under which ceilings the figures were measured. */
export function describeReport(report: BenchReport): string {
  const { provenance, machine, device, gpu, ceilings, ceilingDrift } = report;
  const commit = provenance.commit === null ? '' : ` (${provenance.commit})`;
  const unit = device.threads === null ? device.description : `${device.threads} threads, ${device.isa}`;
  const levels = Object.entries(ceilings.byIsa).map(([isa, gflops]) => `${isa} ${whole(gflops)}`);
  const lines = [
    `instaseg ${provenance.version}${commit}, ${provenance.date.slice(0, 10)}, Node ${machine.node}`,
    `${machine.cpu}, ${machine.logicalCores} logical cores (up to ${machine.isa}), ${machine.platform}; load ${machine.loadAverage.toFixed(1)}`,
    `device ${device.name}: ${unit}`,
    `ceilings: ${levels.join(', ')} GFLOP/s (multiply-adds, f32); ${ceilings.gbps.toFixed(1)} GB/s (copy)`,
  ];
  for (const state of [gpu.start, gpu.end]) {
    if (!state) continue;
    const held = state.throttled === '' ? '' : `, held back (${state.throttled})`;
    lines.push(
      `GPU: driver ${state.driver}, ${state.smClock} MHz, memory ${state.memoryClock} MHz, ${state.temperature} C${held}`,
    );
  }
  if (Math.abs(ceilingDrift - 1) > 0.05) {
    lines.push(
      `warning: the arithmetic ceiling at the end is ${percent(ceilingDrift)} of that at the start: the machine was not steady`,
    );
  }
  return lines.join('\n');
}

export function opsTable({ rows }: OpsReport): Table {
  const header = [
    'op',
    'name',
    'variant',
    'hot ms',
    'min',
    'p95',
    'noise',
    'cold ms',
    'GFLOP/s',
    'GB/s',
    '% peak',
    '% copy',
    'bound',
    'error',
    'checked',
  ];
  const cells = rows.map(({ op, name, variant, hot, cold, gflops, gbps, check, ...row }) => [
    op,
    row.times > 1 ? `${name} (${row.times})` : name,
    variant,
    ms(hot.median),
    ms(hot.min),
    ms(hot.p95),
    percent(hot.noise, 1),
    ms(cold.median),
    row.flops > 0 ? whole(gflops) : '',
    gbps.toFixed(1),
    optional(row.percentOfArithmetic),
    whole(row.percentOfBandwidth),
    row.bound,
    check.error === 0 ? '0' : check.error.toExponential(0),
    check.extent === 'all' ? 'all' : check.extent.replace(' output', ''),
  ]);
  return { rows: [header, ...cells], right: [3, 4, 5, 6, 7, 8, 9, 10, 11, 13] };
}

/** The figures of a network, each with its name. */
export function modelTable(row: ModelRow): Table {
  const { check, endToEnd, stages } = row;
  const all = Object.values(stages).reduce((sum, time) => sum + time, 0);
  const agreement = check.maskIou < 1 ? `, IoU of the masks ${check.maskIou.toFixed(3)}` : '';
  const rows = [
    ['image', `${row.image.name}, ${row.image.width} x ${row.image.height}`],
    ['weights', row.weights],
    ['checked', `${check.matched} of ${check.expected} detections as ${check.against} find them${agreement}`],
    ['load', `${ms(row.loadMs)} ms`],
    ['first image', `${ms(row.firstMs)} ms`],
    ['compile a plan', `${ms(row.compileMs)} ms, once a size`],
    [
      'image to instances',
      `${ms(endToEnd.median)} ms (min ${ms(endToEnd.min)}, p95 ${ms(endToEnd.p95)}, noise ${percent(endToEnd.noise, 1)}, ${endToEnd.samples} runs)`,
    ],
    ...STAGES.map((stage) => [
      `  ${STAGE_NAMES[stage]}`,
      `${ms(stages[stage])} ms, ${percent(stages[stage] / all, 1)}`,
    ]),
    ['outside kernels', percent(row.outsideKernels, 1)],
    [
      'arithmetic',
      `${row.gflop.toFixed(1)} GFLOP in steps of fixed size, ${whole(row.gflops)} GFLOP/s${row.percentOfArithmetic === null ? '' : `, ${whole(row.percentOfArithmetic)} % of the ceiling`}`,
    ],
    ['peak memory', `${megabytes(row.peakRss)} of the process, ${megabytes(row.peakDevice)} of the device`],
  ];
  return { rows, right: [] };
}

const shapeText = (shape: readonly number[]): string => shape.map((size) => (size < 0 ? '?' : size)).join('x');

/** Steps of a plan in their order. */
export function layersTable(row: ModelRow): Table {
  const total = row.stages.kernels;
  const header = [
    'step',
    'layer',
    'op',
    'variant',
    'output',
    'ms',
    'share',
    'GFLOP/s',
    'GB/s',
    '% peak',
    '% copy',
    'bound',
  ];
  const rate = (layer: LayerRow, amount: number): string =>
    amount > 0 && layer.milliseconds > 0 && !layer.counted ? (amount / layer.milliseconds / 1e6).toFixed(1) : '';
  const cells = row.layers.map((layer, i) => [
    String(i),
    layer.layer ?? '',
    layer.op,
    layer.variant,
    shapeText(layer.output),
    layer.milliseconds.toFixed(3),
    percent(layer.milliseconds / total, 1),
    rate(layer, layer.flops),
    rate(layer, layer.bytes),
    optional(layer.percentOfArithmetic),
    optional(layer.percentOfBandwidth),
    layer.bound,
  ]);
  return { rows: [header, ...cells], right: [0, 5, 6, 7, 8, 9, 10] };
}

/** Time of a plan's steps by op and variant, the longest first. */
export function kernelsTable(row: ModelRow): Table {
  const sums = new Map<string, { op: string; variant: string; steps: number; milliseconds: number; flops: number }>();
  for (const { op, variant, milliseconds, flops, counted } of row.layers) {
    const key = `${op} ${variant}`;
    const sum = sums.get(key) ?? { op, variant, steps: 0, milliseconds: 0, flops: 0 };
    sums.set(key, {
      ...sum,
      steps: sum.steps + 1,
      milliseconds: sum.milliseconds + milliseconds,
      flops: counted ? Number.NaN : sum.flops + flops,
    });
  }
  const header = ['op', 'variant', 'steps', 'ms', 'share', 'GFLOP/s'];
  const sorted = [...sums.values()].sort((a, b) => b.milliseconds - a.milliseconds);
  const cells = sorted.map(({ op, variant, steps, milliseconds, flops }) => [
    op,
    variant,
    String(steps),
    milliseconds.toFixed(2),
    percent(milliseconds / row.stages.kernels, 1),
    flops > 0 && milliseconds > 0 ? whole(flops / milliseconds / 1e6) : '',
  ]);
  return { rows: [header, ...cells], right: [2, 3, 4, 5] };
}

export function comparisonTable({ figures }: ReportComparison): Table {
  const header = ['row', 'figure', 'before ms', 'after ms', 'change'];
  const cells = figures.map(({ row, figure, before, after, change }) => [
    row,
    figure,
    ms(before),
    ms(after),
    `${change >= 0 ? '+' : ''}${percent(change, 1)}`,
  ]);
  return { rows: [header, ...cells], right: [2, 3, 4] };
}
