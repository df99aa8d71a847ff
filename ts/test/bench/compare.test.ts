/** Two reports side by side: what is the same row, what fails the gate, what is only worth a warning. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { compareReports, readReport } from '../../src/bench/compare.js';
import type { BenchReport, ModelReport, OpsReport } from '../../src/bench/report.js';

const times = (median: number, stable = true) => ({ samples: 100, min: 1, median, p95: 3, noise: 0.01, stable });
const row = (name: string, more: object = {}) => ({
  ...{ model: 'net', op: 'conv2d', name, shape: 'input=1x8x8x8', precision: 'f32', variant: 'avx2' },
  ...{ hot: times(2), cold: times(4) },
  ...more,
});
const RATES = { gflops: 100, gbps: 10 };
const HEAD = {
  schema: 'instaseg-bench/2',
  machine: { cpu: 'a', node: 'v20' },
  device: { description: 'CPU', threads: 2, isa: 'avx2' },
  settings: { precision: 'f32', samples: 100, seconds: 10, filter: 'a' },
  ceilings: { ...RATES, start: RATES, end: RATES },
};

function ops(rows: readonly object[], more: object = {}): OpsReport {
  return { ...HEAD, kind: 'ops', rows, failures: [], ...more } as unknown as OpsReport;
}

function model(more: object = {}): ModelReport {
  const image = { name: 'a.jpg', width: 64, height: 48 };
  const found = { model: 'net', weights: 'one.safetensors', precision: 'f32', image, endToEnd: times(9), ...more };
  return { ...HEAD, kind: 'model', rows: [found] } as unknown as ModelReport;
}

const warningsOf = (before: BenchReport, after: BenchReport): readonly string[] =>
  compareReports(before, after).warnings;

test('medians of the same row, hot and cold', (t) => {
  const after = ops([row('a', { hot: times(3), cold: times(4) }), row('c')]);
  const found = compareReports(ops([row('a'), row('b')]), after);
  t.deepEqual(
    found.figures.map(({ figure, before, after: now, change }) => [figure, before, now, change]),
    [
      ['hot', 2, 3, 0.5],
      ['cold', 4, 4, 0],
    ],
  );
  t.deepEqual(found.onlyBefore, ['net conv2d b input=1x8x8x8 f32']);
  t.deepEqual(found.onlyAfter, ['net conv2d c input=1x8x8x8 f32']);
  t.deepEqual(found.warnings, []);
});

test('a row that became wrong is no row of one report only', (t) => {
  const failure = { row: 'net conv2d b input=1x8x8x8 f32', code: 'ERR_WRONG_RESULT', message: 'wrong' };
  const unknown = { row: 'net conv2d z input=1x8x8x8 f32', code: 'ERR_WRONG_RESULT', message: 'wrong before too' };
  const found = compareReports(ops([row('a'), row('b')]), ops([row('a')], { failures: [failure, unknown] }));
  t.deepEqual(found.failed, [failure]);
  t.deepEqual(found.onlyBefore, []);
});

test('what makes figures hard to compare is said', (t) => {
  const one = ops([row('a'), row('b')]);
  t.deepEqual(warningsOf(one, one), []);
  t.deepEqual(warningsOf(one, ops([row('a')], { settings: { ...HEAD.settings, filter: 'b', seconds: 1 } })), [
    'seconds: 10 before, 1 after',
  ]);
  t.deepEqual(warningsOf(one, ops([row('a', { variant: 'winograd' }), row('b', { variant: 'winograd' })])), [
    'variant: avx2 before, winograd after: net conv2d a input=1x8x8x8 f32 and 3 more',
  ]);
  t.deepEqual(warningsOf(one, ops([row('a', { cold: times(4, false) })])), [
    'not stable after: net conv2d a input=1x8x8x8 f32, cold',
  ]);
  const throttled = { ...HEAD.ceilings, end: { gflops: 90, gbps: 10 } };
  t.deepEqual(warningsOf(ops([row('a')], { ceilings: throttled }), one), [
    'the machine was not steady before: at the end arithmetic -10 %, copy +0 %',
  ]);
  t.deepEqual(warningsOf(one, ops([row('a')], { machine: { cpu: 'b', node: 'v20' } })), [
    'processor: a before, b after',
  ]);
});

test('a network is the same row by its name, precision and image, wherever its weights lie', (t) => {
  const moved = compareReports(model(), model({ weights: 'two.safetensors', endToEnd: times(10) }));
  t.is(moved.figures.length, 1);
  t.deepEqual(moved.warnings, ['weights: one.safetensors before, two.safetensors after: net f32 a.jpg 64x48']);
  const other = compareReports(model(), model({ image: { name: 'b.jpg', width: 64, height: 48 } }));
  t.is(other.figures.length, 0);
});

test('what is no report is an error that says why', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'instaseg-compare-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'a.json');
  const reading = (value: unknown) => () => {
    writeFileSync(path, typeof value === 'string' ? value : JSON.stringify(value));
    return readReport(path);
  };
  t.notThrows(reading(ops([row('a')])));
  t.notThrows(reading(model()));
  const cases: [value: unknown, message: RegExp][] = [
    ['{', /cannot read the report '.*a\.json' \(it is no JSON\)/],
    [null, /expected the schema instaseg-bench\/2, received undefined/],
    [{ ...ops([]), schema: 'instaseg-bench/1' }, /received instaseg-bench\/1/],
    [{ ...ops([]), kind: 'speed' }, /expected ops or model as its kind, received speed/],
    [{ ...ops([]), ceilings: RATES }, /expected its ceilings at the start and at the end/],
    [{ ...ops([]), rows: {} }, /expected rows/],
    [ops([row('a'), {}]), /its row 1 is none/],
    [ops([row('a', { hot: {} })]), /its row 0 is none/],
    [ops([row('a', { hot: times(0) })]), /its row 0 is none/],
    [{ ...ops([]), failures: undefined }, /expected failures/],
    [model({ image: null }), /its row 0 is none/],
    [ops([row('a'), row('a')]), /it has a row twice: net conv2d a input=1x8x8x8 f32 hot/],
  ];
  for (const [value, message] of cases) t.throws(reading(value), { code: 'ERR_FILE', message });
});
