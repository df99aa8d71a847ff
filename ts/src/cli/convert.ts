/** instaseg convert: a checkpoint becomes a safetensors file that says what it is. */
import { resolve } from 'node:path';
import { Option } from 'commander';
import { convertCheckpoint, objectNames } from '../index.js';
import { downloadProgress } from './download-progress.js';
import { EXIT, step, usageError } from './exit.js';
import { addZooOptions, classNamesOption, fromZero, modelOption, zooOptions, type ZooFlags } from './options.js';
import type { AddCommand } from './program.js';
import { formatBytes, formatTable, printable } from './terminal.js';

interface ConvertFlags extends ZooFlags {
  readonly output: string;
  readonly classNames?: string[];
  readonly batchNormEpsilon?: number;
  readonly model?: string;
  readonly dtype?: 'f32' | 'f16' | 'bf16';
}

export const addConvertCommand: AddCommand = (program, { terminal, signal }, done) => {
  const command = program
    .command('convert')
    .summary('convert a checkpoint to safetensors')
    .description(
      'Convert a checkpoint (torchvision, detectron2 or YOLACT; PyTorch .pth of any age, .pkl, safetensors) into ' +
        "safetensors with the model's whole configuration",
    )
    .argument('<in>', 'checkpoint, in which nothing is executed, or the name of a model ("pull --list")');
  addZooOptions(command)
    .requiredOption('-o, --output <out.safetensors>', 'file to write')
    .addOption(classNamesOption())
    .addOption(modelOption())
    .addOption(
      new Option('--dtype <type>', 'element type of all tensors; by default each keeps its own').choices([
        ...['f32', 'f16', 'bf16'],
      ]),
    )
    .option(
      '--batch-norm-epsilon <x>',
      'for weights trained with another epsilon than the published ones of their family',
      fromZero,
    )
    .option('--verbose', 'show the stack of errors')
    .option('--quiet', 'print errors only')
    .action(async (input: string, { output, classNames, batchNormEpsilon, model, dtype, ...flags }: ConvertFlags) => {
      if (resolve(input) === resolve(output)) throw usageError(`--output is the checkpoint itself: ${output}`);
      const download = downloadProgress(terminal);
      let progress: ReturnType<typeof terminal.progress> | undefined;
      try {
        const converting = convertCheckpoint(input, output, {
          classNames,
          batchNormEpsilon,
          model,
          dtype,
          signal,
          ...zooOptions(flags),
          onDownload: download.report,
          onProgress: ({ bytesDone, bytesTotal }) => {
            download.stop();
            progress ??= terminal.progress(bytesTotal, 'converting {bar} {value} / {total}', formatBytes);
            progress.update(bytesDone);
          },
        });
        const { config, tensors, bytes } = await step(EXIT.model, converting);
        progress?.stop();
        const rows = [
          ['family', config.family],
          ['model', config.model],
          ['classes', describeClasses(objectNames(config))],
          ['tensors', String(tensors)],
          ['size', `${bytes} bytes (${formatBytes(bytes)})`],
          ['written to', output],
        ];
        terminal.print(formatTable(rows));
        done(EXIT.ok);
      } finally {
        download.stop();
        progress?.stop();
      }
    });
};

/** The number of classes, without the background, and the first and last of their names. */
function describeClasses(names: readonly string[]): string {
  const shown = names.length > 5 ? [...names.slice(0, 3), '...', names.at(-1)!] : names;
  return `${names.length} (${printable(shown.join(', '))})`;
}
