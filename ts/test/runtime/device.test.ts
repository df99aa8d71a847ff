import { execFileSync } from 'node:child_process';
import test from 'ava';
import { Device, InstasegError, listDevices, listKernels, ops, Tensor } from '../../src/index.js';

test('auto falls back to the CPU and says why', async (t) => {
  const device = await Device.open();
  t.is(device.name, 'cpu');
  t.regex(device.fallbackReason!, /CUDA|NVIDIA/);
  await device.dispose();
  const cpu = await Device.open('cpu', { threads: 3 });
  t.is(cpu.fallbackReason, undefined);
  t.is(cpu.threads, 3);
  await cpu.dispose();
});

test('a device that cannot run rejects', async (t) => {
  for (const name of ['cuda', 'cuda:1'] as const) {
    const error = await t.throwsAsync(Device.open(name), { instanceOf: InstasegError });
    t.is(error.code, 'ERR_DEVICE_UNAVAILABLE');
  }
  for (const [name, options] of [
    ['gpu', {}],
    ['cpu', { threads: 0 }],
    ['cpu', { threads: Number.NaN }],
    ['cpu', { isa: 'sse9' }],
    ['cpu', { memoryLimit: -1 }],
  ] as const) {
    const error = await t.throwsAsync(Device.open(name as never, options as never), { instanceOf: InstasegError });
    t.is(error.code, 'ERR_ARGUMENT');
  }
});

test('INSTASEG_ISA limits the instruction set', (t) => {
  const script = `
    const { Device, listDevices } = require(${JSON.stringify(require.resolve('../../src/index.js'))});
    (async () => {
      const device = await Device.open('cpu');
      const refusal = await Device.open('cpu', { isa: 'avx512' }).then(() => null, ({ code }) => code);
      console.log(JSON.stringify([listDevices()[0].isa, device.isa, refusal]));
    })().catch(({ code, message }) => console.log(JSON.stringify([code, message])));`;
  const run = (isa: string): unknown =>
    JSON.parse(
      execFileSync(process.execPath, ['-e', script], { env: { ...process.env, INSTASEG_ISA: isa } }).toString(),
    );
  t.deepEqual(run('baseline'), ['baseline', 'baseline', 'ERR_DEVICE_UNAVAILABLE']);
  t.deepEqual(run(''), run('avx512'));
  const [code, message] = run('sse9') as string[];
  t.is(code, 'ERR_ARGUMENT');
  t.regex(message!, /INSTASEG_ISA.*baseline, avx2, avx512.*sse9/);
});

test('devices and kernels can be listed', (t) => {
  const [cpu, ...others] = listDevices();
  t.true(cpu!.available);
  t.true(cpu!.threads! >= 1);
  // What cannot run says why; a build for tests may have a device that is emulated.
  t.true(others.length > 0);
  for (const { available, reason } of others) t.is(available, reason === undefined);
  const rows = listKernels();
  const names = new Set(rows.map((row) => row.op));
  for (const op of names) {
    t.true(
      rows.some((row) => row.op === op && row.variant === 'reference'),
      `${op} has a reference variant`,
    );
  }
});

test('memory is counted, limited and given back', async (t) => {
  const device = await Device.open('cpu', { threads: 1, memoryLimit: 32 << 20 });
  const weight = device.constant('f32', [1 << 20]);
  t.true(device.memoryStats().inUse >= 4 << 20);
  weight.dispose();
  t.is(device.memoryStats().inUse, 0);
  device.trim();
  t.is(device.memoryStats().cached, 0);
  const error = t.throws(() => device.constant('f32', [1 << 24]), { instanceOf: InstasegError });
  t.is(error.code, 'ERR_OUT_OF_MEMORY');
  t.is((await device.run(() => ops.relu(Tensor.zeros([10])))).length, 10);
  await device.dispose();
});

test('dispose waits for work in flight, is idempotent, and final', async (t) => {
  const device = await Device.open('cpu', { threads: 2 });
  const running = device.run(() => ops.sigmoid(Tensor.zeros([1 << 20])));
  await Promise.resolve();
  const disposed = device.dispose();
  t.is(device.dispose(), disposed);
  await t.notThrowsAsync(
    running.then(() => undefined).catch((error: InstasegError) => t.is(error.code, 'ERR_DISPOSED')),
  );
  await disposed;
  const error = await t.throwsAsync(
    device.run(() => ops.relu(Tensor.zeros([1]))),
    { instanceOf: InstasegError },
  );
  t.is(error.code, 'ERR_DISPOSED');
});
