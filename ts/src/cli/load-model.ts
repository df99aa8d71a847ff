/** Loading the model that --weights names. */
import { load, type InstanceSegmenter, type LoadOptions } from '../index.js';
import { downloadProgress } from './download-progress.js';
import { EXIT, step } from './exit.js';
import type { Terminal } from './terminal.js';

/** Loads a model, and shows the download where its weights are not there yet. A failure ends the command. */
export async function loadModel(weights: string, options: LoadOptions, terminal: Terminal): Promise<InstanceSegmenter> {
  const progress = downloadProgress(terminal);
  try {
    return await step(EXIT.model, load(weights, { ...options, onDownload: progress.report }));
  } finally {
    progress.stop();
  }
}
