/** The comparison itself: what it must not let pass. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test from 'ava';
import { Device } from '../../src/index.js';
import { findCases } from './case-files.js';
import { compareValues, failed, worstOf } from './compare.js';
import { decodeMask } from './rle.js';
import { Runner, type CaseResult } from './run-cases.js';

const FIXTURES = path.resolve(__dirname, '../../../ts/test/fixtures');

interface EditableCase {
  op?: string;
  model?: string;
  config?: Record<string, unknown>;
  tensors_sha256?: string;
  tolerances: Record<string, number>;
  cases: { params: Record<string, unknown>; inputs: Record<string, string>; outputs: Record<string, string> }[];
}

/** The results of a fixture after a change to its case.json. */
async function runChanged(fixture: string, change: (file: EditableCase) => void): Promise<CaseResult[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'instaseg-case-'));
  const device = await Device.open('cpu', { threads: 1 });
  const runner = new Runner(device);
  try {
    cpSync(path.join(FIXTURES, fixture), folder, { recursive: true });
    const caseFile = path.join(folder, 'case.json');
    const file = JSON.parse(readFileSync(caseFile, 'utf8')) as EditableCase;
    change(file);
    writeFileSync(caseFile, JSON.stringify(file));
    const results: CaseResult[] = [];
    for await (const result of runner.run(findCases(folder).cases[0]!)) results.push(result);
    return results;
  } finally {
    await runner.close();
    await device.dispose();
    rmSync(folder, { recursive: true });
  }
}

const statuses = (results: readonly CaseResult[]): string[] => [...new Set(results.map(({ status }) => status))];

test('a fixture passes as it is', async (t) => {
  t.deepEqual(statuses(await runChanged('ops/linear', () => undefined)), ['ok']);
});

test('unknown ops, parameters, inputs and outputs fail', async (t) => {
  const changes: Record<string, (file: EditableCase) => void> = {
    'unknown op "no_such_op"': (file) => (file.op = 'no_such_op'),
    'does not know axis': (file) => (file.cases[0]!.params['axis'] = 1),
    'does not know scale': (file) => (file.cases[0]!.inputs['scale'] = file.cases[0]!.inputs['bias']!),
    'does not know indices': (file) => (file.cases[0]!.outputs['indices'] = file.cases[0]!.outputs['output']!),
    'no tensor "weight"': (file) => (file.cases[0]!.inputs['weight'] = 'elsewhere'),
    'no tolerances': (file) => (file.cases = []),
    'SHA-256': (file) => (file.tensors_sha256 = '00'),
  };
  for (const [note, change] of Object.entries(changes)) {
    const results = await runChanged('ops/linear', change);
    const failures = results.filter(({ status }) => status === 'FAIL');
    t.true(failures.length > 0 && failures.every((failure) => failure.note?.includes(note)), note);
  }
  const results = await runChanged('ops/interpolate', (file) => (file.cases[0]!.params['mode'] = 'bicubic'));
  t.is(results[0]!.status, 'FAIL');
});

test('the tolerances of the case bind', async (t) => {
  const results = await runChanged('ops/conv2d', (file) => (file.tolerances = { rtol: 0, atol: 0 }));
  t.true(results.some(({ status, difference }) => status === 'FAIL' && difference > 0 && difference < 1e-3));
});

test('unknown models and settings fail, models of later versions are listed', async (t) => {
  const [unknown] = await runChanged('maskrcnn_v1/shapes', (file) => (file.model = 'retinanet'));
  t.regex(unknown!.note!, /unknown model "retinanet"/);
  const [setting] = await runChanged('maskrcnn_v1/shapes', (file) => (file.config!['soft_nms'] = true));
  t.regex(setting!.note!, /does not know the setting soft_nms/);
  t.deepEqual([unknown!.status, setting!.status], ['FAIL', 'FAIL']);
  t.deepEqual(statuses(await runChanged('maskrcnn_v1/shapes', (file) => (file.model = 'yolact_base'))), ['later']);
  t.deepEqual(statuses(await runChanged('ops/linear', (file) => (file.op = 'deform_conv2d'))), ['later']);
});

test('compareValues finds the element that is worst for what it may differ', (t) => {
  t.deepEqual(compareValues([100.5, 0.02], [100, 0], { rtol: 0.01, atol: 0.01 }), {
    difference: 0.02,
    allowed: 0.01,
    ok: false,
    note: 'element 1 is 0.02, expected 0',
  });
  t.true(compareValues([NaN, Infinity, -0], [NaN, Infinity, 0], { rtol: 0, atol: 0 }).ok);
  for (const actual of [NaN, Infinity, -Infinity]) t.false(compareValues([actual], [1], { rtol: 1, atol: 1 }).ok);
  for (const expected of [NaN, Infinity]) t.false(compareValues([1], [expected], { rtol: 1, atol: 1 }).ok);
  t.false(compareValues([1], [1, 2], { rtol: 1, atol: 1 }).ok);
  const fine = { difference: 1, allowed: 2, ok: true };
  t.is(worstOf([fine, failed('broken')]).note, 'broken');
  t.is(worstOf([{ ...fine, difference: 0 }, fine]), fine);
});

test('decodeMask reads run lengths by columns', (t) => {
  // 1, 2, 1, 1, 1: the third run on is stored as the difference to the one before last.
  t.deepEqual([...decodeMask({ size: [2, 3], counts: '121O0' })], [0, 1, 1, 1, 0, 0]);
});
