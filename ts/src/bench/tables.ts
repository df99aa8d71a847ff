/** Reports as rows of cells. */
import { drift, isSteady } from './ceilings.js';
import type { ReportComparison } from './compare.js';
import { STAGE_NAMES, STAGES, type LayerRow, type ModelRow } from './model-bench.js';
import type { BenchReport, ModelReport, OpsReport } from './report.js';
import type { Statistics } from './samples.js';

/** Cells, the first row being the header, and the columns that are aligned to the right. */
export interface Table {
  readonly rows: readonly (readonly string[])[];
  readonly right: readonly number[];
}

/** Three significant digits of milliseconds. */
const ms = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
const percent = (fraction: number, digits = 0): string => `${(100 * fraction).toFixed(digits)} %`;
const whole = (value: number): string => value.toFixed(0);
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
const signed = (fraction: number, digits = 0): string => `${fraction >= 0 ? '+' : ''}${percent(fraction, digits)}`;

/** A median; "!" behind it: times were not stable when warming up had to end. */
const medianMs = ({ median, stable }: Statistics): string => `${ms(median)}${stable ? '' : '!'}`;

/** Percents of ceilings; "~" before them: the ceilings moved while things were measured. */
const ofCeilings =
  ({ ceilings }: BenchReport) =>
  (value: number | null): string =>
    value === null ? '' : `${isSteady(ceilings) ? '' : '~'}${whole(value)}`;

/** What the marks in the tables of a report mean, where there are any. */
export function footnotes(report: BenchReport): string[] {
  const figures =
    report.kind === 'ops'
      ? report.rows.flatMap(({ hot, cold }) => [hot, cold])
      : report.rows.map((row) => row.endToEnd);
  return [
    ...(figures.every(({ stable }) => stable) ? [] : ['!  times were still changing when warming up had to end']),
    ...(isSteady(report.ceilings) ? [] : ['~  the ceilings moved by more than 5 % meanwhile: take it for an estimate']),
  ];
}

/** Where, when and under which ceilings the figures were measured. */
export function describeReport(report: BenchReport): string {
  const { provenance, machine, device, gpu, ceilings } = report;
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
  lines.push(...provenance.warnings.map((text) => `warning: ${text}`));
  if (!isSteady(ceilings)) {
    const { gflops, gbps } = drift(ceilings);
    lines.push(
      `warning: the machine was not steady: at the end arithmetic ${signed(gflops)}, copy ${signed(gbps)} against the start`,
    );
  }
  return lines.join('\n');
}

export function opsTable(report: OpsReport): Table {
  const header = [
    'network',
    'op',
    'name',
    'shape',
    'variant',
    'hot ms',
    'min',
    'p95',
    'noise',
    'cold ms',
    'runs',
    'GFLOP/s',
    'GB/s',
    '% peak',
    '% copy',
    'bound',
    'error',
    'checked',
  ];
  const mark = ofCeilings(report);
  const cells = report.rows.map(({ model, op, name, shape, variant, hot, cold, gflops, gbps, check, ...row }) => [
    model,
    op,
    row.times > 1 ? `${name} (${row.times})` : name,
    shape,
    variant,
    medianMs(hot),
    ms(hot.min),
    hot.p95 === null ? '' : ms(hot.p95),
    percent(hot.noise, 1),
    medianMs(cold),
    hot.samples === cold.samples ? String(hot.samples) : `${hot.samples}, ${cold.samples}`,
    gflops === null || row.flops === 0 ? '' : whole(gflops),
    gbps === null ? '' : gbps.toFixed(1),
    mark(row.percentOfArithmetic),
    mark(row.percentOfBandwidth),
    row.bound,
    check === null ? '' : check.error === 0 ? '0' : check.error.toExponential(0),
    check === null ? NOT_CHECKED : check.extent.replace(' output', ''),
  ]);
  return { rows: [header, ...cells], right: [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16] };
}

const NOT_CHECKED = 'not checked: no other kernels here';

/** The figures of a network, each with its name. */
export function modelTable(row: ModelRow, report: ModelReport): Table {
  const { check, endToEnd, stages, profiled } = row;
  const onCpu = report.device.name === 'cpu';
  const checked = check
    ? `${check.matched} of ${check.expected} detections as ${check.against} find them`
    : `${NOT_CHECKED} that would take less than minutes`;
  const agreement = check && check.maskIou < 1 ? `, IoU of the masks ${check.maskIou.toFixed(3)}` : '';
  const spread = [
    `min ${ms(endToEnd.min)}`,
    ...(endToEnd.p95 === null ? [] : [`p95 ${ms(endToEnd.p95)}`]),
    `noise ${percent(endToEnd.noise, 1)}`,
    `${endToEnd.samples} runs`,
  ];
  const peak =
    row.percentOfArithmetic === null ? '' : `, ${ofCeilings(report)(row.percentOfArithmetic)} % of the ceiling`;
  const rows = [
    ['image', `${row.image.name}, ${row.image.width} x ${row.image.height}`],
    ['weights', row.weights],
    ['checked', `${checked}${agreement}`],
    ['load', `${ms(row.loadMs)} ms`],
    ['first image', `${ms(row.firstMs)} ms`],
    ['compile a plan', `${ms(row.compileMs)} ms, once a size`],
    ['image file to JSON', `${medianMs(endToEnd)} ms (${spread.join(', ')})`],
    ['stages, together', `${ms(profiled.milliseconds)} ms (the middle half of ${profiled.samples} runs)`],
    ...STAGES.map((stage) => [
      `  ${STAGE_NAMES[stage]}`,
      `${ms(stages[stage])} ms, ${percent(stages[stage] / profiled.milliseconds, 1)}`,
    ]),
    ['outside kernels', percent(row.outsideKernels, 1)],
    ['arithmetic', `${row.gflop.toFixed(1)} GFLOP in steps of fixed size, ${whole(row.gflops)} GFLOP/s${peak}`],
    [
      'peak memory',
      `${megabytes(row.peakMemory.process)} of a process that does nothing else, ${onCpu ? 'of which' : 'and'} ${megabytes(row.peakMemory.device)} of the device`,
    ],
  ];
  return { rows, right: [] };
}

const shapeText = (shape: readonly number[]): string => shape.map((size) => (size < 0 ? '?' : size)).join('x');

const kernelTime = ({ layers }: ModelRow): number => layers.reduce((sum, { milliseconds }) => sum + milliseconds, 0);

/** Steps of a plan in their order. */
export function layersTable(row: ModelRow, report: ModelReport): Table {
  const total = kernelTime(row);
  const mark = ofCeilings(report);
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
    mark(layer.percentOfArithmetic),
    mark(layer.percentOfBandwidth),
    layer.bound,
  ]);
  return { rows: [header, ...cells], right: [0, 5, 6, 7, 8, 9, 10] };
}

/** Time of a plan's steps by op and variant, the longest first; rates are those of the steps that are not counted. */
export function kernelsTable(row: ModelRow): Table {
  const groups = new Map<string, LayerRow[]>();
  for (const layer of row.layers) {
    const key = `${layer.op} ${layer.variant}`;
    groups.set(key, [...(groups.get(key) ?? []), layer]);
  }
  const all = kernelTime(row);
  const sum = (layers: readonly LayerRow[], what: 'milliseconds' | 'flops'): number =>
    layers.reduce((total, layer) => total + layer[what], 0);
  const header = ['op', 'variant', 'steps', 'ms', 'share', 'counted', 'GFLOP/s'];
  const sorted = [...groups.values()].sort((a, b) => sum(b, 'milliseconds') - sum(a, 'milliseconds'));
  const cells = sorted.map((layers) => {
    const fixed = layers.filter(({ counted }) => !counted);
    const [time, flops] = [sum(fixed, 'milliseconds'), sum(fixed, 'flops')];
    return [
      layers[0]!.op,
      layers[0]!.variant,
      String(layers.length),
      sum(layers, 'milliseconds').toFixed(2),
      percent(sum(layers, 'milliseconds') / all, 1),
      fixed.length === layers.length ? '' : String(layers.length - fixed.length),
      flops > 0 && time > 0 ? whole(flops / time / 1e6) : '',
    ];
  });
  return { rows: [header, ...cells], right: [2, 3, 4, 5, 6] };
}

export function comparisonTable({ figures }: ReportComparison): Table {
  const header = ['row', 'figure', 'before ms', 'after ms', 'change'];
  const cells = figures.map(({ row, figure, before, after, change }) => [
    row,
    figure,
    ms(before),
    ms(after),
    signed(change, 1),
  ]);
  return { rows: [header, ...cells], right: [2, 3, 4] };
}
