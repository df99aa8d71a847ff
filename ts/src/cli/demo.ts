/** instaseg demo: the whole way from weights and a picture to masks, with nothing downloaded. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { InstasegError, load } from '../index.js';
import { writeDemoModel } from './demo-model.js';
import { EXIT, step, type ExitCode } from './exit.js';
import { openJson } from './json-output.js';
import type { AddCommand, Context } from './program.js';
import { formatResult } from './result-table.js';
import { TRAINED_WEIGHTS } from './segment.js';
import { formatBytes, formatTable } from './terminal.js';

export const addDemoCommand: AddCommand = (program, context, done) => {
  program
    .command('demo')
    .summary('try it out, with a drawn scene and random weights')
    .description('Try it out: segment a drawn scene with a slim model of random weights (its detections mean nothing)')
    .option('--out <dir>', 'folder for scene.png, weights.safetensors, overlay.png and result.json', 'instaseg-demo')
    .option('--verbose', "show times, and errors' stacks")
    .action(async ({ out }: { out: string }) => done(await demo(out, context)));
};

async function demo(folder: string, { terminal, signal }: Context): Promise<ExitCode> {
  const paths = {
    scene: join(folder, 'scene.png'),
    weights: join(folder, 'weights.safetensors'),
    overlay: join(folder, 'overlay.png'),
    json: join(folder, 'result.json'),
  };
  await step(EXIT.failed, writing(folder, mkdir(folder, { recursive: true })));
  const { drawScene } = await import('./scene.js'); // loads the image library: only here
  await step(EXIT.failed, writing(paths.scene, drawScene(paths.scene)));
  const bytes = await step(EXIT.failed, writeDemoModel(paths.weights, signal));

  const model = await step(EXIT.model, load(paths.weights, { signal }));
  try {
    const result = await step(EXIT.failed, model.segment(paths.scene, { signal }));
    const json = await step(EXIT.failed, openJson(paths.json, terminal));
    await json.add(result.toJSON());
    await json.finish();
    await step(EXIT.failed, result.overlay().toFile(paths.overlay));
    terminal.print(formatResult(paths.scene, result, terminal.verbose));
    const written = [
      [paths.scene, 'the picture'],
      [paths.weights, `the model, ${formatBytes(bytes)} of random weights`],
      [paths.overlay, 'the picture with the masks'],
      [paths.json, 'the objects as COCO results'],
    ];
    terminal.print(`
Written:
${formatTable(written)}

The weights are random: WHAT WAS "DETECTED" MEANS NOTHING. It shows that everything works on this machine, on
${model.device} (${model.deviceInfo.threads} threads, ${model.deviceInfo.isa}). For real objects, get trained weights.

${TRAINED_WEIGHTS}
Then: instaseg segment photo.jpg --weights FILE_OR_NAME --overlay drawn.png`);
    return EXIT.ok;
  } finally {
    await model.dispose();
  }
}

/** Names the file in what the system says. */
async function writing<T>(path: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw new InstasegError('ERR_FILE', `${path}: cannot be written (${(cause as Error).message})`, { cause });
  }
}
