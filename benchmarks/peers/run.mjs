// instaseg against onnxruntime-node and PyTorch, on the same work, the sides taking turns in one run: `npm run
// bench:peers`. Every side is a process of its own (workers.mjs), so that memory, threads and instruction sets are its
// own. Results are compared before anything is timed. See docs/benchmarks.md.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { convolutions, measureConvolutions } from './convolutions.mjs';
import { heldToAvx2 } from './hold-avx2.mjs';
import { markdown } from './markdown.mjs';
import { exportNetworks, measureNetworks, NETWORKS } from './networks.mjs';
import { Worker } from './workers.mjs';

const USAGE = `npm run bench:peers -- [options]

  --only convolutions|models   one half of it
  --section machine|avx2       one of the two sections: the processor as it is, and every side held to AVX2
  --filter TEXT                convolutions with this text in "network layer", networks with it in their title
  --threads N                  of each side; default: what instaseg takes
  --isa NAME                   instruction set of ours in the section "machine"; default: what instaseg takes
  --python PATH                a Python with torch and torchvision; with onnx too it makes the exports
  --json OUT.json              the report
  --report                     benchmarks/results/DATE-peers[-convolutions|-networks].json and .md
`;

const HERE = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
const say = (text) => console.error(text);

function usage(message) {
  say(`${message}\n\n${USAGE}`);
  process.exit(2);
}

function readFlags() {
  const text = { type: 'string' };
  const flag = { type: 'boolean', default: false };
  const options = { only: text, section: text, threads: text, isa: text, json: text, report: flag, help: flag };
  options.python = { type: 'string', default: process.env.PEERS_PYTHON ?? 'python3' };
  options.filter = { type: 'string', default: '' };
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    return usage(error.message);
  }
}

const flags = readFlags();
if (flags.help) {
  console.log(USAGE);
  process.exit(0);
}
const choices = { only: ['convolutions', 'models'], section: ['machine', 'avx2'], isa: ['baseline', 'avx2', 'avx512'] };
for (const [flag, values] of Object.entries(choices)) {
  if (flags[flag] !== undefined && !values.includes(flags[flag])) usage(`--${flag} has to be one of ${values}`);
}
if (flags.threads !== undefined && !/^[1-9]\d{0,3}$/.test(flags.threads)) usage('--threads has to be a whole number');
if (flags.report && flags.filter) usage('--report is for whole runs: leave --filter out');
const networks =
  flags.only === 'convolutions' ? [] : NETWORKS.filter(({ title, name }) => `${title} ${name}`.includes(flags.filter));
const shapes = flags.only === 'models' ? [] : convolutions(flags.filter);
if (networks.length + shapes.length === 0) usage(`nothing has "${flags.filter}" in it`);
try {
  require.resolve('onnxruntime-node');
} catch {
  say('onnxruntime-node is not installed: npm install --ignore-scripts --prefix benchmarks/peers');
  process.exit(1);
}

const WORK = join(HERE, 'work');
mkdirSync(WORK, { recursive: true });

/** Which PyTorch there is, and whether it can export. */
function probePython() {
  const ask = (code) => spawnSync(flags.python, ['-c', code], { cwd: HERE, encoding: 'utf8' });
  if (ask('import torch').status !== 0) return { torch: false, onnx: false };
  return { torch: true, onnx: ask('import onnx').status === 0 };
}
const python = probePython();
if (!python.torch) say(`${flags.python} has no PyTorch: its rows are left out (--python names another)`);

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
    // --expose-gc: what the comparison of results left behind is not to count as memory of the run.
    const command = kind === 'node' ? [process.execPath, '--expose-gc'] : [flags.python];
    return new Worker(side, command[0], [...command.slice(1), join(HERE, file), JSON.stringify(settings)], env);
  };
}

const { machineInfo, provenance } = require('../../dist/src/bench/machine.js');
const machine = machineInfo();
const origin = await provenance();
origin.warnings.forEach((warning) => say(`warning: ${warning}`));
if (flags.report && origin.warnings.length > 0) usage('--report is for a build of what git has');
const sections = flags.section ? [flags.section] : machine.isa === 'avx512' ? ['machine', 'avx2'] : ['machine'];
const threads = Number(flags.threads ?? require('../../dist/src/index.js').listDevices()[0].threads);
const report = {
  title: 'instaseg against its peers: milliseconds (minimum), ratio = peer / ours; above 1 instaseg is faster',
  ...origin,
  machine,
  threads,
  sections: [],
  rows: [],
  failures: [],
};
const torch = python.torch ? ['torch'] : [];
const exported =
  networks.length > 0 && exportNetworks(networks, { python: flags.python, canExport: python.onnx, folder: WORK, say });
for (const section of sections) {
  const common = { section, start: sidesOf(section, threads), folder: WORK, say };
  const sides = new Map();
  const add = ({ rows, failures, about }) => {
    report.rows.push(...rows);
    report.failures.push(...failures);
    about.forEach((side) => sides.set(side.name, { ...sides.get(side.name), ...side }));
  };
  if (shapes.length > 0) {
    add(await measureConvolutions({ ...common, peers: ['onnxruntime', ...torch], filter: flags.filter }));
  }
  if (networks.length > 0) {
    add(await measureNetworks({ ...common, peers: [...(exported ? ['onnxruntime'] : []), ...torch], networks }));
  }
  report.sections.push({ section, sides: [...sides.values()] });
}
const text = markdown(report);
console.log(text);
const json = `${JSON.stringify(report, null, 1)}\n`;
if (flags.json) writeFileSync(flags.json, json);
if (flags.report) {
  const part = { convolutions: '-convolutions', models: '-networks' }[flags.only] ?? '';
  const stem = join(HERE, '..', 'results', `${report.date.slice(0, 10)}-peers${part}`);
  // As the repository's own check of formatting wants it.
  const prettier = await import('prettier');
  for (const [end, content] of Object.entries({ json, md: text })) {
    const filepath = `${stem}.${end}`;
    const options = await prettier.resolveConfig(filepath);
    writeFileSync(filepath, await prettier.format(content, { ...options, filepath }));
  }
  say(`written: ${stem}.json and .md`);
}
if (report.failures.length > 0) process.exitCode = 1;
