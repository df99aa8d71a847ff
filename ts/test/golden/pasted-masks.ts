/** Pasted masks: instaseg keeps them inside their boxes only, the reference has whole images. */
import { ops, Tensor, type Device } from '../../src/index.js';
import type { GoldenTensor } from './case-files.js';
import { compareValues, failed, type Comparison, type Tolerance } from './compare.js';

type PasteRule = 'torchvision' | 'detectron2';

/** Probabilities of whole images [n, h, w] from what pasteMasks gives for n masks of one image. */
export async function pasteSoft(
  device: Device,
  rule: PasteRule,
  masks: Tensor,
  boxes: Tensor,
  [height, width]: readonly [number, number],
): Promise<Float32Array> {
  const sizes = Tensor.from(Int32Array.of(height, width, height, width), [1, 4]);
  const { regions, offsets, values } = await device.run(() => ops.pasteSoftMasks(masks, boxes, sizes, { rule }));
  const count = boxes.shape[1]!;
  const whole = new Float32Array(count * height * width);
  for (let i = 0; i < count; i += 1) {
    const [x, y, w, h] = regions.data.subarray(i * 4, i * 4 + 4) as unknown as [number, number, number, number];
    for (let row = 0; row < h; row += 1) {
      const from = offsets.data[i]! + row * w;
      whole.set(values.data.subarray(from, from + w), (i * height + y + row) * width + x);
    }
  }
  return whole;
}

/** The same as bits, 0 or 1 a pixel. */
async function pasteBits(
  device: Device,
  rule: PasteRule,
  masks: Tensor,
  boxes: Tensor,
  [height, width]: readonly [number, number],
  threshold: number,
): Promise<Uint8Array> {
  const sizes = Tensor.from(Int32Array.of(height, width, height, width), [1, 4]);
  const { regions, offsets, bits } = await device.run(() => ops.pasteMasks(masks, boxes, sizes, { rule, threshold }));
  const count = boxes.shape[1]!;
  const whole = new Uint8Array(count * height * width);
  for (let i = 0; i < count; i += 1) {
    const [x, y, w, h] = regions.data.subarray(i * 4, i * 4 + 4) as unknown as [number, number, number, number];
    const rowBytes = Math.ceil(w / 32) * 4;
    for (let row = 0; row < h; row += 1) {
      for (let column = 0; column < w; column += 1) {
        const byte = bits.data[offsets.data[i]! * 4 + row * rowBytes + (column >> 3)]!;
        whole[(i * height + y + row) * width + x + column] = (byte >> (column & 7)) & 1;
      }
    }
  }
  return whole;
}

const THRESHOLD = 0.5;

/**
 * Soft values against the reference's, and bits against its decision: > 0.5 for torchvision, `binary` where it is stored.
 * A bit may differ only where the reference's own value is within the tolerance of the threshold.
 */
export async function comparePastedMasks(
  device: Device,
  rule: PasteRule,
  masks: Tensor,
  boxes: Tensor,
  size: readonly [number, number],
  soft: GoldenTensor,
  { tolerance, binary }: { readonly tolerance: Tolerance; readonly binary?: GoldenTensor },
): Promise<Comparison[]> {
  const values = await pasteSoft(device, rule, masks, boxes, size);
  const bits = await pasteBits(device, rule, masks, boxes, size, THRESHOLD);
  const decided = binary?.data ?? soft.data.map((value) => (value > THRESHOLD ? 1 : 0));
  const near = tolerance.atol + tolerance.rtol * THRESHOLD;
  const wrong = bits.findIndex((bit, i) => bit !== decided[i] && Math.abs(soft.data[i]! - THRESHOLD) > near);
  const binaryResult: Comparison =
    wrong < 0 && bits.length === decided.length
      ? { difference: 0, allowed: 0, ok: true }
      : failed(`pixel ${wrong} of the binary masks is ${bits[wrong]}, expected ${decided[wrong]}`);
  return [compareValues(values, soft.data, tolerance), binaryResult];
}
