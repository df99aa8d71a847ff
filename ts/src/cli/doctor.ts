/** instaseg doctor: what an issue report needs. */
import { diagnostics, type Diagnostics } from '../index.js';
import { EXIT } from './exit.js';
import type { AddCommand } from './program.js';
import { formatBytes, formatTable, printable } from './terminal.js';

export const addDoctorCommand: AddCommand = (program, { terminal }, done) => {
  program
    .command('doctor')
    .summary('show versions, the loaded addon, devices and caches, for issue reports')
    .description(
      'Show what an issue report needs: versions, which native addon was loaded and why, processor, GPUs, caches. Nothing ' +
        'is sent anywhere; passwords in proxies are left out',
    )
    .option('--json', 'print JSON')
    .action(async ({ json = false }: { json?: boolean }) => {
      const report = await diagnostics();
      terminal.print(json ? JSON.stringify(report, null, 2) : printable(format(report)));
      done('error' in report.addon || 'error' in report.sharp ? EXIT.model : EXIT.ok);
    });
};

const ORIGINS = {
  environment: 'INSTASEG_ADDON names it',
  entry: "'instaseg/linux-x64' requires it",
  compiled: 'compiled on this machine, which goes before a prebuild',
  prebuild: 'the prebuild for this platform',
} as const;

/** A row has a name, or continues the one before. */
type Row = readonly [name: string, value: string];

function format(report: Diagnostics): string {
  const { version, node, system, nvidiaDriver, sharp, weightsCache, environment } = report;
  const libc = system.libc && [system.libc.family, system.libc.version].filter(Boolean).join(' ');
  return formatTable([
    ['instaseg', version],
    ['node', [`${node.version} (${node.path})`, node.runtime !== 'Node' && node.runtime].filter(Boolean).join(', ')],
    ['system', [system.triple, system.name, libc, system.kernel].filter(Boolean).join(', ')],
    ...addonRows(report),
    ...processorRows(report),
    ...deviceRows(report),
    ['NVIDIA driver', nvidiaDriver ?? 'not loaded'],
    ['sharp', sharp['error'] ?? `${sharp['sharp']}, libvips ${sharp['vips']}`],
    ['weights cache', `${weightsCache.path}: ${weightsCache.files} files, ${formatBytes(weightsCache.bytes)}`],
    ...named(
      'environment',
      Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    ),
  ]);
}

function addonRows({ addon }: Diagnostics): Row[] {
  if ('error' in addon) return named('addon', addon.error.split('\n'));
  const size = addon.bytes === undefined ? '' : `, ${formatBytes(addon.bytes)}`;
  return named('addon', [`${addon.version}${size}: ${ORIGINS[addon.origin]}`, addon.path]);
}

function processorRows({ processor, memory, devices }: Diagnostics): Row[] {
  const { model, logical, usable, quota, features } = processor;
  const counts = [
    `${logical} logical processors`,
    `${usable} usable`,
    quota !== undefined && `${quota.toFixed(1)} granted`,
  ];
  const sizes = [
    `${formatBytes(memory.total)}`,
    `${formatBytes(memory.free)} free`,
    memory.limit !== undefined && `limited to ${formatBytes(memory.limit)}`,
  ];
  const cpu = devices.find(({ name }) => name === 'cpu');
  return [
    ...named('processor', [model, counts.filter(Boolean).join(', '), features.join(' ') || 'features unknown']),
    ...(cpu ? named('cpu', [`${cpu.threads} threads by default, instruction set ${cpu.isa}`]) : []),
    ['memory', sizes.filter(Boolean).join(', ')],
  ];
}

function deviceRows({ devices }: Diagnostics): Row[] {
  return devices
    .filter(({ name }) => name !== 'cpu')
    .map((device) => {
      const facts = [
        device.description,
        device.computeCapability && `compute capability ${device.computeCapability}`,
        device.memory && formatBytes(device.memory),
        device.reason && `not available: ${device.reason}`,
      ];
      return [device.name, facts.filter(Boolean).join(', ')];
    });
}

const named = (name: string, values: readonly string[]): Row[] =>
  (values.length > 0 ? values : ['none']).map((value, i) => [i === 0 ? name : '', value]);
