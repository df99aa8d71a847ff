// Eight workers that segment at once, then again with the end in the middle of it.
const { dirname, join } = require('node:path');
const { isMainThread, parentPort, Worker } = require('node:worker_threads');
const { load } = require('instaseg');

const root = dirname(require.resolve('instaseg/package.json'));
const scene = join(root, 'models/demo/scenes/scene-1.jpg');

async function segmentAndTell() {
  const model = await load('yolactplus_demo', { device: 'cpu', threads: 1 });
  parentPort.postMessage('loaded');
  for (;;) {
    const result = await model.segment(scene, { scoreThreshold: 0.5 });
    parentPort.postMessage(JSON.stringify(result));
  }
}

const messages = (worker, count) =>
  new Promise((resolve, reject) => {
    const received = [];
    worker.on('message', (message) => {
      received.push(message);
      if (received.length === count) resolve(received);
    });
    worker.on('error', reject);
  });

async function main() {
  const workers = Array.from({ length: 8 }, () => new Worker(__filename));
  const results = await Promise.all(workers.map((worker) => messages(worker, 2)));
  // Each of them is in the middle of its second picture.
  await Promise.all(workers.map((worker) => worker.terminate()));
  const different = new Set(results.map(([, json]) => json));
  if (different.size !== 1) throw new Error('workers differ');
  for (let round = 0; round < 3; round += 1) {
    const late = Array.from({ length: 8 }, () => new Worker(__filename));
    await Promise.all(late.map((worker) => messages(worker, 1)));
    await new Promise((resolve) => setTimeout(resolve, 20 * round));
    await Promise.all(late.map((worker) => worker.terminate()));
  }
  console.log([...different][0]);
}

if (isMainThread) void main();
else void segmentAndTell();
