/** What a download shows on stderr. */
import { listZoo, type PullProgress } from '../index.js';
import { formatBytes, type Progress, type Terminal } from './terminal.js';

/** Reports downloads: a line when one begins, for logs too, and a bar on terminals. `stop` takes the bar away. */
export function downloadProgress(terminal: Terminal): { report: (progress: PullProgress) => void; stop: () => void } {
  let bar: Progress | undefined;
  let phase = '';
  const stop = (): void => {
    bar?.stop();
    bar = undefined;
  };
  const report = (progress: PullProgress): void => {
    const total = progress.bytesTotal ?? approximateBytes(progress.model);
    const started = `${progress.model} ${progress.phase}`;
    if (phase !== started) {
      stop();
      phase = started;
      if (progress.phase === 'waiting') terminal.note(`${progress.model}: another process is downloading it; waiting`);
      if (progress.phase === 'downloading') terminal.note(`${progress.model}: downloading ${formatBytes(total)}`);
    }
    if (progress.phase !== 'downloading') return;
    bar ??= terminal.progress(total, '{bar} {value} / {total}, {eta_formatted} left', formatBytes);
    bar.update(Math.min(progress.bytesDone, total));
  };
  return { report, stop };
}

const approximateBytes = (name: string): number =>
  1e6 * (listZoo().find((model) => model.name === name)?.megabytes ?? 0);
