import { callback, oneOf, optional, readOptions, type OptionChecks } from '../runtime/options.js';
import { castData, type WeightDType } from './cast.js';
import { OPEN_OPTIONS, type OpenCheckpointOptions } from './checkpoint.js';
import { CONFIG_OPTIONS, type ConfigOverrides, configToMetadata, type ModelConfig } from './families/config.js';
import { loadCheckpoint } from './load.js';
import { writeSafetensors } from './safetensors.js';
import { DOWNLOAD_OPTIONS, type DownloadOptions } from './zoo/pull.js';
import { resolveWeights } from './zoo/resolve.js';
import { byteLength } from './tensor-info.js';

/** How far {@link convertCheckpoint} is. */
export interface ConvertProgress {
  /** Canonical name of the tensor that has just been written. */
  readonly tensor: string;
  readonly tensorsDone: number;
  readonly tensorsTotal: number;
  /** Bytes of tensor data. */
  readonly bytesDone: number;
  readonly bytesTotal: number;
}

export interface ConvertOptions extends ConfigOverrides, OpenCheckpointOptions, DownloadOptions {
  /** Element type of all tensors; by default each keeps its own. f16 and bf16 halve the file. */
  readonly dtype?: WeightDType | undefined;
  /** Called as the work goes on. */
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
}

const OPTIONS = {
  ...CONFIG_OPTIONS,
  ...OPEN_OPTIONS,
  ...DOWNLOAD_OPTIONS,
  dtype: optional(oneOf('f32', 'f16', 'bf16')),
  onProgress: optional(callback<[ConvertProgress]>),
} satisfies OptionChecks<ConvertOptions>;

/** What {@link convertCheckpoint} wrote. */
export interface ConvertResult {
  /** What was recorded in the file. */
  readonly config: ModelConfig;
  /** Number of tensors written. */
  readonly tensors: number;
  /** Size of the written file. */
  readonly bytes: number;
}

/**
 * Converts any checkpoint that can be read into a safetensors file with canonical names and the whole configuration in
 * its metadata. Element types stay as they are unless `dtype` is given; what only training needs (`num_batches_tracked`
 * counters, heads of auxiliary losses) is dropped, and what the counters say about the normalisation is recorded in the
 * configuration. The output appears only when it is complete.
 * @param input its file, or the name of a model as for `load`
 * @throws InstasegError ERR_FILE, ERR_DOWNLOAD, ERR_CHECKPOINT, ERR_CHECKPOINT_UNSAFE about the files, ERR_WEIGHTS for weights of no known
 *   model or a number that `dtype` cannot hold, ERR_UNSUPPORTED for a known but missing one, ERR_ARGUMENT for overrides that
 *   do not fit; or the signal's reason
 */
export async function convertCheckpoint(
  input: string | URL,
  output: string | URL,
  options: ConvertOptions = {},
): Promise<ConvertResult> {
  const { dtype, signal, onProgress, onDownload } = readOptions('convertCheckpoint', options, OPTIONS);
  const file = await resolveWeights(input, { ...options, signal, onProgress: onDownload });
  const { config, tensors, close } = await loadCheckpoint(file, options);
  try {
    const sources = [...tensors.values()].map(({ info, read }) =>
      dtype === undefined || dtype === info.dtype
        ? { ...info, read }
        : { ...info, dtype, read: () => castData(info.name, read(), info.dtype, dtype) },
    );
    const bytesTotal = sources.reduce((sum, info) => sum + byteLength(info), 0);
    let tensorsDone = 0;
    let bytesDone = 0;
    const bytes = await writeSafetensors(
      output,
      sources,
      { format: 'pt', ...configToMetadata(config) },
      {
        signal: options.signal,
        onTensor: (info) => {
          bytesDone += byteLength(info);
          tensorsDone++;
          onProgress?.({ tensor: info.name, tensorsDone, tensorsTotal: sources.length, bytesDone, bytesTotal });
        },
      },
    );
    return { config, tensors: sources.length, bytes };
  } finally {
    await close();
  }
}
