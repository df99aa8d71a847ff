/** Stages out of profiles: they add up, whatever the times are. */
import test from 'ava';
import type { SegmentProfile } from '../../src/index.js';
import { kernelStage, stagesOf, STAGES, summarizeRuns, type ProfiledRun } from '../../src/bench/model-bench.js';

const step = (op: string, milliseconds: number, more: object = {}) => ({
  ...{ op, variant: 'avx2', counted: false, flops: 0, bytes: 10, output: [1], milliseconds },
  ...more,
});

/** A run that takes `factor` times as long as the first one. */
function run(factor = 1): ProfiledRun {
  const steps = [
    step('preprocess', 1 * factor),
    step('conv2d', 6 * factor, { label: 'conv1', flops: 3e9 }),
    step('topK', 2 * factor),
    step('linear', 4 * factor, { label: 'fc', flops: 9e9, counted: true }),
  ];
  const profile = {
    ...{ decode: 3 * factor, plan: 0.5 * factor, compiled: false, instances: 1 * factor, total: 23 * factor },
    run: { steps, inputs: 1 * factor, queued: 0.5 * factor, running: 14 * factor, total: 17 * factor },
  } as SegmentProfile;
  return { profile, json: 2 * factor, total: 25 * factor };
}

const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);

test('the stages of a run', (t) => {
  const stages = stagesOf(run());
  t.deepEqual(stages, {
    ...{ decode: 3, plan: 0.5, inputs: 1, queue: 0.5, preprocess: 1, network: 10, postprocess: 2, around: 1 },
    ...{ delivery: 1.5, instances: 1, json: 2, other: 1.5 },
  });
  t.is(sum(Object.values(stages)), 25);
  t.deepEqual(Object.keys(stages), [...STAGES]);
});

test('of several runs the middle half, all of it from the same runs', (t) => {
  const found = summarizeRuns([run(100), run(1), run(2), run(3), run(0.01), run(2), run(2), run(90)]);
  // Two are left out at each end: 0.01 and 1, 90 and 100.
  t.is(found.profiled.samples, 8);
  t.true(Math.abs(found.profiled.milliseconds - (25 * (2 + 2 + 2 + 3)) / 4) < 1e-9);
  t.true(Math.abs(sum(Object.values(found.stages)) - found.profiled.milliseconds) < 1e-9);
  const inKernels = sum(found.layers.map(({ milliseconds }) => milliseconds));
  t.true(Math.abs(1 - inKernels / found.profiled.milliseconds - found.outsideKernels) < 1e-9);
  t.is(found.gflop, 3, 'the work of counted steps is not known');
  t.true(Math.abs(found.gflops - 3e3 / (6 * 2.25)) < 1e-9);
});

test('kernels by stage', (t) => {
  const cases: [op: string, label: string | undefined, stage: string][] = [
    ['preprocess', undefined, 'preprocess'],
    ['preprocessPillow', undefined, 'preprocess'],
    ['conv2d', 'conv1', 'network'],
    ['maxPool2d', undefined, 'network'],
    ['roiAlign', undefined, 'network'],
    ['nms', undefined, 'postprocess'],
    ['softmax', undefined, 'postprocess'],
    ['pasteMasks', undefined, 'postprocess'],
  ];
  for (const [op, label, stage] of cases) t.is(kernelStage({ op, label }), stage as never, op);
});
