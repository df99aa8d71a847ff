/** The command line of bench: structure of reports, exit codes, errors. What it measures is no matter of tests. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import test from 'ava';
import type { BenchReport, ModelReport, OpsReport } from '../../src/bench/report.js';
import { STAGE_NAMES, type KernelStage } from '../../src/bench/model-bench.js';
import type { TraceEvent } from '../../src/bench/trace.js';
import { instaseg, temporaryFolder } from './support.js';

const folder = temporaryFolder();
test.after.always(() => folder.remove());

const SHAPES = folder.path('shapes.txt');
// The second one makes sense, but the op refuses it: an image that is larger than what it is padded to.
writeFileSync(
  SHAPES,
  'conv2d first input=1x9x9x8 outputs=8 kernel=3 times=2\npreprocess wrong image=20x30 resized=80x60 padded=64x64\n',
);
const GOOD = folder.path('good.txt');
writeFileSync(GOOD, 'conv2d first input=1x9x9x8 outputs=8 kernel=3 times=2\nsoftmax second input=5x6\n');
const NONSENSE = folder.path('nonsense.txt');
writeFileSync(NONSENSE, 'conv2d first input=1x9x9x8 outputs=0\n');
const QUICK = ['--samples', '3', '--seconds', '0.01'];

const readReport = <T extends BenchReport>(path: string): T => JSON.parse(readFileSync(path, 'utf8')) as T;

test.serial('bench ops: a report with provenance, ceilings and rows, and a table of it', async (t) => {
  const json = folder.path('ops.json');
  const { code, stdout, stderr } = await instaseg(['bench', 'ops', '--shapes', GOOD, '--json', json, ...QUICK]);
  t.is(code, 0, stderr);
  const report = readReport<OpsReport>(json);
  t.is(report.schema, 'instaseg-bench/2');
  t.is(report.kind, 'ops');
  t.regex(report.provenance.version, /^\d+\.\d+\.\d+/);
  t.regex(report.provenance.date, /^\d{4}-\d\d-\d\dT/);
  t.is(report.machine.node, process.version);
  t.truthy(report.machine.cpu);
  t.is(report.device.name, 'cpu');
  t.true(report.device.threads! >= 1);
  t.deepEqual(report.gpu, { start: null, end: null });
  t.true(report.ceilings.gflops > 0 && report.ceilings.gbps > 0);
  for (const rate of ['gflops', 'gbps'] as const) {
    const { start, end, [rate]: used } = report.ceilings;
    t.is(used, Math.max(start[rate], end[rate]));
  }
  t.is(report.rows[0]!.percentOfArithmetic, (100 * report.rows[0]!.gflops!) / report.ceilings.gflops);
  t.true(report.ceilings.byIsa['baseline']! > 0);
  t.is(report.settings['samples'], 3);
  t.deepEqual(
    report.rows.map(({ model, op, name, times, shape, precision }) => ({ model, op, name, times, shape, precision })),
    [
      {
        model: 'good',
        op: 'conv2d',
        name: 'first',
        times: 2,
        shape: 'input=1x9x9x8 outputs=8 kernel=3',
        precision: 'f32',
      },
      { model: 'good', op: 'softmax', name: 'second', times: 1, shape: 'input=5x6', precision: 'f32' },
    ],
  );
  t.is(report.rows[0]!.flops, 2 * 81 * 8 * 8 * 9);
  t.is(report.rows[0]!.hot.p95, null, 'of three samples');
  t.deepEqual(report.failures, []);
  for (const part of [
    'ceilings:',
    'first (2)',
    'softmax',
    'network',
    'input=5x6',
    'hot ms',
    'cold ms',
    'runs',
    'GFLOP/s',
  ]) {
    t.true(stdout.includes(part), part);
  }
});

test.serial(
  'bench ops: a case that cannot be measured is reported, the others are measured, and the exit code is 1',
  async (t) => {
    const json = folder.path('partly.json');
    const { code, stderr } = await instaseg(['bench', 'ops', '--shapes', SHAPES, '--json', json, ...QUICK]);
    t.is(code, 1);
    t.regex(stderr, /error ERR_\w+: shapes:2: preprocess/);
    const report = readReport<OpsReport>(json);
    t.is(report.rows.length, 1);
    t.deepEqual(
      report.failures.map(({ row, code: why }) => [row, why]),
      [['shapes preprocess wrong image=20x30 resized=80x60 padded=64x64 f32', report.failures[0]!.code]],
    );
  },
);

test.serial('bench ops: what the command line gets wrong exits with 2, a missing file too', async (t) => {
  const cases: [args: string[], message: RegExp][] = [
    [['ops', 'no such case'], /^error ERR_ARGUMENT: no case has "no such case" in it; ops are .*conv2d/],
    [
      ['ops', '--shapes', NONSENSE],
      /^error ERR_ARGUMENT: nonsense:1: expected an integer of at least 1 for outputs, received 0/,
    ],
    [
      ['ops', '--shapes', GOOD, '--variant', 'nonsense'],
      /^error ERR_ARGUMENT: variant: expected .*baseline.*"nonsense"/,
    ],
    [
      ['model', 'maskrcnn_demo', '--json', 'x', '--trace', 'x'],
      /^error ERR_ARGUMENT: --json and --trace name the same/,
    ],
    [['ops', '--samples', '0'], /--samples <n>.*Expected an integer from 1/],
    [['ops', '--precision', 'f64'], /--precision <name>.*Allowed choices are f32, tf32, f16, bf16/],
    [['ops', '--shapes', './nowhere.txt'], /^error ERR_FILE: cannot read the shapes '\.\/nowhere\.txt' \(ENOENT\)/],
    [['compare', 'a.json'], /missing required argument 'after\.json'/],
    [['compare', 'a', 'b', '--fail-above', 'much'], /--fail-above <percent>.*Expected a number/],
  ];
  for (const [args, message] of cases) {
    const { code, stdout, stderr } = await instaseg(['bench', ...args]);
    t.is(code, 2, args.join(' '));
    t.regex(stderr, message);
    t.is(stdout, '');
  }
});

test.serial('bench ops: a precision that the CPU does not have is refused', async (t) => {
  const { code, stderr } = await instaseg(['bench', 'ops', '--shapes', GOOD, '--precision', 'bf16', ...QUICK]);
  t.is(code, 3);
  t.regex(stderr, /^error ERR_UNSUPPORTED: precision bf16 needs a CUDA device/);
});

test.serial('bench model: checked, every stage, every layer, and a trace that Chrome reads', async (t) => {
  const json = folder.path('model.json');
  const trace = folder.path('trace.json');
  const { code, stdout, stderr } = await instaseg([
    ...['bench', 'model', 'maskrcnn_demo', '--profile', '--trace', trace, '--json', json],
    ...QUICK,
  ]);
  t.is(code, 0, stderr);
  const report = readReport<ModelReport>(json);
  t.is(report.kind, 'model');
  const [row] = report.rows;
  t.is(row!.model, 'maskrcnn_demo');
  t.is(row!.weights, 'bundled');
  t.true(row!.check!.right);
  t.true(row!.check!.matched > 0);
  const baseline = report.device.isa === 'baseline';
  t.is(row!.check!.against, baseline ? 'the scalar reference kernels' : 'the kernels of the baseline instruction set');
  t.is(row!.detections, row!.check!.found);
  t.deepEqual(Object.keys(row!.stages), [
    ...['decode', 'plan', 'inputs', 'queue', 'preprocess', 'network', 'postprocess', 'around', 'delivery', 'instances'],
    ...['json', 'other'],
  ]);
  for (const time of Object.values(row!.stages)) t.true(time >= 0);
  t.true(row!.compileMs > row!.stages.plan, 'compiling takes longer than looking up');
  t.true(row!.outsideKernels > 0 && row!.outsideKernels < 1);
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  t.true(Math.abs(sum(Object.values(row!.stages)) / row!.profiled.milliseconds - 1) < 1e-9, 'stages add up');
  for (const stage of ['preprocess', 'network', 'postprocess'] as const) {
    const steps = row!.layers.filter((layer) => layer.stage === stage).map(({ milliseconds }) => milliseconds);
    t.true(steps.length > 0);
    t.true(Math.abs(sum(steps) / row!.stages[stage] - 1) < 1e-9, `the steps of ${stage} are its time`);
  }
  t.is(row!.profiled.samples, row!.endToEnd.samples, 'the same runs');
  t.true(row!.peakMemory.device > 0 && row!.peakMemory.process > row!.peakMemory.device);
  const layers = new Map(row!.layers.map((layer) => [layer.layer, layer]));
  t.is(layers.get('backbone.body.conv1')?.op, 'conv2d');
  t.false(layers.get('backbone.body.conv1')!.counted);
  t.true(layers.get('roi_heads.mask_predictor.conv5_mask')?.counted, 'its rows are detections');
  t.is(layers.get('roi_heads.mask_predictor.conv5_mask')?.percentOfArithmetic, null);
  t.is(row!.layers.at(-1)?.op, 'pasteMasks');
  for (const part of [
    'image file to JSON',
    'kernels: preprocessing',
    'look the plan up',
    'backbone.body.layer1.0.conv2',
    'outside kernels',
  ]) {
    t.true(stdout.includes(part), part);
  }

  const { traceEvents } = JSON.parse(readFileSync(trace, 'utf8')) as { traceEvents: TraceEvent[] };
  const complete = traceEvents.filter(({ ph }) => ph === 'X');
  t.is(complete.filter(({ cat }) => cat !== 'stage').length, row!.layers.length);
  for (const event of complete) {
    t.truthy(event.name);
    t.true(Number.isFinite(event.ts) && event.ts >= 0 && Number.isFinite(event.dur) && event.dur >= 0);
    t.true(Number.isInteger(event.pid) && Number.isInteger(event.tid));
  }
  // Events of a track follow one another; the kernels lie within their stage.
  for (const tid of new Set(complete.map((event) => event.tid))) {
    const track = complete.filter((event) => event.tid === tid);
    for (const [i, { ts }] of track.entries()) if (i > 0) t.true(ts >= track[i - 1]!.ts + track[i - 1]!.dur - 1e-6);
  }
  const within = (ts: number): string =>
    complete.findLast((event) => event.cat === 'stage' && event.ts <= ts + 1e-9)!.name;
  for (const { name, ts, args } of complete.filter(({ cat }) => cat !== 'stage')) {
    t.is(within(ts), STAGE_NAMES[args['stage'] as KernelStage], name);
  }
});

test.serial('bench model: names that mean nothing, images that are not there', async (t) => {
  const cases: [args: string[], exit: number, message: RegExp][] = [
    [['resnet', '--random-weights'], 2, /random weights exist for maskrcnn_resnet50_fpn, .*received "resnet"/],
    [['maskrcnn_demo', '--image', './no.jpg'], 3, /^error ERR_FILE: cannot read the image '\.\/no\.jpg' \(ENOENT\)/m],
    [['./no.safetensors'], 3, /^error ERR_FILE: .*no\.safetensors/m],
  ];
  for (const [args, exit, message] of cases) {
    const { code, stderr } = await instaseg(['bench', 'model', ...args, ...QUICK]);
    t.is(code, exit, args.join(' '));
    t.regex(stderr, message);
  }
});

test.serial('bench: files that cannot be written are refused before anything is measured', async (t) => {
  const missing = folder.path('no-folder', 'out.json');
  const cases = [
    ['ops', '--shapes', GOOD, '--json', missing],
    ['model', 'maskrcnn_demo', '--trace', missing],
  ];
  for (const args of cases) {
    // Measuring for a day would not go unnoticed.
    const { code, stdout, stderr } = await instaseg(['bench', ...args, '--samples', '1000000', '--seconds', '86400']);
    t.is(code, 1);
    t.regex(stderr, /^error ERR_FILE: .*out\.json: cannot be written \(ENOENT\)/);
    t.is(stdout, '');
  }
  const kept = folder.path('kept.json');
  writeFileSync(kept, 'before');
  const fresh = folder.path('fresh.json');
  for (const path of [kept, fresh]) {
    const { code } = await instaseg(['bench', 'model', './no.safetensors', '--json', path]);
    t.is(code, 3);
  }
  t.is(readFileSync(kept, 'utf8'), 'before', 'what was there stays');
  t.false(existsSync(fresh), 'an empty file is not left behind');
});

test.serial('bench model: on the baseline level the reference kernels are what it is compared with', async (t) => {
  const json = folder.path('baseline.json');
  const args = ['bench', 'model', 'maskrcnn_demo', '--isa', 'baseline', '--json', json, ...QUICK];
  const { code, stderr } = await instaseg(args);
  t.is(code, 0, stderr);
  const [row] = readReport<ModelReport>(json).rows;
  t.is(row!.check?.against, 'the scalar reference kernels');
  t.true(row!.check!.right);
});

/** A report with one row, its times multiplied. */
function scaled(report: OpsReport, factor: number, rows = report.rows): OpsReport {
  return {
    ...report,
    rows: rows.map((row) => ({
      ...row,
      hot: { ...row.hot, median: row.hot.median * factor },
      cold: { ...row.cold, median: row.cold.median * factor },
    })),
  };
}

test.serial('bench compare: changes, partial overlap, and an exit code for what became slower', async (t) => {
  const report = readReport<OpsReport>(folder.path('ops.json'));
  const write = (name: string, value: unknown): string => {
    writeFileSync(folder.path(name), JSON.stringify(value));
    return folder.path(name);
  };
  const before = write('before.json', report);
  const slower = write('slower.json', scaled(report, 1.1));
  const faster = write('faster.json', scaled(report, 0.5));
  const partial = write('partial.json', scaled(report, 1, report.rows.slice(0, 1)));
  const other = write(
    'other.json',
    scaled(
      report,
      1,
      report.rows.map((row) => ({ ...row, name: 'else' })),
    ),
  );
  const broken = write('broken.json', { rows: [] });

  const shown = await instaseg(['bench', 'compare', before, slower]);
  t.is(shown.code, 0, 'without a limit nothing fails');
  t.regex(shown.stdout, /conv2d first .*hot .*\+10\.0 %/);
  const failed = await instaseg(['bench', 'compare', before, slower, '--fail-above', '5%']);
  t.is(failed.code, 1);
  t.regex(failed.stderr, /^slower: good conv2d first .* hot: \+10\.0 %$/m);
  t.is((await instaseg(['bench', 'compare', before, slower, '--fail-above', '15'])).code, 0);
  t.is((await instaseg(['bench', 'compare', before, faster, '--fail-above', '5%'])).code, 0);
  t.is((await instaseg(['bench', 'compare', before, before, '--fail-above', '0%'])).code, 0);

  const overlapping = await instaseg(['bench', 'compare', before, partial, '--json', '-']);
  t.is(overlapping.code, 0);
  const comparison = JSON.parse(overlapping.stdout) as {
    figures: unknown[];
    onlyBefore: string[];
    onlyAfter: string[];
  };
  t.is(comparison.figures.length, 2);
  t.is(comparison.onlyBefore.length, 1);
  t.deepEqual(comparison.onlyAfter, []);

  // A row that fails afterwards fails the gate, whatever the others do; --json takes a file as elsewhere.
  const { model, op, name: of, shape, precision } = report.rows[1]!;
  const failure = { row: [model, op, of, shape, precision].join(' '), code: 'ERR_WRONG_RESULT', message: 'wrong' };
  const wrong = write('wrong.json', { ...scaled(report, 1, report.rows.slice(0, 1)), failures: [failure] });
  const out = folder.path('comparison.json');
  const gated = await instaseg(['bench', 'compare', before, wrong, '--fail-above', '5%', '--json', out]);
  t.is(gated.code, 1);
  t.regex(gated.stderr, /^failed: good softmax second input=5x6 f32: ERR_WRONG_RESULT$/m);
  t.deepEqual((JSON.parse(readFileSync(out, 'utf8')) as { failed: unknown }).failed, [failure]);

  const nothing = await instaseg(['bench', 'compare', before, other]);
  t.is(nothing.code, 2);
  t.regex(nothing.stderr, /have no row in common/);
  const unreadable = await instaseg(['bench', 'compare', before, broken]);
  t.is(unreadable.code, 1);
  t.regex(unreadable.stderr, /^error ERR_FILE: '.*broken\.json' is no report of "instaseg bench --json"/);
});
