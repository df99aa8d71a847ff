// Every kind of thing that the package exports, as a strict program uses it: it is type-checked, not run.
import {
  Device,
  diagnostics,
  InstasegError,
  listDevices,
  load,
  ops,
  Tensor,
  version,
  type DeviceInfo,
  type InstanceSegmenter,
  type Mask,
  type SegmentationResult,
} from 'instaseg';
import { load as loadInBundle } from 'instaseg/linux-x64';

const same: typeof load = loadInBundle;

export async function main(path: string, signal: AbortSignal): Promise<number> {
  const model: InstanceSegmenter = await same(path, { device: 'auto', signal });
  await using _device = await Device.open('cpu', { threads: 1 });
  const kept = await _device.run(() => ops.relu(Tensor.from(new Float32Array([-1, 1]), [2])));
  try {
    const result: SegmentationResult = await model.segment(path, { scoreThreshold: 0.5, signal });
    const masks: Mask[] = result.instances.map(({ mask }) => mask);
    const devices: DeviceInfo[] = listDevices();
    const report = await diagnostics();
    // @ts-expect-error -- no such option
    await model.segment(path, { scoreTreshold: 0.5 });
    return masks.length + devices.length + report.version.length + version.length + kept.shape.length;
  } catch (error) {
    if (error instanceof InstasegError && error.code === 'ERR_IMAGE') return -1;
    throw error;
  } finally {
    await model.dispose();
  }
}
