/** The program: its commands, and how each ends. */
import { Command, CommanderError } from 'commander';
import { version } from '../index.js';
import { addBenchCommand } from './bench.js';
import { addBuildCommand } from './build.js';
import { addConvertCommand } from './convert.js';
import { addDemoCommand } from './demo.js';
import { addDevicesCommand } from './devices.js';
import { addDoctorCommand } from './doctor.js';
import { addEvalCommand } from './eval.js';
import { CommandFailure, EXIT, type ExitCode } from './exit.js';
import { addInspectCommand } from './inspect.js';
import { addPullCommand } from './pull.js';
import { addSegmentCommand } from './segment.js';
import type { Terminal } from './terminal.js';

const HELP = `
Examples:
  $ instaseg demo                                          a try-out that needs nothing
  $ instaseg segment street.jpg --weights maskrcnn_resnet50_fpn --overlay street-masks.png
  $ instaseg segment photos/*.jpg --weights mask.safetensors --json results.json --overlay drawn/
  $ instaseg pull yolact_plus_resnet50                     published weights, into the cache
  $ instaseg convert maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth -o mask.safetensors
  $ instaseg inspect yolact_plus_resnet50_54_800000.pth
  $ instaseg eval --annotations instances_val2017.json --images val2017 --weights mask.safetensors
  $ instaseg bench model maskrcnn_demo
  $ instaseg devices
  $ instaseg doctor                                        what an issue report needs

Exit codes:
  0    everything worked
  1    an image failed (the others were processed nevertheless), or a result could not be written
  2    wrong usage
  3    the model could not be downloaded, loaded or converted, or its device is not available;
       doctor: the native addon or sharp could not be loaded
  130  interrupted`;

/** What commands share. */
export interface Context {
  readonly terminal: Terminal;
  readonly signal: AbortSignal;
}

/** Adds a command whose action returns the exit code. */
export type AddCommand = (program: Command, context: Context, done: (code: ExitCode) => void) => void;

const COMMANDS: readonly AddCommand[] = [
  addSegmentCommand,
  addPullCommand,
  addConvertCommand,
  addInspectCommand,
  addEvalCommand,
  addBenchCommand,
  addDevicesCommand,
  addDoctorCommand,
  addBuildCommand,
  addDemoCommand,
];

/** Runs a command line (without node and the script) and returns the exit code. Errors have been reported by then. */
export async function run(args: readonly string[], terminal: Terminal, signal: AbortSignal): Promise<number> {
  let exitCode: ExitCode = EXIT.ok;
  const program = new Command('instaseg')
    .description('Instance segmentation: masks of the objects in photographs')
    .version(version, '-V, --version')
    .addHelpText('after', HELP)
    .showHelpAfterError('(--help shows how it is used)')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, 'error ERR_ARGUMENT: ')),
    })
    .hook('preAction', (_, command) => {
      const { verbose = false, quiet = false } = command.opts<{ verbose?: boolean; quiet?: boolean }>();
      Object.assign(terminal, { verbose, quiet });
    });
  for (const add of COMMANDS) add(program, { terminal, signal }, (code) => (exitCode = code));
  try {
    await program.parseAsync(args, { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (signal.aborted) return EXIT.failed; // the caller knows which signal it was
    terminal.report(error instanceof CommandFailure ? error.cause : error);
    return error instanceof CommandFailure ? error.exitCode : EXIT.failed;
  }
}
