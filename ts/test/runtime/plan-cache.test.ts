import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { Device, InstasegError, ops, Tensor, type SymbolicTensor } from '../../src/index.js';
import { PlanCache } from '../../src/runtime/plan-cache.js';
import type { Plan } from '../../src/runtime/plan.js';

let device: Device;
test.before(async () => {
  device = await Device.open('cpu', { threads: 1 });
});
test.after.always(() => device.dispose());

type Cached = Plan<SymbolicTensor>;

const compile = (): Promise<Cached> =>
  device.compile([{ dtype: 'f32', shape: [2] }], (x): SymbolicTensor => ops.relu(x));

const run = async (plan: Cached): Promise<number[]> => [
  ...(await plan.run([Tensor.from(Float32Array.of(-1, 2))])).data,
];

/** What a plan that was disposed of says. */
const disposed = { instanceOf: InstasegError, code: 'ERR_DISPOSED' };

test('a plan is compiled once and used by all', async (t) => {
  const cache = new PlanCache<SymbolicTensor>(1e9);
  let compiled = 0;
  const counted = (): Promise<Cached> => {
    compiled += 1;
    return compile();
  };
  const results = await Promise.all(['a', 'a', 'b', 'a'].map((key) => cache.use(key, counted, run)));
  t.deepEqual(results, Array<number[]>(4).fill([0, 2]));
  t.is(compiled, 2);
  t.is(cache.size, 2);
});

test('a plan that is cleared while it compiles or is in use works until its last use ends', async (t) => {
  const cache = new PlanCache<SymbolicTensor>(1e9);
  let plan!: Cached;
  const seen = (compiled: Cached): Promise<number[]> => run((plan = compiled));
  const compiling = [cache.use('a', compile, seen), cache.use('a', compile, seen)];
  cache.clear();
  t.is(cache.size, 0);
  t.deepEqual(await Promise.all(compiling), [
    [0, 2],
    [0, 2],
  ]);
  await t.throwsAsync(run(plan), disposed);

  const using = cache.use('a', compile, async (compiled) => {
    plan = compiled;
    cache.clear();
    await nextTurn();
    return run(compiled);
  });
  t.deepEqual(await using, [0, 2]);
  await t.throwsAsync(run(plan), disposed);
});

test('clearing disposes of idle plans at once, and a plan above the limit goes when nobody uses it', async (t) => {
  const keep = (plan: Cached): Promise<Cached> => Promise.resolve(plan);
  const cache = new PlanCache<SymbolicTensor>(1);
  const first = await cache.use('a', compile, keep);
  t.deepEqual(await run(first), [0, 2]);
  const second = await cache.use('b', compile, keep);
  await t.throwsAsync(run(first), disposed);
  cache.clear();
  await t.throwsAsync(run(second), disposed);
});

test('a failed compilation is forgotten, a failed use is not a failed compilation', async (t) => {
  const cache = new PlanCache<SymbolicTensor>(1e9);
  await t.throwsAsync(
    cache.use('a', () => Promise.reject(new Error('failed')), run),
    { message: 'failed' },
  );
  t.is(cache.size, 0);
  await t.throwsAsync(
    cache.use('a', compile, () => Promise.reject(new Error('failed'))),
    { message: 'failed' },
  );
  t.is(cache.size, 1);
  t.deepEqual(await cache.use('a', () => Promise.reject(new Error('compiled again')), run), [0, 2]);
});
