/** Loading the model that --weights names. */
import { load, type InstanceSegmenter } from '../index.js';
import { downloadProgress } from './download-progress.js';
import { EXIT, step } from './exit.js';
import { zooOptions, type ModelFlags } from './options.js';
import type { Context } from './program.js';
import { formatDuration } from './terminal.js';

/**
 * Loads a model, says what it is and where it runs, and shows the download where its weights are not there yet. A failure
 * ends the command.
 */
export async function loadModel(weights: string, flags: ModelFlags, context: Context): Promise<InstanceSegmenter> {
  const { terminal, signal } = context;
  const { device, precision, threads, isa, classNames, model: name } = flags;
  const options = { device, precision, threads, isa, classNames, model: name, ...zooOptions(flags), signal };
  const started = performance.now();
  const progress = downloadProgress(terminal);
  try {
    const model = await step(EXIT.model, load(weights, { ...options, onDownload: progress.report }));
    const { config, deviceInfo } = model;
    terminal.detail(`model   ${config.model} (${config.family}), ${config.numClasses - 1} classes`);
    terminal.detail(`device  ${deviceInfo.name}, ${deviceInfo.threads} threads, ${deviceInfo.isa}`);
    if (deviceInfo.fallbackReason !== undefined) terminal.detail(`        not CUDA: ${deviceInfo.fallbackReason}`);
    terminal.detail(`loaded  in ${formatDuration(performance.now() - started)}`);
    return model;
  } finally {
    progress.stop();
  }
}
