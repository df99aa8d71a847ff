// The last stage of scripts/gpu-check.sh: everything that the others left, as one JSON and one page of Markdown.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values: options } = parseArgs({
  options: { results: { type: 'string' }, state: { type: 'string' }, commit: { type: 'string' } },
});

const read = (name) => {
  const file = join(options.results, name);
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
};
const run = (command, ...args) => {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
};

const FIELDS =
  'name,driver_version,vbios_version,memory.total,clocks.sm,clocks.mem,clocks.max.sm,power.limit,temperature.gpu';
const gpu = run('nvidia-smi', `--query-gpu=${FIELDS}`, '--format=csv,noheader')?.split('\n')[0].split(', ');
const stages = Object.fromEntries(
  readdirSync(options.state).map((stage) => [stage, readFileSync(join(options.state, stage), 'utf8').trim()]),
);
const report = {
  date: new Date().toISOString().slice(0, 10),
  commit: options.commit,
  gpu: gpu && Object.fromEntries(FIELDS.split(',').map((field, i) => [field, gpu[i]])),
  nvcc: run('nvcc', '--version')?.match(/release [\d.]+, V[\d.]+/)?.[0],
  node: process.version,
  stages,
  ops: read('ops.json'),
  torchOps: read('torch-ops.json'),
  models: read('models.json'),
  torchModels: read('torch-models.json'),
};

const number = (value, digits = 4) => (value === undefined ? '' : value.toFixed(digits));
const table = (head, rows) => [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

const lines = [
  `# GPU check: ${report.gpu?.name ?? 'unknown GPU'}`,
  '',
  `${report.date}, commit ${report.commit}, driver ${report.gpu?.driver_version}, ${report.nvcc}, Node ${report.node}. Clocks ` +
    `${report.gpu?.['clocks.sm']} (at most ${report.gpu?.['clocks.max.sm']}), memory ${report.gpu?.['clocks.mem']}, ` +
    `${report.gpu?.['temperature.gpu']} degrees. As found: nothing was locked.`,
  '',
  table(['Stage', 'Result'], Object.entries(stages)),
];
if (report.ops) {
  const peer = new Map((report.torchOps?.rows ?? []).map((row) => [[row.op, row.name, row.precision].join(), row]));
  lines.push(
    '',
    '## Kernels',
    '',
    'Milliseconds by CUDA events, medians. PyTorch: eager call, and the same call captured in a graph where it can be. Ratio: ' +
      "PyTorch's better time over ours, both hot; above 1 we are faster.",
    '',
    table(
      [
        'Op',
        'Shape',
        'Precision',
        'Variant',
        'Error',
        'Ours hot',
        'Ours cold',
        'PyTorch hot',
        'PyTorch graph',
        'Ratio',
      ],
      report.ops.rows.map((row) => {
        const other = peer.get([row.op, row.name, row.precision].join());
        const best = other && Math.min(other.hotMs, other.graphMs ?? Infinity);
        return [
          row.op,
          row.name,
          row.precision,
          row.variant,
          row.error.toExponential(1) + (row.right ? '' : ' WRONG'),
          number(row.hotMs),
          number(row.coldMs),
          number(other?.hotMs),
          number(other?.graphMs),
          number(best && best / row.hotMs, 2),
        ];
      }),
    ),
  );
}
if (report.models) {
  const rows = report.models.rows.map((row) => [
    row.model,
    `instaseg ${row.precision}`,
    number(row.medianMs, 3),
    number(row.minMs, 3),
  ]);
  for (const row of report.torchModels?.rows ?? []) {
    rows.push([row.model, `torchvision ${row.mode}`, row.error ?? number(row.medianMs, 3), number(row.minMs, 3)]);
  }
  lines.push(
    '',
    '## Models',
    '',
    'Milliseconds on the wall clock. Ours: RGB bytes in host memory to masks in host memory. torchvision: image on the GPU to ' +
      'pasted masks on the GPU.',
    '',
    table(['Model', 'Mode', 'Median', 'Fastest'], rows),
  );
  if (report.torchModels?.compared)
    lines.push('', `f32 detections against PyTorch's: ${JSON.stringify(report.torchModels.compared)}`);
}
writeFileSync(join(options.results, 'gpu-check.json'), JSON.stringify(report, null, 1));
writeFileSync(join(options.results, 'gpu-check.md'), `${lines.join('\n')}\n`);
console.log(lines.join('\n'));
