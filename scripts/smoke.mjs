// Whether the package works where somebody installs it: from an empty project to the demo's masks, with an empty npmrc and
// cache and no compiler on the PATH.
//
//   node scripts/smoke.mjs instaseg@0.1.0            what the registry has, after a release
//   node scripts/smoke.mjs instaseg-0.1.0.tgz        a tarball
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Sandbox } from './install/sandbox.mjs';

/**
 * Installs `spec` into a project and runs `instaseg doctor` and `instaseg demo` there. Gives the project's folder, what the
 * doctor says, and milliseconds from the beginning of the installation to its end and to the first masks.
 */
export async function smoke(sandbox, spec) {
  const folder = sandbox.project('smoke');
  const npx = (args, options) =>
    sandbox.run(join(sandbox.bin, 'npx'), ['instaseg', ...args], { cwd: folder, ...options });
  const started = performance.now();
  await sandbox.npm(['install', spec], { cwd: folder });
  const installed = performance.now() - started;
  let masks;
  await npx(['demo'], {
    onOutput: (text) => {
      if (text.includes('scene-1.jpg')) masks ??= performance.now() - started;
    },
  });
  for (const network of ['maskrcnn_demo', 'yolactplus_demo']) {
    for (const file of [`${network}.json`, `${network}/scene-4.png`]) {
      if (!existsSync(join(folder, 'instaseg-demo', file))) throw new Error(`the demo has not written ${file}`);
    }
  }
  const doctor = JSON.parse((await npx(['doctor', '--json'])).stdout);
  if (doctor.addon.origin !== 'prebuild') throw new Error(`not the prebuild: ${JSON.stringify(doctor.addon)}`);
  sandbox.requireNoDecoys();
  return { folder, doctor, installed, masks };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const spec = process.argv[2];
  if (!spec) throw new Error('usage: node scripts/smoke.mjs <instaseg@version|tarball>');
  const folder = mkdtempSync(join(tmpdir(), 'instaseg-smoke-'));
  try {
    const { doctor, installed, masks } = await smoke(new Sandbox(folder), existsSync(spec) ? resolve(spec) : spec);
    const wanted = /^instaseg@(\d.*)$/.exec(spec)?.[1];
    if (wanted && doctor.version !== wanted) throw new Error(`${spec} is ${doctor.version}`);
    const seconds = (milliseconds) => `${(milliseconds / 1000).toFixed(1)} s`;
    console.log(`${doctor.version} works: installed in ${seconds(installed)}, first masks after ${seconds(masks)}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
