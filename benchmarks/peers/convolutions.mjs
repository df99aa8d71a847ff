// The convolutions of both networks one by one, each shape once.
import { rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { requireClose } from './agreement.mjs';
import { convolution, flopsOf, toNchw } from './inputs.mjs';
import { comparison, race } from './race.mjs';

const require = createRequire(import.meta.url);
const { readShapes } = require('../../dist/src/bench/shape-file.js');

const NETWORKS = ['maskrcnn_resnet50_fpn', 'yolact_plus_resnet50'];

/** The shapes with `filter` in "network layer", of the first layer that has them; `layers` counts all that do. */
export function convolutions(filter) {
  const found = new Map();
  for (const model of NETWORKS) {
    for (const { op, name, times, values } of readShapes(model)) {
      if (op !== 'conv2d' && op !== 'deformConv2d') continue;
      const get = (key, fallback) => Number(values.get(key) ?? fallback);
      const work = {
        op,
        input: values.get('input').split('x').map(Number),
        outputs: get('outputs'),
        kernel: get('kernel', op === 'conv2d' ? 1 : 3),
        stride: get('stride', 1),
      };
      const key = JSON.stringify(work);
      const entry = found.get(key) ?? { work, model, name, layers: 0 };
      found.set(key, { ...entry, layers: entry.layers + times });
    }
  }
  return [...found.values()].filter(({ model, name }) => `${model} ${name}`.includes(filter));
}

function groupOf({ op, kernel, stride }) {
  if (op === 'deformConv2d') return 'deformable';
  if (stride === 1 && kernel === 3) return '3x3 s1';
  return stride === 1 && kernel === 1 ? '1x1' : 'other';
}

/** PyTorch reads what it computes from files: its generator of random numbers would take minutes. */
function writeInputs(folder, work) {
  const { deformable, x, weight, bias, offset, mask } = convolution(work);
  const files = {};
  const values = { x: toNchw(x), weight, bias, ...(deformable && { offset: toNchw(offset), mask: toNchw(mask) }) };
  for (const [name, { shape, data }] of Object.entries(values)) {
    files[name] = { path: join(folder, `torch-${name}.f32`), shape };
    writeFileSync(files[name].path, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return { files, remove: () => Object.values(files).forEach(({ path }) => rmSync(path, { force: true })) };
}

/** Rows of all shapes: one against onnxruntime, and against PyTorch where `peers` has it. */
export async function measureConvolutions({ section, start, peers, filter, folder, say }) {
  const sides = ['ours', ...peers];
  const workers = sides.map(start);
  const rows = [];
  const failures = [];
  try {
    const about = await Promise.all(workers.map((worker) => worker.ask({ do: 'about' })));
    const outputs = sides.map((side) => join(folder, `${side}.f32`));
    for (const { work, model, name, layers } of convolutions(filter)) {
      const group = groupOf(work);
      const shape = `${work.kernel}x${work.kernel}/${work.stride} ${work.input[3]}-${work.outputs} ${work.input.slice(0, 3).join('x')}`;
      // Without torchvision's compiled operators PyTorch has no deformable convolution to compare with.
      const taking = sides
        .map((side, i) => ({ side, worker: workers[i], about: about[i], output: outputs[i] }))
        .filter((one) => group !== 'deformable' || one.about.deformable !== false);
      const inputs = peers.includes('torch') ? writeInputs(folder, work) : undefined;
      try {
        let variant;
        for (const { side, worker, output } of taking) {
          const reply = await worker.ask({ do: 'convolution', work, output, files: inputs?.files });
          if (side === 'ours') variant = reply.variant;
        }
        const against = taking.slice(1);
        const differences = against.map(({ about: { name: peer }, output }) =>
          requireClose(`${group} ${shape}, ${peer}`, outputs[0], output),
        );
        const limits = { least: 4, most: 8, seconds: 2.5, warmups: 2, calls: 4 };
        const [mine, ...theirs] = await race(
          taking.map(({ worker }) => worker),
          limits,
        );
        const flops = flopsOf(work);
        against.forEach(({ about: { name: peerName } }, i) => {
          rows.push({
            section,
            work: group,
            model,
            name,
            layers,
            shape,
            variant,
            peerName,
            ...comparison(mine, theirs[i]),
            gflops: Math.round(flops / mine.min / 1e6),
            peerGflops: Math.round(flops / theirs[i].min / 1e6),
            difference: differences[i],
          });
        });
        say(`${section}: ${group} ${shape}: ${rows.slice(-against.length).map(({ ratio }) => ratio)}`);
      } catch (error) {
        failures.push({ section, work: group, shape, message: error.message });
        say(`${section}: ${group} ${shape}: FAILED: ${error.message}`);
      } finally {
        inputs?.remove();
        for (const { worker } of taking) await worker.ask({ do: 'close' });
      }
    }
    return { rows, failures, about };
  } finally {
    for (const worker of workers) await worker.end();
    for (const side of sides) rmSync(join(folder, `${side}.f32`), { force: true });
  }
}
