import test from 'ava';
import { Device, InstasegError, ops, reshape, Tensor, type RunProfile } from '../../src/index.js';
import { assertClose, randomTensor } from '../support/ops.js';

let device: Device;
test.before(async () => {
  device = await Device.open('cpu', { threads: 2 });
});
test.after.always(() => device.dispose());

const f32 = (shape: readonly number[]) => ({ dtype: 'f32', shape }) as const;

test('a plan runs several times with different inputs, copied when it is called', async (t) => {
  const plan = await device.compile([f32([4])], (x) => ops.relu(x));
  const input = Tensor.from(new Float32Array([1, -1, 2, -2]));
  const first = plan.run([input]);
  input.data.fill(7);
  t.deepEqual([...(await first).data], [1, 0, 2, 0]);
  t.deepEqual([...(await plan.run([input])).data], [7, 7, 7, 7]);
  plan.dispose();
});

test('results come in the structure that the function returned', async (t) => {
  const x = Tensor.from(new Float32Array([-1, 3]));
  const result = await device.run(() => {
    const y = ops.relu(x);
    return { y, nested: [y, { again: reshape(y, [2, 1]) }] as const };
  });
  t.deepEqual([...result.y.data], [0, 3]);
  t.deepEqual([...result.nested[0].data], [0, 3]);
  t.deepEqual([...result.nested[1].again.shape], [2, 1]);
});

test('an input or constant may be returned as it is', async (t) => {
  const plan = await device.compile([f32([2])], (x) => [x, reshape(x, [2, 1])]);
  const [same, column] = await plan.run([Tensor.from(new Float32Array([5, 6]))]);
  t.deepEqual([...same.data], [5, 6]);
  t.deepEqual([...column.shape], [2, 1]);
});

test('convolution, batch normalisation, addition and activation become one step with the same numbers', async (t) => {
  const weight = randomTensor(1, [8, 6, 3, 3]);
  const vector = (seed: number): Tensor => randomTensor(seed, [8]);
  const variance = Tensor.from(Float32Array.from(vector(5).data, (v) => Math.abs(v) + 0.5));
  const norm = { mean: vector(2), variance, weight: vector(3), bias: vector(4), epsilon: 1e-3 };
  const inputs = [randomTensor(6, [1, 7, 5, 6]), randomTensor(7, [1, 7, 5, 8])];
  const specs = inputs.map(({ shape }) => f32(shape));
  const fused = await device.compile(specs, (x, other) =>
    ops.relu(ops.add(ops.batchNorm(ops.conv2d(x, weight, { padding: 1, bias: vector(8) }), norm), other)),
  );
  // Returning every intermediate forbids the fusion.
  const plain = await device.compile(specs, (x, other) => {
    const convolved = ops.conv2d(x, weight, { padding: 1, bias: vector(8) });
    const normed = ops.batchNorm(convolved, norm);
    const sum = ops.add(normed, other);
    return [convolved, normed, sum, ops.relu(sum)];
  });
  t.is(fused.steps.length, 1);
  t.is(plain.steps.length, 4);
  const expected = (await plain.run(inputs)).at(-1)!;
  // Two roundings more or less a value of about 10.
  assertClose(t, (await fused.run(inputs)).data, expected.data, { rtol: 1e-5, atol: 1e-5 });
});

test('a value that two ops read is not fused away', async (t) => {
  const weight = randomTensor(1, [4, 4, 1, 1]);
  const x = randomTensor(2, [1, 3, 3, 4]);
  const plan = await device.compile([f32(x.shape)], (input) => {
    const y = ops.conv2d(input, weight);
    return ops.add(ops.relu(y), y);
  });
  const y = (await device.run(() => ops.conv2d(x, weight))).data;
  const expected = Array.from(y, (v) => Math.max(v, 0) + v);
  assertClose(t, (await plan.run([x])).data, expected);
});

test('ops that no output needs are dropped', async (t) => {
  const plan = await device.compile([f32([3])], (x) => {
    ops.sigmoid(x);
    return ops.relu(x);
  });
  t.deepEqual(
    plan.steps.map(({ op }) => op),
    ['relu'],
  );
});

test('memory of intermediates is reused', async (t) => {
  const plan = await device.compile([f32([1 << 16])], (x) => {
    let y = x;
    for (let i = 0; i < 20; i += 1) y = ops.sigmoid(y);
    return y;
  });
  t.true(plan.arenaBytes <= 2 * 4 * (1 << 16));
});

test('a profiled run has a time for every step', async (t) => {
  const plan = await device.compile([f32([64])], (x) => ops.tanh(ops.sigmoid(x)));
  t.is(plan.steps[0]!.milliseconds, undefined);
  await plan.run([Tensor.zeros([64])], { profile: true });
  t.true(plan.steps.every((step) => step.milliseconds! >= 0));
});

test('several runs in flight have their own memory', async (t) => {
  const plan = await device.compile([f32([1000])], (x) => ops.add(ops.relu(x), x));
  const inputs = Array.from({ length: 20 }, (_, i) => randomTensor(i + 1, [1000]));
  const results = await Promise.all(inputs.map((input) => plan.run([input])));
  results.forEach(({ data }, i) => {
    assertClose(
      t,
      data,
      Array.from(inputs[i]!.data, (v) => Math.max(v, 0) + v),
    );
  });
});

test('mistakes have codes and leave the device usable', async (t) => {
  const rejects = async (promise: Promise<unknown>, code: string): Promise<void> => {
    const error = await t.throwsAsync(promise, { instanceOf: InstasegError });
    t.is(error.code, code as never);
  };
  const x = Tensor.zeros([2, 2]);
  await rejects(
    device.run(() => ops.relu(Tensor.from(new Int32Array(2)))),
    'ERR_DTYPE',
  );
  await rejects(
    device.run(() => ops.add(x, Tensor.zeros([3]))),
    'ERR_SHAPE',
  );
  await rejects(
    device.run(() => ops.relu(undefined as never)),
    'ERR_ARGUMENT',
  );
  await rejects(
    device.run(() => 5 as never),
    'ERR_ARGUMENT',
  );
  await rejects(
    device.run(() => reshape(x, [3, -1])),
    'ERR_SHAPE',
  );
  t.throws(() => ops.relu(x), { code: 'ERR_ARGUMENT' } as never);
  const plan = await device.compile([f32([4])], (y) => ops.relu(y));
  await rejects(plan.run([]), 'ERR_ARGUMENT');
  await rejects(plan.run([Tensor.zeros([5])]), 'ERR_SHAPE');
  await rejects(plan.run([Tensor.zeros([4], 'i32')]), 'ERR_DTYPE');
  await rejects(plan.run([Tensor.zeros([5], 'i32')]), 'ERR_DTYPE');
  await rejects(plan.run([{ dtype: 'f32', shape: [4], data: new Float32Array(3) }]), 'ERR_SHAPE');
  plan.dispose();
  await rejects(plan.run([Tensor.zeros([4])]), 'ERR_DISPOSED');
  t.is((await device.run(() => ops.relu(x))).length, 4);
});

test('values are what their dtype says, or refused', async (t) => {
  const plan = await device.compile([f32([2])], (y) => ops.relu(y));
  const refused = async (inputs: unknown, message: RegExp): Promise<void> => {
    await t.throwsAsync(plan.run(inputs as never), { instanceOf: InstasegError, code: 'ERR_ARGUMENT', message });
  };
  const data = Int32Array.of(1, 0x3f800000);
  await refused([{ dtype: 'f32', shape: [2], data }], /data must be a typed array that holds f32; received Int32Array/);
  await refused(
    [{ shape: [2], data: new Float32Array(2) }],
    /inputs\[0\]\.dtype must be one of "f32".*received undefined/,
  );
  await refused([{ dtype: 'f32', shape: [2], data: [1, 2] }], /data must be a typed array; received \[1, 2\]/);
  await refused([new Float32Array(2)], /inputs\[0\] must be a Tensor or .*received Float32Array\(2\)/);
  await refused([null], /inputs\[0\] must be a Tensor/);
  await refused(Tensor.zeros([2]), /inputs must be an array of tensors; received an object \(Tensor\)/);
  const literal = { dtype: 'f32', shape: [2], data: Float32Array.of(-1, 1) } as const;
  t.deepEqual([...(await plan.run([literal])).data], [0, 1]);
  plan.dispose();
});

test('the stack of a rejected run names the caller', async (t) => {
  const plan = await device.compile([f32([4])], (y) => ops.relu(y));
  const error = await t.throwsAsync(plan.run([Tensor.zeros([5])]));
  t.regex(error.stack!, /plan\.test/);
});

test('an abort before and during a run rejects with its reason', async (t) => {
  const weight = randomTensor(1, [64, 64, 3, 3]);
  const plan = await device.compile([f32([1, 128, 128, 64])], (x) => {
    let y = x;
    for (let i = 0; i < 30; i += 1) y = ops.conv2d(y, weight, { padding: 1 });
    return y;
  });
  const input = randomTensor(2, [1, 128, 128, 64]);
  const reason = new Error('enough');
  t.is(await t.throwsAsync(plan.run([input], { signal: AbortSignal.abort(reason) })), reason);
  const controller = new AbortController();
  const running = plan.run([input], { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 5);
  t.is(await t.throwsAsync(running), reason);
  t.is((await device.run(() => ops.relu(Tensor.zeros([3])))).length, 3);
});

test('weights may be written in pieces and in other types, until a plan uses them', async (t) => {
  const own = await Device.open('cpu', { threads: 1 });
  const weight = own.constant('f32', [2, 3]);
  weight.write(0, 'f32', new Uint8Array(new Float32Array([1, 2, 3]).buffer));
  weight.write(3, 'f16', new Uint8Array(new Uint16Array([0x4400, 0x4500, 0x4600]).buffer)); // 4, 5, 6
  const x = Tensor.from(new Float32Array([1, 10, 100]), [1, 3]);
  t.deepEqual([...(await own.run(() => ops.linear(x, weight))).data], [321, 654]);
  t.throws(() => weight.write(0, 'f32', new Uint8Array(4)), { message: /already/ });
  t.throws(() => own.constant('f32', [2]).write(1, 'f32', new Uint8Array(8)), { message: /do not fit/ });
  t.throws(() => own.constant('f32', [2]).write(0, 'f99', new Uint8Array(8)), { message: /f99/ });
  await own.dispose();
});

test('a profiled run reports its steps, with layers by their weights, and what is around them', async (t) => {
  const own = await Device.open('cpu', { threads: 2 });
  const weight = own.constant('f32', [8, 4, 1, 1], 'backbone.conv1.weight');
  const plan = await own.compile([f32([1, 16, 16, 4]), { dtype: 'i32', shape: [1] }], (x, counts) => {
    const y = ops.relu(ops.conv2d(x, weight));
    return ops.convTranspose2d(y, Tensor.zeros([8, 2, 1, 1]), { counts });
  });
  const input = [randomTensor(1, [1, 16, 16, 4]), Tensor.from(Int32Array.of(1))];
  const profiles: RunProfile[] = [];
  await plan.run(input, { onProfile: (profile) => profiles.push(profile) });
  await plan.run(input);
  t.is(profiles.length, 1, 'the second run was not profiled');
  const [{ steps, inputs, queued, running, total }] = profiles as [RunProfile];
  t.deepEqual(
    steps.map(({ op, label, counted }) => ({ op, label, counted })),
    [
      // ReLU is part of the convolution, which keeps its label.
      { op: 'conv2d', label: 'backbone.conv1', counted: false },
      { op: 'convTranspose2d', label: undefined, counted: true },
    ],
  );
  const sum = steps.reduce((time, { milliseconds }) => time + milliseconds, 0);
  t.true(sum > 0 && sum <= running, 'steps are within the run');
  t.true(inputs >= 0 && queued >= 0 && inputs + running <= total);
  plan.dispose();
  await own.dispose();
});

test('a plan that is disposed of while it runs still reports its profile', async (t) => {
  const plan = await device.compile([f32([4])], (x) => ops.relu(x));
  let steps = 0;
  const running = plan.run([Tensor.zeros([4])], { onProfile: (profile) => (steps = profile.steps.length) });
  plan.dispose();
  await running;
  t.is(steps, 1);
});
