/** What a GPU's device layer promises; on the emulated device its faults can be provoked too. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import anyTest from 'ava';
import { Device, InstasegError, listDevices, ops, reshape, Tensor } from '../../src/index.js';
import { randomTensor, TEST_DEVICE } from '../support/ops.js';

const run = promisify(execFile);
const PACKAGE = path.resolve(__dirname, '../../src/index.js');

const test = anyTest;
const onGpu = TEST_DEVICE === 'cpu' ? skipping('no CUDA device is under test: npm run test:emulated has them') : test;
const emulated =
  TEST_DEVICE === 'cuda-emulated' ? test : skipping('faults can be provoked on the emulated device only');

function skipping(why: string): (title: string, body: Parameters<typeof test>[1]) => void {
  return (title, body) => test.skip(`${title} (${why})`, body as never);
}

const f32 = (shape: readonly number[]) => ({ dtype: 'f32', shape }) as const;

async function withDevice<T>(body: (device: Device) => Promise<T>, options = {}): Promise<T> {
  const device = await Device.open(TEST_DEVICE, options);
  try {
    return await body(device);
  } finally {
    await device.dispose();
  }
}

/** Runs a module's text in a process of its own, where `device` is open; gives what it printed, parsed. */
async function inProcess(body: string, environment: Record<string, string>): Promise<unknown> {
  const text = `
    const { Device, ops, Tensor, listDevices } = require(${JSON.stringify(PACKAGE)});
    const outcome = (promise) => promise.then(() => 'fine', ({ code, message }) => ({ code, message }));
    (async () => { ${body} })().then((result) => console.log(JSON.stringify(result)));`;
  const { stdout } = await run(process.execPath, ['-e', text], { env: { ...process.env, ...environment } });
  return JSON.parse(stdout);
}

interface Handles {
  readonly made: number;
  readonly left: number;
}

interface Summary extends Record<'allocations' | 'pinned' | 'streams' | 'events' | 'graphs', Handles> {
  /** Indices of the GPUs that have got a context. */
  readonly touched: readonly number[];
}

/** The same, with what the emulator's runtime says of handles when the process ends. */
async function summaryOf(body: string, environment: Record<string, string> = {}): Promise<Summary> {
  const text = `
    const { Device, ops, Tensor } = require(${JSON.stringify(PACKAGE)});
    (async () => { ${body} })();`;
  const env = { ...process.env, INSTASEG_EMULATION_SUMMARY: '1', ...environment };
  const { stderr } = await run(process.execPath, ['-e', text], { env });
  return JSON.parse(stderr) as Summary;
}

onGpu('a plan gives the same numbers when it is run and when its recording is replayed', (t) =>
  withDevice(async (device) => {
    const plan = await device.compile([f32([5, 7])], (x) => ops.relu(ops.relu(x, { negativeSlope: 0.5 })));
    for (let seed = 1; seed <= 5; seed += 1) {
      const input = randomTensor(seed, [5, 7]);
      const { data } = await plan.run([input]);
      t.deepEqual([...data], [...input.data.map((value) => Math.max(value * (value < 0 ? 0.5 : 1), 0))]);
    }
    plan.dispose();
  }),
);

onGpu('plans of different sizes take turns in the same memory', (t) =>
  withDevice(async (device) => {
    const sizes = [3, 100_000, 17];
    const plans = await Promise.all(sizes.map((size) => device.compile([f32([size])], (x) => ops.relu(ops.relu(x)))));
    for (let round = 0; round < 3; round += 1) {
      const inputs = sizes.map((size, i) => randomTensor(round * 10 + i, [size]));
      const outputs = await Promise.all(plans.map((plan, i) => plan.run([inputs[i]!])));
      outputs.forEach(({ data }, i) =>
        t.deepEqual(
          data,
          inputs[i]!.data.map((value) => Math.max(value, 0)),
        ),
      );
    }
  }),
);

onGpu('inputs and constants may be returned as they are', (t) =>
  withDevice(async (device) => {
    const constant = Tensor.from(new Float32Array([7, 8]));
    const plan = await device.compile([f32([2])], (x) => [x, reshape(x, [2, 1]), reshape(constant, [1, 2])]);
    const [same, column, row] = await plan.run([Tensor.from(new Float32Array([5, 6]))]);
    t.deepEqual([...same.data], [5, 6]);
    t.deepEqual([...column.shape], [2, 1]);
    t.deepEqual([...row.data], [7, 8]);
  }),
);

onGpu('empty tensors need no memory', (t) =>
  withDevice(async (device) => {
    t.is((await device.run(() => ops.relu(Tensor.zeros([0, 4])))).length, 0);
  }),
);

onGpu('a profiled run has the time of every step', (t) =>
  withDevice(async (device) => {
    const plan = await device.compile([f32([64])], (x) => ops.relu(ops.relu(x, { negativeSlope: 0.5 })));
    await plan.run([randomTensor(1, [64])], { profile: true });
    t.is(plan.steps.length, 2);
    for (const step of plan.steps) t.true(step.milliseconds! >= 0);
  }),
);

onGpu('out of memory rejects, and the next call works', (t) =>
  withDevice(
    async (device) => {
      const large = await device.compile([f32([4 << 20])], (x) => ops.relu(x));
      const error = await t.throwsAsync(large.run([Tensor.zeros([4 << 20])]), { instanceOf: InstasegError });
      t.is(error.code, 'ERR_GPU_OOM');
      t.is((await device.run(() => ops.relu(Tensor.zeros([10])))).length, 10);
      t.true(device.memoryStats().peak <= 8 << 20);
    },
    { memoryLimit: 8 << 20 },
  ),
);

onGpu('memory is counted, and dispose ends the device', async (t) => {
  const device = await Device.open(TEST_DEVICE);
  const plan = await device.compile([f32([1 << 16])], (x) => ops.relu(x));
  await plan.run([Tensor.zeros([1 << 16])]);
  t.true(device.memoryStats().inUse >= (1 << 16) * 4);
  await device.dispose();
  await device.dispose();
  const error = await t.throwsAsync(plan.run([Tensor.zeros([1 << 16])]), { instanceOf: InstasegError });
  t.is(error.code, 'ERR_DISPOSED');
});

onGpu('an aborted run rejects with the reason of its signal', (t) =>
  withDevice(async (device) => {
    const plan = await device.compile([f32([8])], (x) => ops.relu(x));
    const reason = new Error('enough');
    await t.throwsAsync(plan.run([Tensor.zeros([8])], { signal: AbortSignal.abort(reason) }), { is: reason });
    t.is((await plan.run([Tensor.zeros([8])])).length, 8);
  }),
);

onGpu('several devices of one process work at once', async (t) => {
  const results = await Promise.all(
    [1, 2, 3].map((seed) =>
      withDevice(async (device) => (await device.run(() => ops.relu(randomTensor(seed, [1000])))).data),
    ),
  );
  results.forEach((data, i) =>
    t.deepEqual(
      data,
      randomTensor(i + 1, [1000]).data.map((value) => Math.max(value, 0)),
    ),
  );
});

onGpu('the device under test is listed with what is known of it', (t) => {
  const gpu = listDevices().find(({ name }) => name === TEST_DEVICE)!;
  t.true(gpu.available);
  t.regex(gpu.computeCapability!, /^\d+\.\d$/);
  t.true(gpu.l2Cache! > 0);
  t.regex(gpu.uuid!, /^GPU-/);
  t.true(gpu.memory! > 0);
});

onGpu('many runs of several plans in flight give what they give one by one', (t) =>
  withDevice(async (device) => {
    const weight = randomTensor(1, [8, 8, 3, 3]);
    const sizes = [5, 9, 12];
    const plans = await Promise.all(
      sizes.map((size) =>
        device.compile([f32([1, size, size, 8])], (x) => ops.relu(ops.conv2d(x, weight, { padding: 1 }))),
      ),
    );
    const jobs = Array.from({ length: 24 }, (_, i) => ({
      plan: plans[i % 3]!,
      input: randomTensor(i + 2, [1, sizes[i % 3]!, sizes[i % 3]!, 8]),
    }));
    const together = await Promise.all(jobs.map(({ plan, input }) => plan.run([input])));
    for (const [i, { plan, input }] of jobs.entries()) {
      t.deepEqual((await plan.run([input])).data, together[i]!.data);
    }
  }),
);

emulated('dispose gives back all that a device has, and other GPUs are not touched', async (t) => {
  const body = `
    const device = await Device.open('cuda-emulated:1');
    const plan = await device.compile([{ dtype: 'f32', shape: [64] }], (x) => ops.relu(ops.relu(x)));
    for (let i = 0; i < 3; i += 1) await plan.run([Tensor.zeros([64])], { profile: i === 2 });
    await device.dispose();
    globalThis.plan = plan;`;
  const { touched, ...handles } = await summaryOf(body, { INSTASEG_EMULATION_DEVICES: '3' });
  t.deepEqual(touched, [1]);
  for (const [what, { made, left }] of Object.entries(handles)) t.true(made > 0 && left === 0, `${what}: ${left} left`);
});

emulated('listing devices touches none of them', async (t) => {
  const body = `require(${JSON.stringify(PACKAGE)}).listDevices();`;
  t.deepEqual((await summaryOf(body, { INSTASEG_EMULATION_DEVICES: '2' })).touched, []);
});

emulated('the driver running out of memory rejects, and the next call works', async (t) => {
  const body = `
    const device = await Device.open('cuda-emulated');
    const once = () => outcome(device.run(() => ops.relu(Tensor.zeros([100]))));
    return [await once(), await once()];`;
  const [first, second] = (await inProcess(body, { INSTASEG_EMULATION_FAIL_ALLOCATION: '1' })) as [
    { code: string },
    string,
  ];
  t.is(first.code, 'ERR_GPU_OOM');
  t.is(second, 'fine');
});

emulated('a sticky fault is typed and final for the device, and the process goes on', async (t) => {
  const body = `
    const device = await Device.open('cuda-emulated');
    const once = (on) => outcome(on.run(() => ops.relu(Tensor.zeros([100]))));
    const cpu = await Device.open('cpu');
    const codes = [await once(device), await once(device), await once(device), await once(cpu)];
    await device.dispose();
    return codes;`;
  const [first, second, third, cpu] = (await inProcess(body, { INSTASEG_EMULATION_FAIL_LAUNCH: '2' })) as [
    string,
    { code: string; message: string },
    { code: string },
    string,
  ];
  t.is(first, 'fine');
  t.is(second.code, 'ERR_CUDA_FATAL');
  t.regex(second.message, /cudaErrorIllegalAddress.*restart/);
  t.is(third.code, 'ERR_CUDA_FATAL');
  t.is(cpu, 'fine');
});

for (const [what, environment, reason] of [
  ['no GPU', { INSTASEG_EMULATION_DEVICES: '0' }, /sees no GPU/],
  ['a driver that is too old', { INSTASEG_EMULATION_DRIVER: '12040' }, /too old: it supports CUDA 12\.4.*13\.0.*580/],
  ['no driver', { INSTASEG_EMULATION_DRIVER: '0' }, /no NVIDIA driver/],
  ['a GPU without kernels', { INSTASEG_EMULATION_COMPUTE_CAPABILITY: '61' }, /capability 6\.1 .*kernels/],
] as const) {
  emulated(`${what}: said by the list, and by a typed error`, async (t) => {
    const body = `return [listDevices()[1], await outcome(Device.open('cuda-emulated'))];`;
    const [listed, opened] = (await inProcess(body, environment)) as [
      { available: boolean; reason: string },
      { code: string; message: string },
    ];
    t.false(listed.available);
    t.regex(listed.reason, reason);
    t.is(opened.code, 'ERR_DEVICE_UNAVAILABLE');
    t.regex(opened.message, reason);
  });
}
