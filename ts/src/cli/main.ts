#!/usr/bin/env node
/** Entry of the command line: signals and exit codes. The commands are in the files beside it. */
import { run } from './program.js';
import { Terminal } from './terminal.js';

const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

const controller = new AbortController();
let interrupted: number | undefined;
for (const [name, code] of Object.entries(SIGNALS)) {
  process.on(name, () => {
    if (interrupted !== undefined) process.exit(code); // asked twice: no time for cleaning up
    interrupted = code;
    controller.abort();
  });
}

const terminal = new Terminal();
void run(process.argv.slice(2), terminal, controller.signal).then((code) => {
  // Not process.exit(): output may still be on its way into a pipe.
  process.exitCode = interrupted ?? code;
  if (interrupted !== undefined) terminal.error('interrupted');
});
