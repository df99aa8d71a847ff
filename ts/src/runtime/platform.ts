/** What the addon has to fit: operating system, architecture, C library. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** The C library that the process runs with. */
export interface Libc {
  readonly family: 'glibc' | 'musl';
  readonly version?: string | undefined;
}

/** Platform and architecture as prebuilds are named: "linux-x64". */
export const TRIPLE = `${process.platform}-${process.arch}`;

/** Whether this is Alpine Linux, by the test that node-gyp-build makes. */
export function isMusl(): boolean {
  return process.platform === 'linux' && (process.env['LIBC'] === 'musl' || existsSync('/etc/alpine-release'));
}

/** The C library of this process; undefined where the system has no choice of one. Takes milliseconds. */
export function detectLibc(): Libc | undefined {
  if (process.platform !== 'linux') return undefined;
  const glibc = glibcVersion();
  return glibc === undefined ? { family: 'musl', version: muslVersion() } : { family: 'glibc', version: glibc };
}

/** The report has the version in its header where Node was built for glibc, and only there. */
function glibcVersion(): string | undefined {
  // Without this the report looks up the names of open connections.
  const report = process.report as (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined;
  if (!report) return isMusl() ? undefined : '(unknown version)';
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  try {
    const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
    return header.glibcVersionRuntime;
  } finally {
    if (before !== undefined) report.excludeNetwork = before;
  }
}

/** musl's loader says what it is when it is run without arguments. */
function muslVersion(): string | undefined {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const { stderr } = spawnSync(`/lib/ld-musl-${machine}.so.1`, { encoding: 'utf8' });
  return /Version (\S+)/.exec(stderr ?? '')?.[1];
}

/** For example "linux-x64, glibc 2.36, Node 20.20.2". */
export function describePlatform(): string {
  const libc = detectLibc();
  const parts = [
    TRIPLE,
    libc && [libc.family, libc.version].filter(Boolean).join(' '),
    `Node ${process.versions.node}`,
  ];
  return parts.filter(Boolean).join(', ');
}
