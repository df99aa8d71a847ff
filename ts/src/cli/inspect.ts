/** instaseg inspect: what a checkpoint is. */
import { inspectCheckpoint, type CheckpointReport } from '../index.js';
import { downloadProgress } from './download-progress.js';
import { EXIT, step } from './exit.js';
import { addZooOptions, zooOptions, type ZooFlags } from './options.js';
import type { AddCommand } from './program.js';
import { formatBytes, formatTable, printable } from './terminal.js';

interface InspectFlags extends ZooFlags {
  readonly json?: boolean;
  readonly hash?: boolean;
}

export const addInspectCommand: AddCommand = (program, { terminal, signal }, done) => {
  const command = program
    .command('inspect')
    .summary('show what a checkpoint is')
    .description(
      'Show format, model and tensors of a checkpoint (PyTorch .pth of any age, .pkl of NumPy arrays, safetensors), and ' +
        'check that it is whole',
    )
    .argument('<file|name>', 'checkpoint, in which nothing is executed, or the name of a model ("pull --list")');
  addZooOptions(command)
    .option('--json', 'print JSON: format, family, config, tensors')
    .option('--hash', "add the SHA-256 of every tensor's contiguous little-endian bytes")
    .option('--verbose', 'show the stack of errors')
    .action(async (source: string, { json = false, hash = false, ...flags }: InspectFlags) => {
      const progress = downloadProgress(terminal);
      const options = { hash, signal, ...zooOptions(flags), onDownload: progress.report };
      const report = await step(EXIT.model, inspectCheckpoint(source, options)).finally(() => progress.stop());
      const { format, family, config, tensors } = report;
      if (json) terminal.print(JSON.stringify({ format, family, config, tensors }, null, 2));
      else terminal.print(formatReport(report));
      done(EXIT.ok);
    });
};

function formatReport({ format, family, config, problem, bytes, tensors }: CheckpointReport): string {
  const facts = [
    ['format', format],
    ['family', family ?? 'unknown'],
    ['model', config?.model ?? 'unknown'],
    ['tensors', String(tensors.length)],
    ['size', `${bytes} bytes (${formatBytes(bytes)})`],
  ];
  const rows = tensors.map(({ name, dtype, shape, sha256 = '' }) => [
    printable(name).replaceAll('\n', '\ufffd'),
    dtype,
    `[${shape.join(', ')}]`,
    sha256,
  ]);
  const why = problem === null ? '' : `\n${printable(problem)}\n`;
  return `${formatTable(facts)}\n${why}\n${formatTable(rows)}`;
}
