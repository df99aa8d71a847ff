/**
 * `npm run test:golden -- <folder>`: compares ops, stages and whole models with the reference data in a folder, which may
 * be a single case. Exits with 1 where anything differs by more than is allowed, or is not known.
 */
import { parseArgs } from 'node:util';
import { Device, type DeviceName, type DeviceOptions } from '../../src/index.js';
import { findCases } from './case-files.js';
import { Runner, type CaseResult, type Status } from './run-cases.js';

const USAGE = `usage: npm run test:golden -- FOLDER [options]

FOLDER holds cases (case.json, tensors.safetensors) at any depth, or is one.

  --device NAME     cpu (default)
  --variant NAME    prefer kernels of this name where an op has them: reference, baseline, avx2
  --isa NAME        baseline, avx2 or avx512
  --threads N
  --filter TEXT     only cases whose name contains this
  --verbose         times, too
`;

function line({ name, status, difference, allowed, note }: CaseResult): string {
  const numbers = status === 'later' ? '' : `${show(difference).padStart(9)}  ${show(allowed).padStart(9)}  `;
  const remark = note === undefined ? '' : `  (${note})`;
  return `${name.padEnd(52)} ${numbers}${status}${remark}`;
}

function show(value: number): string {
  if (!Number.isFinite(value)) return '-';
  return value === 0 || Number.isInteger(value) ? String(value) : value.toExponential(2);
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      device: { type: 'string', default: 'cpu' },
      variant: { type: 'string' },
      isa: { type: 'string' },
      threads: { type: 'string' },
      filter: { type: 'string', default: '' },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const [root] = positionals;
  if (values.help || root === undefined || positionals.length > 1) {
    process.stderr.write(USAGE);
    return values.help ? 0 : 2;
  }
  const { cases, others } = findCases(root);
  const wanted = cases.filter(({ name }) => name.includes(values.filter));
  const count: Record<Status, number> = { ok: 0, FAIL: 0, later: 0 };
  const device = await Device.open(values.device as DeviceName, {
    variant: values.variant,
    isa: values.isa as DeviceOptions['isa'],
    threads: values.threads === undefined ? undefined : Number(values.threads),
  });
  console.log(`# ${device.name}, ${device.isa}, ${device.threads} threads, variant ${values.variant ?? 'default'}`);
  const runner = new Runner(device);
  try {
    for (const found of wanted) {
      const started = performance.now();
      for await (const result of runner.run(found)) {
        count[result.status] += 1;
        console.log(line(result));
      }
      if (values.verbose) console.log(`# ${found.name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
    }
  } finally {
    await runner.close();
    await device.dispose();
  }
  for (const { name, files } of others.filter((other) => other.name.includes(values.filter))) {
    count.later += 1;
    console.log(line({ name, status: 'later', difference: 0, allowed: 0, note: `${files} files` }));
  }
  if (wanted.length === 0) console.log(`no case in ${root}${values.filter && ` contains "${values.filter}"`}`);
  // Nothing that this version covers is ever skipped: a case that cannot run has failed.
  console.log(`${count.ok} passed, ${count.FAIL} failed, 0 skipped${count.later > 0 ? ` (${count.later} later)` : ''}`);
  return count.FAIL > 0 || count.ok + count.later === 0 ? 1 : 0;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? (error.stack ?? error.message) : error);
    process.exitCode = 1;
  },
);
