/** Loading a model. */
import { Device, type DeviceName, type DeviceOptions } from '../runtime/device.js';
import { loadSharp } from '../image/sharp.js';
import { loadParameters } from '../nn/parameters.js';
import { InstasegError } from '../runtime/errors.js';
import { requireOneOf, requireSignal } from '../runtime/validate.js';
import { bundledWeights } from '../weights/bundled.js';
import type { ConfigOverrides } from '../weights/families/config.js';
import { loadCheckpoint } from '../weights/load.js';
import type { SegmenterOptions } from './options.js';
import { networkOf } from './registry.js';
import { InstanceSegmenter } from './segmenter.js';

export interface LoadOptions extends DeviceOptions, SegmenterOptions, ConfigOverrides {
  /** Where to run: a name, opened for this model alone, or a device that is shared and stays the caller's. */
  readonly device?: DeviceName | Device | undefined;
  /** Arithmetic; `f32` is IEEE single precision. Others come with the CUDA backend. */
  readonly precision?: 'f32' | undefined;
  /** Expected SHA-256 of the file, or its first 8 to 63 hex digits: another file is ERR_CHECKPOINT. */
  readonly sha256?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Loads a model from a checkpoint file: safetensors, or PyTorch's formats (.pth), the one before 1.6 included. Family and configuration come from
 * the metadata that `instaseg convert` writes, else from the tensors' names and shapes.
 * The names `maskrcnn_demo` and `yolactplus_demo` are those of the small networks in the package.
 *
 *     const model = await load('maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth', { device: 'auto' });
 *
 * @throws InstasegError ERR_FILE, ERR_CHECKPOINT, ERR_CHECKPOINT_UNSAFE, ERR_WEIGHTS, ERR_DEVICE_UNAVAILABLE
 */
export async function load(source: string | URL, options: LoadOptions = {}): Promise<InstanceSegmenter> {
  const signal = requireSignal(options.signal);
  signal?.throwIfAborted();
  if (options.precision !== undefined && options.precision !== 'f32') {
    requireOneOf('precision', options.precision, ['f32', 'tf32', 'f16', 'bf16']);
    throw new InstasegError('ERR_UNSUPPORTED', `precision "${String(options.precision)}" needs a CUDA device`);
  }
  // Loading sharp blocks the event loop for a while: now, rather than in the first call of segment.
  await loadSharp();
  const checkpoint = await loadCheckpoint(bundledWeights(source), { ...options, ...(signal && { signal }) });
  try {
    const shared = options.device instanceof Device ? options.device : undefined;
    const device = shared ?? (await Device.open((options.device as DeviceName | undefined) ?? 'auto', options));
    try {
      const parameters = await loadParameters(device, checkpoint, signal);
      const { config } = checkpoint;
      const model = new InstanceSegmenter(device, networkOf(config), parameters, config, {
        ...options,
        ownsDevice: !shared,
      });
      await model.prepare();
      return model;
    } catch (error) {
      if (!shared) await device.dispose();
      throw error;
    }
  } finally {
    await checkpoint.close();
  }
}
