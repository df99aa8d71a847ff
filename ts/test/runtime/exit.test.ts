import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { TEST_DEVICE } from '../support/ops.js';

const PACKAGE = join(__dirname, '..', '..', 'src', 'index.js');
// An emulated GPU is slow enough with smaller ones.
const SIZE = TEST_DEVICE === 'cuda-emulated' ? 8 : 256;
// Runs about a second of convolutions and does something else meanwhile.
const BUSY = `
  const { Device, ops, Tensor } = require(${JSON.stringify(PACKAGE)});
  async function busy() {
    const device = await Device.open('${TEST_DEVICE}', { threads: 2 });
    const weight = Tensor.from(new Float32Array(64 * 64 * 9).fill(0.001), [64, 64, 3, 3]);
    const plan = await device.compile([{ dtype: 'f32', shape: [1, ${SIZE}, ${SIZE}, 64] }], (x) => {
      for (let i = 0; i < 30; i += 1) x = ops.conv2d(x, weight, { padding: 1 });
      return x;
    });
    return plan.run([Tensor.zeros([1, ${SIZE}, ${SIZE}, 64])]);
  }
`;

function exitOf(body: string): Promise<{ code: number | null; signal: string | null }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, ['-e', BUSY + body], { stdio: 'ignore' });
    child.on('error', reject);
    child.on('exit', (code, signal) => resolve({ code, signal }));
  });
}

test.serial('process.exit with work in flight keeps its code', async (t) => {
  const body = 'busy().catch(() => {}); setTimeout(() => process.exit(7), 150);';
  t.deepEqual(await exitOf(body), { code: 7, signal: null });
});

test.serial('process.exit right after the start keeps its code', async (t) => {
  t.deepEqual(await exitOf('busy().catch(() => {}); process.exit(5);'), { code: 5, signal: null });
});

test.serial('an uncaught error with work in flight is an ordinary failure', async (t) => {
  const body = 'busy().catch(() => {}); setTimeout(() => { throw new Error("boom"); }, 150);';
  t.deepEqual(await exitOf(body), { code: 1, signal: null });
});

test.serial('a process that only waits for a run stays alive until it is done, then ends by itself', async (t) => {
  t.deepEqual(await exitOf('busy().then(() => { process.exitCode = 3; });'), { code: 3, signal: null });
});

test.serial('an idle device does not keep the process alive', async (t) => {
  const body = `Device.open('${TEST_DEVICE}').then((device) => device.run(() => ops.relu(Tensor.zeros([8])))).then(() => { process.exitCode = 4; });`;
  t.deepEqual(await exitOf(body), { code: 4, signal: null });
});

test.serial('workers run at the same time and may be terminated in mid-run', async (t) => {
  const workers = Array.from(
    { length: 3 },
    () =>
      new Worker(`${BUSY}; busy().catch(() => {}); require('node:worker_threads').parentPort.postMessage('up');`, {
        eval: true,
      }),
  );
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
  await new Promise((resolve) => setTimeout(resolve, 100));
  await Promise.all(workers.map((worker) => worker.terminate()));
  t.pass();
});

test.serial('workers that never stop calling may be terminated at any moment', async (t) => {
  const body = `
    const { Device, ops, Tensor } = require(${JSON.stringify(PACKAGE)});
    const { parentPort } = require('node:worker_threads');
    (async () => {
      const device = await Device.open('${TEST_DEVICE}');
      const plan = await device.compile([{ dtype: 'f32', shape: [1000] }], (x) => ops.relu(ops.relu(x)));
      for (let i = 0; ; i += 1) {
        const { data } = await plan.run([Tensor.from(new Float32Array(1000).fill(i))]);
        parentPort.postMessage(data.every((value) => value === i));
      }
    })();`;
  for (let round = 0; round < 3; round += 1) {
    const workers = Array.from({ length: 4 }, () => new Worker(body, { eval: true }));
    const right = await Promise.all(workers.map((worker) => messages(worker, 3 + round)));
    t.true(right.flat().every((each) => each === true));
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
});

/** The first messages of a worker. */
function messages(worker: Worker, count: number): Promise<unknown[]> {
  const received: unknown[] = [];
  return new Promise((resolve, reject) => {
    worker.on('error', reject);
    worker.on('message', (message) => {
      if (received.push(message) === count) resolve(received);
    });
  });
}
