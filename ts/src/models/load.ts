/** Loading a model. */
import { Device, type DeviceName, type DeviceOptions } from '../runtime/device.js';
import { loadSharp } from '../image/sharp.js';
import { loadParameters } from '../nn/parameters.js';
import { InstasegError } from '../runtime/errors.js';
import { requireHash } from '../weights/checkpoint.js';
import type { ConfigOverrides } from '../weights/families/config.js';
import { loadCheckpoint } from '../weights/load.js';
import { toPath } from '../weights/source-file.js';
import type { DownloadOptions } from '../weights/zoo/pull.js';
import { resolveWeights } from '../weights/zoo/resolve.js';
import { deviceOptions, requireLoadOptions } from './load-options.js';
import type { Precision, SegmenterOptions } from './options.js';
import { networkOf } from './registry.js';
import { InstanceSegmenter, requireLimits } from './segmenter.js';

export interface LoadOptions extends DeviceOptions, SegmenterOptions, ConfigOverrides, DownloadOptions {
  /** Where to run: a name, opened for this model alone, or a device that is shared and stays the caller's. */
  readonly device?: DeviceName | Device | undefined;
  /**
   * Arithmetic of the network's feature maps: `f32` (default) is as accurate as IEEE single precision; `tf32`, `f16` and
   * `bf16` need a CUDA device, accumulate in f32, and leave boxes, scores and coordinates in f32.
   */
  readonly precision?: Precision | undefined;
  /** Expected SHA-256 of the file, or its first 8 to 63 hex digits: another file is ERR_CHECKPOINT. */
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

function requirePrecision(device: Device, precision: Precision): void {
  if (precision === 'f32' || device.name !== 'cpu') return;
  const reason = device.fallbackReason === undefined ? '' : ` (${device.fallbackReason})`;
  throw new InstasegError(
    'ERR_UNSUPPORTED',
    `precision "${precision}" needs a CUDA device; the model is on the CPU${reason}`,
  );
}

/**
 * Loads a model by the name of its published checkpoint (`listZoo`), which is downloaded once and then kept in a cache, or
 * from a checkpoint file: safetensors, PyTorch's formats (.pth), the one before 1.6 included, or a pickle of arrays
 * (.pkl). Family and configuration come from the metadata that `instaseg convert` writes, else from the tensors' names and
 * shapes. A file never leads to the network. The names `maskrcnn_demo` and `yolactplus_demo` are those of the small
 * networks in the package.
 *
 *     const model = await load('maskrcnn_resnet50_fpn');
 *     const model = await load('fine-tuned.safetensors', { device: 'auto' });
 *
 * @throws InstasegError ERR_FILE, ERR_DOWNLOAD, ERR_CHECKPOINT, ERR_CHECKPOINT_UNSAFE, ERR_WEIGHTS about the weights,
 *   ERR_UNSUPPORTED for a model or a precision that is not there, ERR_ARGUMENT, ERR_DEVICE_UNAVAILABLE, ERR_OUT_OF_MEMORY,
 *   ERR_GPU_OOM, ERR_ADDON; or the signal's reason
 */
export async function load(source: string | URL, options: LoadOptions = {}): Promise<InstanceSegmenter> {
  const { signal, precision = 'f32' } = requireLoadOptions(options);
  signal?.throwIfAborted();
  // Whatever can be wrong before the weights are there is said before they are downloaded.
  if (typeof source !== 'string') toPath(source);
  requireHash(options.sha256);
  const limits = requireLimits(options);
  const shared = options.device instanceof Device ? options.device : undefined;
  const device =
    shared ?? (await Device.open((options.device as DeviceName | undefined) ?? 'auto', deviceOptions(options)));
  try {
    requirePrecision(device, precision);
    const file = await resolveWeights(source, { ...options, onProgress: options.onDownload });
    // Loading sharp blocks the event loop for a while: now, rather than in the first call of segment.
    await loadSharp();
    const checkpoint = await loadCheckpoint(file, { ...options, ...(signal && { signal }) });
    try {
      const parameters = await loadParameters(device, checkpoint, signal);
      const { config } = checkpoint;
      const context = { ...limits, ownsDevice: !shared, precision };
      const model = new InstanceSegmenter(device, networkOf(config), parameters, config, context);
      await model.prepare();
      return model;
    } finally {
      await checkpoint.close();
    }
  } catch (error) {
    if (!shared) await device.dispose();
    throw error;
  }
}
