// instaseg against onnxruntime-node and PyTorch, on the same work, alternating in one run: `npm run bench:peers`.
//
//   -- --only convolutions|models   one half of it
//   -- --section machine|avx2       one of the two sections: the processor as it is, and every side held to AVX2
//   -- --threads N                  default: what instaseg takes
//   -- --isa NAME                   instruction set of ours in the section "machine"; default: what instaseg takes
//   -- --filter TEXT               convolutions with this text in "network name", networks with it in their title
//   -- --python PATH                a Python with torch and torchvision; with onnx too it makes the exports
//   -- --json OUT.json              the report
//   -- --report                     benchmarks/results/DATE-peers.json and .md
//
// Every side is a process of its own (workers.mjs), so that memory, threads and instruction sets are its own. Results are
// compared before anything is timed. See docs/benchmarks.md.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { requireAgreement, requireClose, UNDECIDED } from './agreement.mjs';
import { heldToAvx2 } from './hold-avx2.mjs';
import { flopsOf } from './inputs.mjs';
import { markdown } from './markdown.mjs';
import { Worker } from './workers.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const { readShapes } = require('../../dist/src/bench/shape-file.js');
const { writeSeededModel } = require('../../dist/src/bench/seeded-model.js');
const { machineInfo, provenance } = require('../../dist/src/bench/machine.js');

const { values: flags } = parseArgs({
  options: {
    only: { type: 'string' },
    section: { type: 'string' },
    threads: { type: 'string' },
    isa: { type: 'string' },
    python: { type: 'string', default: process.env.PEERS_PYTHON ?? 'python3' },
    json: { type: 'string' },
    report: { type: 'boolean', default: false },
    filter: { type: 'string', default: '' },
  },
});
for (const [flag, values] of [
  ['only', ['convolutions', 'models']],
  ['section', ['machine', 'avx2']],
]) {
  if (flags[flag] !== undefined && !values.includes(flags[flag])) {
    console.error(`--${flag} has to be ${values.join(' or ')}`);
    process.exit(2);
  }
}
try {
  require.resolve('onnxruntime-node');
} catch {
  console.error('onnxruntime-node is not installed: npm install --ignore-scripts --prefix benchmarks/peers');
  process.exit(1);
}

const WORK = join(HERE, 'work');
mkdirSync(WORK, { recursive: true });
const say = (text) => console.error(text);

/** Which PyTorch there is, and whether it can export. */
function probePython() {
  const ask = (code) => spawnSync(flags.python, ['-c', code], { cwd: HERE, encoding: 'utf8' });
  if (ask('import torch').status !== 0) return { torch: false, onnx: false };
  return { torch: true, onnx: ask('import onnx').status === 0 };
}
const python = probePython();
if (!python.torch) say(`${flags.python} has no PyTorch: its rows are left out (--python names another)`);

const PHOTOGRAPH = { height: 480, width: 640 };
// An image of 800x1088 goes through Mask R-CNN as it is, and its masks have that size too; a photograph of 640x480 is
// enlarged to 1066x800 and padded to the same 1088x800, but its masks are small.
const MODELS = [
  {
    name: 'maskrcnn_resnet50_fpn',
    title: 'Mask R-CNN R50-FPN, image 1088x800',
    scale: 1 / 255,
    image: { height: 800, width: 1088 },
  },
  {
    name: 'maskrcnn_resnet50_fpn',
    title: 'Mask R-CNN R50-FPN, image 640x480',
    scale: 1 / 255,
    image: PHOTOGRAPH,
  },
  { name: 'yolact_plus_resnet50', title: 'YOLACT++ R50, image 640x480', scale: 1, image: PHOTOGRAPH },
];

const onnxFile = ({ name, image }) => join(WORK, 'onnx', `${name}-${image.width}x${image.height}.onnx`);

/** Runs export.py for the networks whose ONNX files are not there yet; false where it cannot. */
function exportModels() {
  const missing = MODELS.filter((model) => !existsSync(onnxFile(model)));
  if (missing.length > 0 && !python.onnx) {
    say(
      `the networks cannot be exported: ${flags.python} lacks torch or onnx; onnxruntime's rows of them are left out`,
    );
    return false;
  }
  for (const model of missing) {
    say(`exporting ${model.title}`);
    const { height, width } = model.image;
    const args = ['export.py', onnxFile(model), model.name, String(height), String(width)];
    const { status } = spawnSync(flags.python, args, { cwd: HERE, stdio: 'inherit' });
    if (status !== 0) throw new Error('the export failed');
  }
  return true;
}

/** How to start each side in a section. */
function sidesOf(section, threads) {
  const avx2 = section === 'avx2';
  const node = (file, settings, env = {}) => ['node', file, settings, env];
  const isa = avx2 ? 'avx2' : flags.isa;
  const held = avx2 ? heldToAvx2(WORK) : undefined;
  const torchEnv = { ATEN_CPU_CAPABILITY: 'avx2', ONEDNN_MAX_CPU_ISA: 'AVX2', MKL_ENABLE_INSTRUCTIONS: 'AVX2' };
  const plans = {
    ours: node('worker-instaseg.mjs', { threads, ...(isa && { isa }) }),
    onnxruntime: node('worker-onnxruntime.mjs', { threads, ...(held && { package: held.package }) }, held?.env),
    torch: ['python', 'worker_torch.py', { threads }, { OMP_NUM_THREADS: String(threads), ...(avx2 && torchEnv) }],
  };
  return (side) => {
    const [kind, file, settings, env] = plans[side];
    const command = kind === 'node' ? process.execPath : flags.python;
    return new Worker(side, command, [join(HERE, file), JSON.stringify(settings)], env);
  };
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];
const round = (value, digits = 2) => Number(value.toFixed(digits));

/**
 * Milliseconds of every worker, the sides taking turns: at least `least` rounds, more where they are short. A turn is
 * `warmups` calls and `calls` timed ones, and begins when all other sides are at rest: threads of onnxruntime spin for
 * up to 100 ms after a call, on the cores that the next side needs.
 */
async function race(workers, { least, most, seconds, warmups, calls }) {
  const samples = workers.map(() => []);
  const started = performance.now();
  for (let round = 0; round < most; round += 1) {
    if (round >= least && performance.now() - started > seconds * 1000) break;
    for (const [i, worker] of workers.entries()) {
      await Promise.all(workers.filter((other) => other !== worker).map((other) => other.atRest()));
      for (let call = -warmups; call < calls; call += 1) {
        const { ms } = await worker.ask({ do: 'run' });
        if (call >= 0) samples[i].push(ms);
      }
    }
  }
  return samples.map((times) => ({ min: Math.min(...times), median: median(times), runs: times.length }));
}

/** The convolutions of both networks, each shape once. */
function convolutions() {
  const found = new Map();
  for (const model of new Set(MODELS.map(({ name }) => name))) {
    for (const { op, name, values } of readShapes(model)) {
      if (op !== 'conv2d' && op !== 'deformConv2d') continue;
      const get = (key, fallback) => Number(values.get(key) ?? fallback);
      const input = values.get('input').split('x').map(Number);
      const work = {
        op,
        input,
        outputs: get('outputs'),
        kernel: get('kernel', op === 'conv2d' ? 1 : 3),
        stride: get('stride', 1),
      };
      const key = JSON.stringify(work);
      if (!found.has(key)) found.set(key, { ...work, model, name });
    }
  }
  return [...found.values()].filter(({ model, name }) => `${model} ${name}`.includes(flags.filter));
}

function groupOf({ op, kernel, stride }) {
  if (op === 'deformConv2d') return 'deformable';
  if (stride === 1 && kernel === 3) return '3x3 s1';
  return stride === 1 && kernel === 1 ? '1x1' : 'other';
}

async function measureConvolutions(section, start) {
  const [ours, peer] = [start('ours'), start('onnxruntime')];
  const rows = [];
  try {
    const about = [await ours.ask({ do: 'about' }), await peer.ask({ do: 'about' })];
    const paths = ['ours', 'peer'].map((side) => join(WORK, `${side}.f32`));
    for (const work of convolutions()) {
      const flops = flopsOf(work);
      const shape = `${work.kernel}x${work.kernel}/${work.stride} ${work.input[3]}-${work.outputs} ${work.input.slice(0, 3).join('x')}`;
      const { variant } = await ours.ask({ do: 'convolution', work, output: paths[0] });
      await peer.ask({ do: 'convolution', work, output: paths[1] });
      const difference = requireClose(`${groupOf(work)} ${shape}`, ...paths);
      const [mine, theirs] = await race([ours, peer], { least: 4, most: 8, seconds: 2.5, warmups: 2, calls: 4 });
      await ours.ask({ do: 'close' });
      await peer.ask({ do: 'close' });
      rows.push({
        section,
        work: groupOf(work),
        model: work.model,
        name: work.name,
        shape,
        variant,
        peerName: 'onnxruntime-node',
        ours: round(mine.min),
        peer: round(theirs.min),
        ratio: round(theirs.min / mine.min),
        ratioOfMedians: round(theirs.median / mine.median),
        runs: mine.runs,
        gflops: Math.round(flops / mine.min / 1e6),
        peerGflops: Math.round(flops / theirs.min / 1e6),
        difference,
      });
      say(`${section}: ${groupOf(work)} ${shape}: ${rows.at(-1).ratio}`);
    }
    return { rows, about };
  } finally {
    await ours.end();
    await peer.end();
    for (const side of ['ours', 'peer']) rmSync(join(WORK, `${side}.f32`), { force: true });
  }
}

async function measureModel(section, model, start, exported, weights) {
  const sides = ['ours', ...(exported ? ['onnxruntime'] : []), ...(python.torch ? ['torch'] : [])];
  const workers = sides.map(start);
  try {
    const about = await Promise.all(workers.map((worker) => worker.ask({ do: 'about' })));
    const outputs = sides.map((side) => join(WORK, `${model.name}-${side}`));
    for (const [i, worker] of workers.entries()) {
      await worker.ask({
        do: 'model',
        name: model.name,
        image: model.image,
        scale: model.scale,
        undecided: UNDECIDED,
        weights,
        onnx: onnxFile(model),
        output: outputs[i],
      });
    }
    const agreements = sides
      .slice(1)
      .map((side, i) => requireAgreement(`${model.title}, ${side}`, outputs[0], outputs[i + 1], model.image));
    outputs.forEach((path) => ['json', 'masks'].forEach((end) => rmSync(`${path}.${end}`, { force: true })));
    const times = await race(workers, { least: 4, most: 7, seconds: 40, warmups: 0, calls: 1 });
    const peaks = [];
    for (const worker of workers) peaks.push((await worker.ask({ do: 'memory' })).peak);
    return {
      about,
      rows: sides.slice(1).map((_, k) => ({
        section,
        work: model.title,
        model: model.name,
        shape: `${model.image.width}x${model.image.height}`,
        peerName: about[k + 1].name,
        ours: round(times[0].min),
        peer: round(times[k + 1].min),
        ratio: round(times[k + 1].min / times[0].min),
        ratioOfMedians: round(times[k + 1].median / times[0].median),
        runs: times[0].runs,
        memoryOurs: peaks[0],
        memoryPeer: peaks[k + 1],
        memoryRatio: peaks[0] && peaks[k + 1] ? round(peaks[0] / peaks[k + 1]) : null,
        agreement: agreements[k],
      })),
    };
  } finally {
    for (const worker of workers) await worker.end();
  }
}

const machine = machineInfo();
const sections = flags.section ? [flags.section] : machine.isa === 'avx512' ? ['machine', 'avx2'] : ['machine'];
const threads = Number(flags.threads ?? require('../../dist/src/index.js').listDevices()[0].threads);
const report = {
  title: 'instaseg against its peers: milliseconds (minimum), ratio = peer / ours; above 1 instaseg is faster',
  ...(await provenance()),
  machine,
  threads,
  sections: [],
  rows: [],
};
for (const section of sections) {
  const start = sidesOf(section, threads);
  const sides = new Map();
  const note = (about) => about.forEach((side) => sides.set(side.name, { ...sides.get(side.name), ...side }));
  if (flags.only !== 'models') {
    const { rows, about } = await measureConvolutions(section, start);
    note(about);
    report.rows.push(...rows);
  }
  if (flags.only !== 'convolutions') {
    const exported = exportModels();
    for (const model of MODELS.filter(({ title }) => title.includes(flags.filter))) {
      const { file, remove } = await writeSeededModel(model.name);
      try {
        const { rows, about } = await measureModel(section, model, start, exported, file);
        note(about);
        report.rows.push(...rows);
        for (const row of rows)
          say(`${section}: ${row.work} against ${row.peerName}: ${row.ratio}, memory ${row.memoryRatio}`);
      } finally {
        remove();
      }
    }
  }
  report.sections.push({ section, sides: [...sides.values()] });
}
const text = markdown(report);
console.log(text);
const json = `${JSON.stringify(report, null, 1)}\n`;
if (flags.json) writeFileSync(flags.json, json);
if (flags.report) {
  const stem = join(HERE, '..', 'results', `${report.date.slice(0, 10)}-peers`);
  // As the repository's own check of formatting wants it.
  const prettier = await import('prettier');
  for (const [end, content] of Object.entries({ json, md: text })) {
    const filepath = `${stem}.${end}`;
    const options = await prettier.resolveConfig(filepath);
    writeFileSync(filepath, await prettier.format(content, { ...options, filepath }));
  }
  say(`written: ${stem}.json and .md`);
}
