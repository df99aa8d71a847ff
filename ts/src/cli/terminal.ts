/** What the commands print: results on stdout, everything else on stderr. */
import { inspect } from 'node:util';
import { SingleBar } from 'cli-progress';

/** A line that shows how far a long command is. */
export interface Progress {
  update(done: number): void;
  stop(): void;
}

export class Terminal {
  /** Errors with their stack, and details of what is done. */
  verbose = false;
  /** Neither results nor progress; errors and warnings stay. */
  quiet = false;
  #closed = false;
  #bar: SingleBar | undefined;

  constructor() {
    // `instaseg ... | head` closes the pipe early; that is no error of ours.
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
      this.#closed = true;
    });
    process.stderr.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });
  }

  /** Whether the reader of stdout has gone away. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Results, as they are. */
  write(text: string): void {
    if (this.#closed) return;
    this.#aside(() => process.stdout.write(text));
  }

  /** A line of results. */
  print(line: string): void {
    if (!this.quiet) this.write(`${line}\n`);
  }

  /** A detail, with --verbose. */
  detail(line: string): void {
    if (this.verbose) this.error(line);
  }

  /** A line about what happens, on stderr. */
  note(line: string): void {
    if (!this.quiet) this.error(line);
  }

  /** A line that even --quiet shows. */
  error(line: string): void {
    this.#aside(() => process.stderr.write(`${line}\n`));
  }

  /** `error ERR_CODE: message`; with --verbose the stack and the causes too. `about` names what it happened to. */
  report(error: unknown, about?: string): void {
    const { code, message } = describe(error);
    const subject = about === undefined || message.includes(about) ? '' : `${about}: `;
    this.error(`error ${code}: ${subject}${message}`);
    if (this.verbose) this.error(inspect(error));
  }

  /** Shows progress on stderr where that is a terminal. */
  progress(total: number, format: string, value?: (done: number) => string): Progress {
    if (this.quiet || !process.stderr.isTTY) return { update: () => undefined, stop: () => undefined };
    const bar = new SingleBar({
      format,
      stream: process.stderr,
      clearOnComplete: true,
      barsize: 30,
      forceRedraw: true, // #aside clears the line
      // Nothing of the terminal is changed, so that a hard end leaves it as it was.
      gracefulExit: false,
      hideCursor: false,
      linewrap: true,
      ...(value && {
        formatValue: (n: number, _: unknown, type: string) =>
          type === 'value' || type === 'total' ? value(n) : String(n),
      }),
    });
    bar.start(total, 0);
    this.#bar = bar;
    return {
      update: (done) => bar.update(done),
      stop: () => {
        bar.stop();
        this.#bar = undefined;
      },
    };
  }

  /** Writes something with the progress bar out of the way. */
  #aside(write: () => void): void {
    if (!this.#bar) {
      write();
      return;
    }
    process.stderr.write('\r\x1b[K');
    write();
    process.stderr.write('\x1b7'); // where the bar's end returns to
    this.#bar.render();
  }
}

function describe(error: unknown): { code: string; message: string } {
  if (!(error instanceof Error)) return { code: 'ERR_INTERNAL', message: String(error) };
  const { code } = error as NodeJS.ErrnoException;
  return { code: typeof code === 'string' ? code : 'ERR_INTERNAL', message: printable(error.message) };
}

/** Text out of files, without control characters other than line ends: those could steer the terminal. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex -- they are what it is about
  return text.replace(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/g, '\ufffd');
}

export function formatBytes(bytes: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB'];
  const power = Math.min(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), units.length - 1);
  const value = bytes / 1000 ** power;
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : 1)} ${units[power]}`;
}

export function formatDuration(milliseconds: number): string {
  return milliseconds < 1000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(2)} s`;
}

/** Rows of cells in columns; those of `right` are aligned to the right. */
export function formatTable(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  // Not Math.max(...lengths): the rows may be more than the arguments that a call takes.
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((width, row) => Math.max(width, row[column]!.length), 0),
  );
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))).join('  ');
  return rows.map((row) => `  ${line(row)}`.trimEnd()).join('\n');
}
