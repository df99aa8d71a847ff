/** instaseg pull: published checkpoints into the cache. */
import { listZoo, pullWeights, type PullOptions } from '../index.js';
import { downloadProgress } from './download-progress.js';
import { EXIT, step, usageError } from './exit.js';
import { addZooOptions, integer, zooOptions, type ZooFlags } from './options.js';
import type { AddCommand, Context } from './program.js';
import { formatTable } from './terminal.js';

interface PullFlags extends ZooFlags, Pick<PullOptions, 'retries'> {
  readonly list?: boolean;
  readonly json?: boolean;
  /** Seconds. */
  readonly timeout?: number;
}

const HELP = `
Prints the path of each file. Files that are there are checked, and replaced if they are damaged; interrupted downloads
go on where they ended.

Environment:
  INSTASEG_CACHE       folder of the files, as --cache-dir
  INSTASEG_OFFLINE     1: never use the network, as --offline; the other commands and load() heed it too
  INSTASEG_MIRROR      download from a copy of a cache folder at this address, as --mirror
  https_proxy, http_proxy, all_proxy, no_proxy    proxies, in lower or upper case
  NODE_EXTRA_CA_CERTS  file with the certificates of your own network

The models' files belong to their authors: --list says under which licences they are published.`;

export const addPullCommand: AddCommand = (program, context, done) => {
  const command = program
    .command('pull')
    .summary('download published weights')
    .description('Download published checkpoints into the cache, where every command finds them by name')
    .argument('[name...]', 'names of models, as --list shows them')
    .option('--list', 'list the models that there are')
    .option('--json', 'with --list: as JSON');
  addZooOptions(command)
    .option('--timeout <seconds>', 'longest wait for an answer, or for more of it; by default 30', integer(1, 86_400))
    .option('--retries <n>', 'failures in a row before it is given up; by default 5', integer(0, 1000))
    .option('--verbose', 'show the stack of errors')
    .option('--quiet', 'print errors only')
    .addHelpText('after', HELP)
    .action(async (names: readonly string[], flags: PullFlags) => {
      if (flags.list) context.terminal.print(flags.json ? JSON.stringify(listZoo(), null, 2) : formatZoo());
      else await pull(names, flags, context);
      done(EXIT.ok);
    });
};

async function pull(names: readonly string[], flags: PullFlags, { terminal, signal }: Context): Promise<void> {
  if (names.length === 0) throw usageError(`the name of a model is missing; there are\n${formatZoo()}`);
  const { retries, timeout } = flags;
  const progress = downloadProgress(terminal);
  try {
    for (const name of names) {
      const pulled = pullWeights(name, {
        ...zooOptions(flags),
        retries,
        timeout: timeout === undefined ? undefined : timeout * 1000,
        signal,
        onProgress: progress.report,
      });
      const { path } = await step(EXIT.model, pulled);
      progress.stop();
      terminal.print(path);
    }
  } finally {
    progress.stop();
  }
}

function formatZoo(): string {
  const header = ['model', 'family', 'MB', 'mask AP', 'on', 'licence'];
  const rows = listZoo().map(({ name, family, megabytes, maskAp, split, licence }) => [
    name,
    family,
    String(megabytes),
    maskAp.toFixed(1),
    split,
    licence,
  ]);
  return formatTable([header, ...rows], [2, 3]);
}
