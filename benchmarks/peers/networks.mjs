// The networks, from the image in memory to masks at its size.
import { spawnSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { requireAgreement, UNDECIDED } from './agreement.mjs';
import { comparison, race, round } from './race.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const { writeSeededModel } = require('../../dist/src/bench/seeded-model.js');

const PHOTOGRAPH = { height: 480, width: 640 };
// `aims` are the ratios that we set ourselves, by peer. An image of 1088x800 goes through Mask R-CNN as it is, and its masks have that size too; a photograph of 640x480 is
// enlarged to 1066x800 and padded to the same 1088x800, but its masks are small.
export const NETWORKS = [
  {
    name: 'maskrcnn_resnet50_fpn',
    title: 'Mask R-CNN R50-FPN, image 1088x800',
    scale: 1 / 255,
    image: { height: 800, width: 1088 },
    aims: { 'onnxruntime-node': 6, PyTorch: 4 },
  },
  {
    name: 'maskrcnn_resnet50_fpn',
    title: 'Mask R-CNN R50-FPN, image 640x480',
    scale: 1 / 255,
    image: PHOTOGRAPH,
    aims: {},
  },
  {
    name: 'yolact_plus_resnet50',
    title: 'YOLACT++ R50, image 640x480',
    scale: 1,
    image: PHOTOGRAPH,
    aims: { 'onnxruntime-node': 2.2 },
  },
];

const onnxFile = (folder, { name, image }) => join(folder, 'onnx', `${name}-${image.width}x${image.height}.onnx`);

/** Runs export.py for the networks whose ONNX files are not there yet; false where it cannot. */
export function exportNetworks(networks, { python, canExport, folder, say }) {
  const missing = networks.filter((network) => !existsSync(onnxFile(folder, network)));
  if (missing.length > 0 && !canExport) {
    say(`the networks cannot be exported: ${python} lacks torch or onnx; onnxruntime's rows of them are left out`);
    return false;
  }
  for (const network of missing) {
    say(`exporting ${network.title}`);
    const { height, width } = network.image;
    const args = ['export.py', onnxFile(folder, network), network.name, String(height), String(width)];
    const { status } = spawnSync(python, args, { cwd: HERE, stdio: 'inherit' });
    if (status !== 0) throw new Error('the export failed');
  }
  return true;
}

async function measureNetwork({ section, start, peers, network, weights, folder }) {
  const sides = ['ours', ...peers];
  const workers = sides.map(start);
  const outputs = sides.map((side) => join(folder, `${network.name}-${side}`));
  try {
    const about = await Promise.all(workers.map((worker) => worker.ask({ do: 'about' })));
    for (const [i, worker] of workers.entries()) {
      const { name, image, scale } = network;
      const onnx = onnxFile(folder, network);
      await worker.ask({ do: 'model', name, image, scale, undecided: UNDECIDED, weights, onnx, output: outputs[i] });
    }
    const agreements = peers.map((peer, i) =>
      requireAgreement(`${network.title}, ${peer}`, outputs[0], outputs[i + 1], network.image),
    );
    const [mine, ...theirs] = await race(workers, { least: 4, most: 7, seconds: 40, warmups: 0, calls: 1 });
    const peaks = [];
    for (const worker of workers) peaks.push((await worker.ask({ do: 'memory' })).peak);
    return {
      about,
      rows: peers.map((_, i) => ({
        section,
        work: network.title,
        model: network.name,
        shape: `${network.image.width}x${network.image.height}`,
        peerName: about[i + 1].name,
        aim: network.aims[about[i + 1].name] ?? null,
        ...comparison(mine, theirs[i]),
        memoryOurs: peaks[0],
        memoryPeer: peaks[i + 1],
        memoryRatio: peaks[0] && peaks[i + 1] ? round(peaks[0] / peaks[i + 1]) : null,
        agreement: agreements[i],
      })),
    };
  } finally {
    for (const worker of workers) await worker.end();
    outputs.forEach((path) => ['json', 'masks'].forEach((end) => rmSync(`${path}.${end}`, { force: true })));
  }
}

/** Rows of `networks` against each of `peers`; a side that finds something else is a failure, and the rest goes on. */
export async function measureNetworks({ networks, ...rest }) {
  const result = { rows: [], failures: [], about: [] };
  for (const network of networks) {
    const { file, remove } = await writeSeededModel(network.name);
    try {
      const { rows, about } = await measureNetwork({ ...rest, network, weights: file });
      result.rows.push(...rows);
      result.about.push(...about);
      for (const row of rows) {
        rest.say(`${rest.section}: ${row.work} against ${row.peerName}: ${row.ratio}, memory ${row.memoryRatio}`);
      }
    } catch (error) {
      result.failures.push({ section: rest.section, work: network.title, shape: '', message: error.message });
      rest.say(`${rest.section}: ${network.title}: FAILED: ${error.message}`);
    } finally {
      remove();
    }
  }
  return result;
}
