/** What the function given to run and compile may return: the types refuse the rest, and so does the call. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { Device, InstasegError, ops, Tensor, type SymbolicTensor } from '../../src/index.js';

const x = Tensor.zeros([1, 1, 4]);
const scores = Tensor.zeros([1, 1]);

test('arrays and objects of tensors, as ops return them, may be returned', async (t) => {
  await using device = await Device.open('cpu', { threads: 1 });
  const { indices } = await device.run(() => ops.nms(x, scores, { iouThreshold: 0.5 }));
  t.is(indices.dtype, 'i32');
  const [{ again }, same] = await device.run(() => [{ again: ops.relu(x) }, ops.relu(x)] as const);
  t.deepEqual([again.shape, same.shape], [x.shape, x.shape]);
  const plan = await device.compile([{ dtype: 'f32', shape: [2] }], (input) => ({ output: ops.relu(input) }));
  t.deepEqual([...(await plan.run([Tensor.from(Float32Array.of(-1, 1))])).output.data], [0, 1]);
});

test('anything else is refused by the compiler and by the call, which leaves no rejection unobserved', async (t) => {
  await using device = await Device.open('cpu', { threads: 1 });
  const unobserved: unknown[] = [];
  const note = (reason: unknown): void => void unobserved.push(reason);
  process.on('unhandledRejection', note);
  const refused = async (work: Promise<unknown>, message: RegExp): Promise<void> => {
    await t.throwsAsync(work, { instanceOf: InstasegError, code: 'ERR_ARGUMENT', message });
    await nextTurn();
  };
  try {
    const [result, promise, nested] = [/must return tensors/, /must not be async/, /cannot be nested/];
    const late = async (): Promise<SymbolicTensor> => {
      await nextTurn();
      return ops.relu(x);
    };
    // @ts-expect-error: a number
    const number = device.run(() => 3);
    await refused(number, result);
    // @ts-expect-error: nothing
    const nothing = device.run(() => undefined);
    await refused(nothing, result);
    // @ts-expect-error: a tensor that no op made
    const tensor = device.run(() => Tensor.zeros([1]));
    await refused(tensor, result);
    // @ts-expect-error: a promise
    const early = device.run(() => Promise.resolve(ops.relu(x)));
    await refused(early, promise);
    // @ts-expect-error: a promise that rejects, since the recording has ended when its op is called
    const rejecting = device.run(late);
    await refused(rejecting, promise);
    // @ts-expect-error: such a promise within a result
    const within = device.run(() => ({ late: late() }));
    await refused(within, result);
    // @ts-expect-error: one run within another
    const twice = device.run(() => device.run(() => ops.relu(x)));
    await refused(twice, nested);
    // @ts-expect-error: a run within the function of a plan
    const planned = device.compile([], () => device.run(() => ops.relu(x)));
    await refused(planned, nested);
    await nextTurn();
  } finally {
    process.off('unhandledRejection', note);
  }
  t.deepEqual(unobserved, []);
  t.deepEqual((await device.run(() => ops.relu(x))).shape, x.shape);
});
