/** Two reports side by side. */
import { readFileSync } from 'node:fs';
import { InstasegError } from '../runtime/errors.js';
import { SCHEMA, type BenchReport } from './report.js';

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
  /** Rows of one report only. */
  readonly onlyBefore: readonly string[];
  readonly onlyAfter: readonly string[];
  /** What makes the figures hard to compare: another machine, other settings. */
  readonly warnings: readonly string[];
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
  const { schema, kind, rows } = (value ?? {}) as Partial<BenchReport>;
  if (schema !== SCHEMA || (kind !== 'ops' && kind !== 'model') || !Array.isArray(rows)) {
    throw new InstasegError(
      'ERR_FILE',
      `'${path}' is no report of "instaseg bench --json": expected the schema ${SCHEMA}, received ${String(schema)}`,
    );
  }
  return value as BenchReport;
}

/** Medians by row and figure. */
function figuresOf(report: BenchReport): Map<string, { row: string; figure: string; median: number }> {
  const entries =
    report.kind === 'ops'
      ? report.rows.flatMap(({ model, op, name, shape, precision, hot, cold }) => {
          const row = `${model} ${op} ${name} ${shape} ${precision}`;
          return [
            { row, figure: 'hot', median: hot.median },
            { row, figure: 'cold', median: cold.median },
          ];
        })
      : report.rows.map(({ model, weights, precision, image, endToEnd }) => ({
          row: `${model} ${weights} ${precision} ${image.width}x${image.height}`,
          figure: 'end to end',
          median: endToEnd.median,
        }));
  return new Map(entries.map((entry) => [`${entry.row} ${entry.figure}`, entry]));
}

export function compareReports(before: BenchReport, after: BenchReport): ReportComparison {
  const [first, second] = [figuresOf(before), figuresOf(after)];
  const figures = [...first].flatMap(([key, { row, figure, median }]) => {
    const other = second.get(key);
    return other ? [{ row, figure, before: median, after: other.median, change: other.median / median - 1 }] : [];
  });
  const only = (these: typeof first, those: typeof first): string[] => [
    ...new Set([...these].flatMap(([key, { row }]) => (those.has(key) ? [] : [row]))),
  ];
  const differs = (what: string, a: unknown, b: unknown): string[] =>
    JSON.stringify(a) === JSON.stringify(b) ? [] : [`${what}: ${String(a)} before, ${String(b)} after`];
  return {
    figures,
    onlyBefore: only(first, second),
    onlyAfter: only(second, first),
    warnings: [
      ...differs('processor', before.machine.cpu, after.machine.cpu),
      ...differs('device', before.device.description, after.device.description),
      ...differs('threads', before.device.threads, after.device.threads),
      ...differs('instruction set', before.device.isa, after.device.isa),
      ...differs('Node', before.machine.node, after.machine.node),
    ],
  };
}
