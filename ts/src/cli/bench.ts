/** instaseg bench: how fast single ops and whole networks are here, checked before they are timed. */
import { closeSync, existsSync, openSync, rmSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { OpPrecision } from '../bench/check.js';
import type { ReportComparison } from '../bench/compare.js';
import type { Table } from '../bench/tables.js';
import { InstasegError, type DeviceName, type DeviceOptions } from '../index.js';
import { downloadProgress } from './download-progress.js';
import { CommandFailure, EXIT, step, usageError, type ExitCode } from './exit.js';
import { deviceOption, fromZero, integer, isaOption, precisionOption, threadsOption } from './options.js';
import type { AddCommand, Context } from './program.js';
import { formatTable } from './terminal.js';

interface CommonFlags extends Pick<DeviceOptions, 'threads' | 'isa'> {
  readonly device: DeviceName;
  readonly precision: OpPrecision;
  readonly samples: number;
  readonly seconds: number;
  readonly json?: string;
}

interface OpsFlags extends CommonFlags {
  readonly shapes?: string[];
  readonly variant?: string;
}

interface ModelFlags extends CommonFlags {
  readonly randomWeights?: boolean;
  readonly image?: string;
  readonly profile?: boolean;
  readonly trace?: string;
}

const HELP = `
Every result is compared with the scalar reference (ops) or with kernels of another kind (networks) before it is timed;
one that is wrong is an error, not a figure. Percentages refer to ceilings that are measured first: multiply-adds and a
copy of a buffer that no cache holds. docs/benchmarks.md says what every column means.

Examples:
  $ instaseg bench ops                                   every shape of Mask R-CNN R50-FPN and YOLACT++ R50
  $ instaseg bench ops "conv2d layer3" --json a.json     some of them, as JSON too
  $ instaseg bench model maskrcnn_demo --profile         a network of the package, layer by layer
  $ instaseg bench model maskrcnn_resnet50_fpn --random-weights --trace trace.json
  $ instaseg bench compare a.json b.json --fail-above 5%`;

interface CompareFlags {
  readonly failAbove?: number;
  readonly json?: string;
}

export const addBenchCommand: AddCommand = (program, context, done) => {
  const bench = program
    .command('bench')
    .summary('measure ops and networks on this machine')
    .description('Measure ops and networks on this machine')
    .addHelpText('after', HELP);
  addOps(bench, context, done);
  addModel(bench, context, done);
  addCompare(bench, context, done);
};

const common = (command: Command): Command =>
  command
    .addOption(deviceOption())
    .addOption(threadsOption())
    .addOption(isaOption())
    .addOption(precisionOption())
    .option('--samples <n>', 'timed runs of each figure, unless the seconds are over first', integer(1, 1_000_000), 100)
    .option('--seconds <s>', 'the most for each figure; a fifth of it for warming up', fromZero, 10)
    .option('--json <out.json>', 'write the report; - for stdout, instead of the table')
    .option('--verbose', "errors' stacks")
    .option('--quiet', 'print errors only');

const addOps = (bench: Command, context: Context, done: (code: ExitCode) => void): void => {
  common(
    bench
      .command('ops')
      .summary('single ops at the shapes of networks')
      .description('Single ops at the shapes of networks, checked, then timed with warm and with cold caches')
      .argument('[filter]', 'only cases with this text in "network op name", in any case'),
  )
    .option('--shapes <name|file...>', 'shape files: of the package by name, or your own')
    .option('--variant <name>', 'prefer kernels of this variant (listKernels() of the API has them)')
    .action(async (filter: string | undefined, flags: OpsFlags) => done(await benchOps(filter, flags, context)));
};

const addModel = (bench: Command, context: Context, done: (code: ExitCode) => void): void => {
  common(
    bench
      .command('model')
      .summary('a whole network, from image file to instances')
      .description('A whole network, from image file to instances with masks, and where its time goes')
      .argument('<name|file>', 'maskrcnn_demo, yolactplus_demo, a published model ("pull --list"), or a weights file'),
  )
    .option('--random-weights', 'seeded random weights: nothing is downloaded, detections mean nothing')
    .option('--image <file>', 'the image; by default a drawn scene, at 640 x 480 for networks of full size')
    .option('--profile', 'show every layer')
    .option('--trace <out.json>', 'write the profile for chrome://tracing or Perfetto')
    .action(async (name: string, flags: ModelFlags) => done(await benchModel(name, flags, context)));
};

const addCompare = (bench: Command, context: Context, done: (code: ExitCode) => void): void => {
  bench
    .command('compare')
    .summary('two reports side by side')
    .description('Medians of two reports side by side; rows that only one of them was run for are left out')
    .argument('<before.json>')
    .argument('<after.json>')
    .option('--fail-above <percent>', 'exit with 1 where a figure became slower by more, or failed', percentage)
    .option('--json <out.json>', 'write the comparison; - for stdout, instead of the table')
    .option('--verbose', "errors' stacks")
    .option('--quiet', 'print errors only')
    .action(async (before: string, after: string, flags: CompareFlags) =>
      done(await compare(before, after, flags, context)),
    );
};

/** "5%" or "5": a fraction. */
function percentage(text: string): number {
  const value = fromZero(text.replace(/\s*%$/, ''));
  return value / 100;
}

async function benchOps(filter: string | undefined, flags: OpsFlags, { terminal, signal }: Context): Promise<ExitCode> {
  // Loaded here, so that other commands do not pay for it.
  const [{ chooseCases, runOpsBench }, { describeReport, footnotes, opsTable }] = await Promise.all([
    import('../bench/run.js'),
    import('../bench/tables.js'),
  ]);
  const { json, ...options } = flags;
  const cases = await step(
    EXIT.usage,
    attempt(() => chooseCases({ filter, shapes: flags.shapes })),
  );
  return withTargets({ json }, terminal, async (write) => {
    const progress = terminal.progress(cases.length, '{bar} {value} / {total} cases, {eta_formatted} left');
    const report = await step(
      EXIT.model,
      runOpsBench({
        ...options,
        filter,
        signal,
        onRow: (number, _, row) => {
          progress.update(number);
          if (row instanceof InstasegError) terminal.report(row);
        },
      }),
    ).finally(() => progress.stop());
    if (json !== '-') {
      terminal.print(describeReport(report));
      if (report.rows.length > 0) terminal.print(format(opsTable(report)));
      footnotes(report).forEach((text) => terminal.print(text));
    }
    write('json', report);
    return report.failures.length > 0 ? EXIT.failed : EXIT.ok;
  });
}

async function benchModel(name: string, flags: ModelFlags, { terminal, signal }: Context): Promise<ExitCode> {
  const [{ runModelBench }, tables, { chromeTrace }] = await Promise.all([
    import('../bench/run.js'),
    import('../bench/tables.js'),
    import('../bench/trace.js'),
  ]);
  const { json, trace, profile = false, randomWeights = false, ...options } = flags;
  return withTargets({ json, trace }, terminal, async (write) => {
    const download = downloadProgress(terminal);
    const report = await step(
      EXIT.model,
      runModelBench(name, {
        ...options,
        randomWeights,
        signal,
        onDownload: download.report,
        note: (text) => terminal.note(`${name}: ${text}`),
      }),
    ).finally(() => download.stop());
    if (json !== '-' && trace !== '-') {
      terminal.print(tables.describeReport(report));
      for (const row of report.rows) {
        terminal.print(`\n${row.model}, ${row.precision}`);
        terminal.print(format(tables.modelTable(row, report)));
        if (profile) terminal.print(`\n${format(tables.layersTable(row, report))}`);
        terminal.print(`\n${format(tables.kernelsTable(row))}`);
      }
      tables.footnotes(report).forEach((text) => terminal.print(text));
    }
    write('json', report);
    write('trace', chromeTrace(report.rows[0]!));
    return EXIT.ok;
  });
}

async function compare(
  before: string,
  after: string,
  { failAbove, json }: CompareFlags,
  { terminal }: Context,
): Promise<ExitCode> {
  const [{ compareReports, readReport }, { comparisonTable }] = await Promise.all([
    import('../bench/compare.js'),
    import('../bench/tables.js'),
  ]);
  const comparison: ReportComparison = await step(
    EXIT.failed,
    attempt(() => compareReports(readReport(before), readReport(after))),
  );
  const { figures, failed, onlyBefore, onlyAfter, warnings } = comparison;
  if (figures.length === 0 && failed.length === 0) throw usageError(`${before} and ${after} have no row in common`);
  const slower = failAbove === undefined ? [] : figures.filter(({ change }) => change > failAbove);
  return withTargets({ json }, terminal, (write) => {
    if (json !== '-') {
      for (const warning of warnings) terminal.error(`warning: ${warning}`);
      if (figures.length > 0) terminal.print(format(comparisonTable(comparison)));
      if (onlyBefore.length > 0) terminal.note(`only in ${before}: ${onlyBefore.length} rows`);
      if (onlyAfter.length > 0) terminal.note(`only in ${after}: ${onlyAfter.length} rows`);
    }
    write('json', { ...comparison, slower });
    for (const { row, code } of failed) terminal.error(`failed: ${row}: ${code}`);
    for (const { row, figure, change } of slower) {
      terminal.error(`slower: ${row}, ${figure}: +${(100 * change).toFixed(1)} %`);
    }
    const passes = slower.length === 0 && (failAbove === undefined || failed.length === 0);
    return Promise.resolve(passes ? EXIT.ok : EXIT.failed);
  });
}

/** What `work` gives or throws, as a promise. */
const attempt = <T>(work: () => T): Promise<T> => new Promise((resolve) => resolve(work()));

const format = ({ rows, right }: Table): string => formatTable(rows, right);

type Targets = Readonly<Record<string, string | undefined>>;

/**
 * Opens the files that a command writes, by their options, before its work: a folder that is not there shows at once and
 * not after minutes. What was in a file stays until there is something new; one that was made here and got nothing is
 * removed again.
 */
async function withTargets(
  targets: Targets,
  terminal: Context['terminal'],
  work: (write: (target: string, value: unknown) => void) => Promise<ExitCode>,
): Promise<ExitCode> {
  const paths = Object.entries(targets).filter(([, path]) => path !== undefined) as [string, string][];
  if (new Set(paths.map(([, path]) => path)).size < paths.length) {
    throw usageError(`${paths.map(([name]) => `--${name}`).join(' and ')} name the same file`);
  }
  const made = new Set<string>();
  const tryTo = (path: string, act: () => void): void => {
    try {
      act();
    } catch (cause) {
      const reason = (cause as NodeJS.ErrnoException).code ?? String(cause);
      const error = new InstasegError('ERR_FILE', `${path}: cannot be written (${reason})`, { cause });
      throw new CommandFailure(EXIT.failed, error);
    }
  };
  const write = (name: string, value: unknown): void => {
    const path = targets[name];
    if (path === undefined) return;
    const text = `${JSON.stringify(value, null, 1)}\n`;
    if (path === '-') return terminal.write(text);
    tryTo(path, () => writeFileSync(path, text));
    made.delete(path);
  };
  try {
    for (const [, path] of paths) {
      if (path === '-') continue;
      const isNew = !existsSync(path);
      tryTo(path, () => closeSync(openSync(path, 'a')));
      if (isNew) made.add(path);
    }
    return await work(write);
  } finally {
    made.forEach((path) => rmSync(path, { force: true }));
  }
}
