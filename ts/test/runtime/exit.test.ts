import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import test from 'ava';

// Runs about a second of convolutions and does something else meanwhile.
const BUSY = `
  const { Device, ops, Tensor } = require(${JSON.stringify(join(__dirname, '..', '..', 'src', 'index.js'))});
  async function busy() {
    const device = await Device.open('cpu', { threads: 2 });
    const weight = Tensor.from(new Float32Array(64 * 64 * 9).fill(0.001), [64, 64, 3, 3]);
    const plan = await device.compile([{ dtype: 'f32', shape: [1, 256, 256, 64] }], (x) => {
      for (let i = 0; i < 30; i += 1) x = ops.conv2d(x, weight, { padding: 1 });
      return x;
    });
    return plan.run([Tensor.zeros([1, 256, 256, 64])]);
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
  const body = `Device.open('cpu').then((device) => device.run(() => ops.relu(Tensor.zeros([8])))).then(() => { process.exitCode = 4; });`;
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
