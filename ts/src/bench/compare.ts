/** Two reports side by side. */
import { readFileSync } from 'node:fs';
import { InstasegError } from '../runtime/errors.js';
import { drift, isSteady } from './ceilings.js';
import { rowName, SCHEMA, type BenchReport, type OpFailure } from './report.js';
import type { Statistics } from './samples.js';

/** A figure that both reports have. */
export interface Comparison {
  readonly row: string;
  /** "hot", "cold" or "end to end". */
  readonly figure: string;
  /** Medians in milliseconds. */
  readonly before: number;
  readonly after: number;
  /** after / before - 1: above 0 it became slower. */
  readonly change: number;
}

export interface ReportComparison {
  readonly figures: readonly Comparison[];
  /** Rows that were measured before and failed after: a wrong result above all. */
  readonly failed: readonly OpFailure[];
  /** Rows of one report only. */
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
  /** What makes the figures hard to compare: another machine, other settings or kernels, times that were not stable. */
  readonly warnings: readonly string[];
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null;
const areStrings = (value: Json, ...keys: string[]): boolean => keys.every((key) => typeof value[key] === 'string');
const areNumbers = (value: unknown, ...keys: string[]): boolean =>
  isObject(value) && keys.every((key) => typeof value[key] === 'number' && value[key] > 0);
const areTimes = (value: unknown): boolean => areNumbers(value, 'median', 'samples');

function isRow(kind: BenchReport['kind'], row: unknown): boolean {
  if (!isObject(row) || !areStrings(row, 'model', 'precision')) return false;
  if (kind === 'ops')
    return areStrings(row, 'op', 'name', 'shape', 'variant') && areTimes(row['hot']) && areTimes(row['cold']);
  const { image } = row;
  return (
    areTimes(row['endToEnd']) && isObject(image) && areStrings(image, 'name') && areNumbers(image, 'width', 'height')
  );
}

/** What is wrong with a report, or undefined. */
function problemOf(value: unknown): string | undefined {
  const report = isObject(value) ? value : {};
  const { schema, kind, rows, failures, machine, device, settings, ceilings } = report;
  if (schema !== SCHEMA) return `expected the schema ${SCHEMA}, received ${String(schema)}`;
  if (kind !== 'ops' && kind !== 'model') return `expected ops or model as its kind, received ${String(kind)}`;
  if (![machine, device, settings].every(isObject)) return 'expected its machine, device and settings';
  const rated = (rates: unknown): boolean => areNumbers(rates, 'gflops', 'gbps');
  if (!isObject(ceilings) || !rated(ceilings['start']) || !rated(ceilings['end'])) {
    return 'expected its ceilings at the start and at the end';
  }
  if (!Array.isArray(rows)) return 'expected rows';
  const bad = rows.findIndex((row) => !isRow(kind, row));
  if (bad >= 0) return `its row ${bad} is none: expected a name and times`;
  const isFailure = (each: unknown): boolean => isObject(each) && areStrings(each, 'row', 'code', 'message');
  if (kind === 'ops' && !(Array.isArray(failures) && failures.every(isFailure))) return 'expected failures';
  const names = entriesOf(report as unknown as BenchReport).map(({ key }) => key);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  return twice === undefined ? undefined : `it has a row twice: ${twice}`;
}

/** @throws InstasegError ERR_FILE for a file that cannot be read or is no report */
export function readReport(path: string): BenchReport {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code ?? 'it is no JSON';
    throw new InstasegError('ERR_FILE', `cannot read the report '${path}' (${reason})`, { cause });
  }
  const problem = problemOf(value);
  if (problem === undefined) return value as BenchReport;
  throw new InstasegError('ERR_FILE', `'${path}' is no report of "instaseg bench --json": ${problem}`);
}

/** A figure of a report; `variant` and `weights` are what may change while it stays the same row. */
interface Entry {
  readonly key: string;
  readonly row: string;
  readonly figure: string;
  readonly times: Statistics;
  readonly variant?: string;
  readonly weights?: string;
}

function entriesOf(report: BenchReport): Entry[] {
  if (report.kind === 'model') {
    return report.rows.map(({ model, weights, precision, image, endToEnd }) => {
      const row = `${model} ${precision} ${image.name} ${image.width}x${image.height}`;
      return { key: row, row, figure: 'end to end', times: endToEnd, weights };
    });
  }
  return report.rows.flatMap((each) => {
    const row = rowName(each);
    const figures = { hot: each.hot, cold: each.cold };
    return Object.entries(figures).map(([figure, times]) => {
      return { key: `${row} ${figure}`, row, figure, times, variant: each.variant };
    });
  });
}

const show = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'none'));

/** What two values are, where they differ. */
const differs = (what: string, a: unknown, b: unknown): string[] =>
  JSON.stringify(a) === JSON.stringify(b) ? [] : [`${what}: ${show(a)} before, ${show(b)} after`];

/** Settings that figures depend on; which rows were chosen is no matter. */
const SETTINGS = ['precision', 'variant', 'samples', 'seconds', 'randomWeights'];

/** Which sentences, how often, and an example of each. */
function counted(found: readonly (readonly [text: string, row: string])[]): string[] {
  const rows = new Map<string, string[]>();
  for (const [text, row] of found) rows.set(text, [...(rows.get(text) ?? []), row]);
  return [...rows].map(([text, [first, ...more]]) =>
    more.length === 0 ? `${text}: ${first}` : `${text}: ${first} and ${more.length} more`,
  );
}

/** What is to be known of one of the reports. */
function ownWarnings(when: 'before' | 'after', report: BenchReport, entries: readonly Entry[]): string[] {
  const { gflops, gbps } = drift(report.ceilings);
  const percent = (change: number): string => `${change >= 0 ? '+' : ''}${(100 * change).toFixed(0)} %`;
  return [
    ...(isSteady(report.ceilings)
      ? []
      : [`the machine was not steady ${when}: at the end arithmetic ${percent(gflops)}, copy ${percent(gbps)}`]),
    ...counted(
      entries.flatMap(({ row, figure, times }) =>
        times.stable ? [] : [[`not stable ${when}`, `${row}, ${figure}`] as const],
      ),
    ),
  ];
}

export function compareReports(before: BenchReport, after: BenchReport): ReportComparison {
  const [these, those] = [entriesOf(before), entriesOf(after)];
  const [first, second] = [these, those].map((entries) => new Map(entries.map((entry) => [entry.key, entry])));
  const both = these.flatMap((entry) => {
    const other = second!.get(entry.key);
    return other ? [[entry, other] as const] : [];
  });
  const failures = new Map((after.kind === 'ops' ? after.failures : []).map((failure) => [failure.row, failure]));
  const rowsOf = (entries: readonly Entry[]): string[] => [...new Set(entries.map(({ row }) => row))];
  const failed = rowsOf(these).flatMap((row) => failures.get(row) ?? []);
  const only = (entries: readonly Entry[], others: ReadonlyMap<string, Entry>): string[] =>
    rowsOf(entries.filter(({ key }) => !others.has(key)));
  return {
    figures: both.map(([{ row, figure, times }, other]) => ({
      row,
      figure,
      before: times.median,
      after: other.times.median,
      change: other.times.median / times.median - 1,
    })),
    failed,
    onlyBefore: only(these, second!).filter((row) => !failures.has(row)),
    onlyAfter: only(those, first!),
    warnings: [
      ...differs('processor', before.machine.cpu, after.machine.cpu),
      ...differs('device', before.device.description, after.device.description),
      ...differs('threads', before.device.threads, after.device.threads),
      ...differs('instruction set', before.device.isa, after.device.isa),
      ...differs('Node', before.machine.node, after.machine.node),
      ...SETTINGS.flatMap((key) => differs(key, before.settings[key], after.settings[key])),
      ...counted(
        both.flatMap(([{ row, variant, weights }, other]) => [
          ...differs('variant', variant, other.variant).map((text) => [text, row] as const),
          ...differs('weights', weights, other.weights).map((text) => [text, row] as const),
        ]),
      ),
      ...ownWarnings('before', before, these),
      ...ownWarnings('after', after, those),
    ],
  };
}
