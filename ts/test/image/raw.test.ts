import { runInNewContext } from 'node:vm';
import test, { type ExecutionContext } from 'ava';
import { decodeImage, type DecodedImage } from '../../src/image/decode.js';
import type { ImageInput, RawImage } from '../../src/image/input.js';

const decode = (raw: object): Promise<DecodedImage> => decodeImage(raw as RawImage);

async function refuse(t: ExecutionContext, raw: object, message: RegExp): Promise<void> {
  await t.throwsAsync(decode(raw), { code: 'ERR_IMAGE', message });
}

test('channels: grey is spread, alpha is dropped, none means four', async (t) => {
  const size = { width: 2, height: 1 };
  const rgb = async (raw: object): Promise<number[]> => [...(await decode({ ...size, ...raw })).data];
  t.deepEqual(await rgb({ data: Uint8Array.of(7, 9), channels: 1 }), [7, 7, 7, 9, 9, 9]);
  t.deepEqual(await rgb({ data: Uint8Array.of(7, 0, 9, 255), channels: 2 }), [7, 7, 7, 9, 9, 9]);
  t.deepEqual(await rgb({ data: Uint8Array.of(1, 2, 3, 4, 5, 6), channels: 3 }), [1, 2, 3, 4, 5, 6]);
  t.deepEqual(await rgb({ data: Uint8Array.of(1, 2, 3, 0, 4, 5, 6, 9), channels: 4 }), [1, 2, 3, 4, 5, 6]);
  t.deepEqual(await rgb({ data: Uint8ClampedArray.of(1, 2, 3, 0, 4, 5, 6, 9) }), [1, 2, 3, 4, 5, 6]);
});

test('views into larger buffers and strides are honoured', async (t) => {
  for (const ArrayType of [Uint8Array, Uint8ClampedArray, Uint16Array, Float32Array]) {
    const unit = ArrayType === Uint16Array ? 257 : 1;
    const whole = new ArrayType(Array.from({ length: 40 }, (_, i) => i * unit));
    const data = whole.subarray(5, 5 + 8 + 6);
    const image = await decode({ data, width: 2, height: 2, channels: 3, stride: 8 });
    t.deepEqual([...image.data], [5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 17, 18], ArrayType.name);
    t.is(image.data.constructor, ArrayType === Float32Array ? Float32Array : Uint8Array);
    t.deepEqual([image.width, image.height, image.channels, image.name], [2, 2, 3, undefined]);
  }
});

test('pixels are copied before the call returns', async (t) => {
  const data = Uint8Array.of(1, 2, 3);
  const pending = decode({ data, width: 1, height: 1, channels: 3 });
  data.fill(99);
  t.deepEqual([...(await pending).data], [1, 2, 3]);
});

test('16 bits are scaled to 8 and rounded', async (t) => {
  const data = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const image = await decode({ data, width: 256, height: 256, channels: 1 });
  const red = image.data.filter((_, i) => i % 3 === 0);
  t.true(data.every((value, i) => Math.abs(red[i]! - value / 257) <= 0.5));
});

test('shared memory, other realms and ImageData-like objects are taken', async (t) => {
  const shared = new Uint8Array(new SharedArrayBuffer(3));
  shared.set([1, 2, 3]);
  t.deepEqual([...(await decode({ data: shared, width: 1, height: 1, channels: 3 })).data], [1, 2, 3]);

  const foreign = runInNewContext('({ data: Uint8ClampedArray.of(1, 2, 3, 4), width: 1, height: 1 })') as object;
  t.deepEqual([...(await decode(foreign)).data], [1, 2, 3]);
  const foreignFloats = runInNewContext('({ data: Float32Array.of(1.5), width: 1, height: 1, channels: 1 })') as object;
  t.deepEqual([...(await decode(foreignFloats)).data], [1.5, 1.5, 1.5]);

  class ImageData {
    get data(): Uint8ClampedArray {
      return Uint8ClampedArray.of(1, 2, 3, 4);
    }
    readonly width = 1;
    readonly height = 1;
    readonly colorSpace = 'srgb';
  }
  t.deepEqual([...(await decode(new ImageData())).data], [1, 2, 3]);
});

test('a decoded image is an input itself', async (t) => {
  const once = await decode({ data: Float32Array.of(0.25, 100, 255), width: 1, height: 1, channels: 3 });
  t.deepEqual(await decodeImage(once), once);
});

test('very long images work', async (t) => {
  const image = await decode({ data: new Uint8Array(20_000 * 20).fill(7), width: 20_000, height: 20, channels: 1 });
  t.is(image.data.length, 20_000 * 20 * 3);
});

test('values that are no numbers are refused with their place', async (t) => {
  const data = new Float32Array(2 * 3 * 3);
  data[2 * 3 * 2 + 3 + 1] = NaN;
  await refuse(t, { data, width: 2, height: 3, channels: 3 }, /received NaN at x 1, y 2, channel 1/);
  await refuse(
    t,
    { data: Float32Array.of(-Infinity), width: 1, height: 1, channels: 1 },
    /received -Infinity at x 0, y 0/,
  );
  const alpha = { data: Float32Array.of(1, NaN), width: 1, height: 1, channels: 2 };
  t.deepEqual([...(await decode(alpha)).data], [1, 1, 1], 'alpha is not looked at');
});

test('layouts that do not fit are refused', async (t) => {
  const data = new Uint8Array(12);
  await refuse(t, { data, width: 0, height: 0 }, /width and height above 0, received 0x0/);
  await refuse(t, { data, width: 1.5, height: 2 }, /received 1.5x2/);
  await refuse(t, { data, width: -2, height: 2 }, /received -2x2/);
  await refuse(t, { data, width: Symbol('w') as never, height: 2 }, /received Symbol\(w\)x2/);
  await refuse(t, { data, width: 2, height: 2, stride: Symbol('s') as never }, /stride .* received Symbol\(s\)/);
  await refuse(t, { data, width: '2', height: 2 }, /above 0/);
  await refuse(t, { data, width: 2, height: 2 }, /expected 16 elements for 2x2 with 4 channels, received 12/);
  await refuse(t, { data, width: 2, height: 2, channels: 1 }, /expected 4 elements.*received 12/);
  await refuse(t, { data, width: 2, height: 2, channels: 5 }, /1, 2, 3 or 4 channels, received 5/);
  await refuse(t, { data, width: 2, height: 2, channels: 3, stride: 5 }, /stride of at least 6/);
  await refuse(t, { data, width: 2, height: 2, channels: 3, stride: 7 }, /at least 13 elements.*received 12/);
  await refuse(t, { data: new Int32Array(4), width: 2, height: 2, channels: 1 }, /received Int32Array/);
});

test('what is no image input is refused', async (t) => {
  for (const input of [undefined, null, 5, true, {}, [], { data: [1, 2, 3], width: 1, height: 1 }, new Date(), () => 1])
    await t.throwsAsync(decodeImage(input as unknown as ImageInput), {
      code: 'ERR_ARGUMENT',
      message: /expected an image/,
    });
});
