// From an empty project to the demo's masks, with an empty npmrc and cache and no compiler on the PATH. What releases run
// on every platform is scripts/smoke.mjs.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

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
