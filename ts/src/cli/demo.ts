/** instaseg demo: the small networks that ship with the package, on drawn scenes that neither was trained on. */
import { mkdir, readdir } from 'node:fs/promises';
import { join, parse } from 'node:path';
import { InstasegError, load, type InstanceSegmenter, type LoadOptions } from '../index.js';
import { EXIT, step, type ExitCode } from './exit.js';
import { openJson } from './json-output.js';
import { deviceOption } from './options.js';
import type { AddCommand, Context } from './program.js';
import { formatResult } from './result-table.js';
import { TRAINED_WEIGHTS } from './segment.js';
import { formatTable } from './terminal.js';

/** From dist/src/cli. */
const SCENES = join(__dirname, '..', '..', '..', 'models', 'demo', 'scenes');

const NETWORKS = [
  { name: 'maskrcnn_demo', title: 'Mask R-CNN' },
  { name: 'yolactplus_demo', title: 'YOLACT++' },
] as const;

/** On the class score, which YOLACT++ multiplies by the mask's predicted IoU afterwards: its column shows less. */
const SCORE_THRESHOLD = 0.5;

interface DemoFlags extends Pick<LoadOptions, 'device'> {
  readonly out: string;
}

type Network = (typeof NETWORKS)[number];

export const addDemoCommand: AddCommand = (program, context, done) => {
  program
    .command('demo')
    .summary('try it out: two small networks on drawn scenes, no download')
    .description('Try it out: segment drawn scenes with the two small networks of the package. Nothing is downloaded.')
    .option('--out <dir>', 'folder for the drawings and JSON of each network', 'instaseg-demo')
    .addOption(deviceOption())
    .option('--verbose', "show times, and errors' stacks")
    .action(async (flags: DemoFlags) => done(await demo(flags, context)));
};

async function demo({ out: folder, device }: DemoFlags, context: Context): Promise<ExitCode> {
  const { terminal, signal } = context;
  const files = (await step(EXIT.failed, readdir(SCENES))).filter((name) => name.endsWith('.jpg')).toSorted();
  const scenes = files.map((name) => join(SCENES, name));
  let where = '';
  for (const network of NETWORKS) {
    const model = await step(EXIT.model, load(network.name, { device, signal }));
    try {
      where = `on ${placeOf(model)}`;
      await segmentScenes(network, model, scenes, folder, context);
    } finally {
      await model.dispose();
    }
  }
  terminal.print(`Written, ${where}:
${formatTable(NETWORKS.flatMap((network) => written(network, folder)))}

Both networks know 16 kinds of drawn things and nothing else. For photographs, get weights that were trained on COCO.

${TRAINED_WEIGHTS}
Then: instaseg segment photo.jpg --weights FILE_OR_NAME --overlay drawn.png`);
  return EXIT.ok;
}

const placeOf = ({ device, deviceInfo: { threads, isa, fallbackReason } }: InstanceSegmenter): string =>
  device === 'cpu'
    ? `the CPU (${threads} threads, ${isa}${fallbackReason === undefined ? '' : `; no GPU: ${fallbackReason}`})`
    : device;

const written = ({ name, title }: Network, folder: string): string[][] => [
  [join(folder, name, '*.png'), `the scenes with ${title}'s masks`],
  [join(folder, `${name}.json`), 'its objects as COCO results'],
];

async function segmentScenes(
  { name, title }: Network,
  model: InstanceSegmenter,
  scenes: readonly string[],
  folder: string,
  { terminal, signal }: Context,
): Promise<void> {
  const drawings = join(folder, name);
  await step(EXIT.failed, makeFolder(drawings));
  const json = await step(EXIT.failed, openJson(join(folder, `${name}.json`), terminal));
  try {
    for (const scene of scenes) {
      const result = await step(EXIT.failed, model.segment(scene, { scoreThreshold: SCORE_THRESHOLD, signal }));
      terminal.print(`${formatResult(`${title}, ${parse(scene).base}`, result, terminal.verbose)}\n`);
      await json.add(result.toJSON());
      await step(EXIT.failed, result.overlay().toFile(join(drawings, `${parse(scene).name}.png`)));
    }
    await step(EXIT.failed, json.finish());
  } finally {
    await json.discard();
  }
}

/** Names the folder in what the system says. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new InstasegError('ERR_FILE', `${path}: cannot be written (${(cause as Error).message})`, { cause });
  }
}
