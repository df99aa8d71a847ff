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
  images?: string[];
  config?: Record<string, unknown>;
  settings?: Record<string, unknown>;
  labels?: number[];
  masks?: { counts: string; size: [number, number]; area: number; pixels_within_1e_3: number }[];
  state_dict?: { count: number; shapes: Record<string, number[]> };
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

test('unknown models and settings fail', async (t) => {
  const [unknown] = await runChanged('maskrcnn_v1/shapes', (file) => (file.model = 'retinanet'));
  t.regex(unknown!.note!, /unknown model "retinanet"/);
  const [setting] = await runChanged('maskrcnn_v1/shapes', (file) => (file.config!['soft_nms'] = true));
  t.regex(setting!.note!, /does not know the setting soft_nms/);
  t.deepEqual([unknown!.status, setting!.status], ['FAIL', 'FAIL']);
});

test('functions of YOLACT that are not known fail, and so do others than the stored results', async (t) => {
  const [unknown] = await runChanged('ops/yolact', (file) => (file.cases[0]!.params['fn'] = 'encode'));
  t.regex(unknown!.note!, /unknown function "encode"/);
  const changes: readonly (readonly [name: string, params: Record<string, unknown>])[] = [
    ['decode', { variances: [0.1, 0.3] }],
    ['sanitize_pad1_cast', { padding: 0 }],
    ['sanitize_pad1_float', { padding: 0 }],
    ['crop', { padding: 0 }],
    ['fast_nms', { top_k: 2 }],
    ['cc_fast_nms', { top_k: 3 }],
    ['traditional_nms', { conf_thresh: 0.95 }],
    ['priors_yolact_base_5', { use_square_anchors: false }],
  ];
  for (const [name, params] of changes) {
    const results = await runChanged('ops/yolact', (file) => {
      const found = (file.cases as (EditableCase['cases'][number] & { name: string })[]).find(
        (one) => one.name === name,
      );
      Object.assign(found!.params, params);
    });
    t.deepEqual(
      results.filter(({ status }) => status === 'FAIL').map((result) => result.name.split(' ')[1]),
      [name],
    );
  }
});

test('a case with results in the place of its inputs says so', async (t) => {
  const results = await runChanged('ops/yolact', (file) => {
    for (const one of file.cases) {
      for (const name of Object.keys(one.outputs)) if (one.inputs[name]) one.inputs[name] = one.outputs[name]!;
    }
  });
  t.deepEqual(statuses(results), ['ok']);
  t.is(results.filter(({ note }) => note?.includes('in the place of the input')).length, 7);
});

test('settings of a YOLACT that are not known, or that the model does not have, fail', async (t) => {
  const failures = async (change: (file: EditableCase) => void): Promise<string[]> => {
    const results = await runChanged('yolact_r50/tall', (file) => {
      file.images = [path.join(FIXTURES, 'images/tall.png')];
      change(file);
    });
    return results.filter(({ status }) => status === 'FAIL').map(({ name, note = '' }) => `${name}: ${note}`);
  };
  const [unknown] = await failures((file) => (file.settings!['soft_nms'] = true));
  t.regex(unknown!, /does not know the setting soft_nms/);
  const [contradicting] = await failures((file) => (file.config!['cross_class_nms'] = false));
  t.regex(contradicting!, /"cross_class_nms" is false; this runner knows true/);
  const different = await failures((file) => Object.assign(file.settings!, { top_k: 100, use_square_anchors: false }));
  t.is(different.length, 1);
  t.regex(different[0]!, /configuration: top_k is 200, expected 100; use_square_anchors is true, expected false$/);
  const results = await failures((file) => {
    file.settings!['score_threshold'] = 0.3;
  });
  t.regex(results.join(), /detections: there are \d+ detections, expected 16/);
  const masks = await failures((file) => {
    file.masks!.reverse();
  });
  t.regex(masks.join(), /masks/);
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
