import test from 'ava';
import { Device, InstasegError, Tensor, ops } from '../../src/index.js';

test('a typed array becomes a tensor without a copy', (t) => {
  const data = new Float32Array([1, 2, 3, 4, 5, 6]);
  const tensor = Tensor.from(data, [2, 3]);
  t.is(tensor.data, data);
  t.is(tensor.dtype, 'f32');
  t.deepEqual([...tensor.shape], [2, 3]);
  t.is(Tensor.from(new Int32Array(4)).dtype, 'i32');
  t.is(Tensor.from(new Uint8Array(4)).dtype, 'u8');
  t.is(Tensor.from(new Uint16Array(4), [4], 'bf16').dtype, 'bf16');
});

test('zeros have the asked type and size', (t) => {
  t.deepEqual([...Tensor.zeros([2, 2], 'i32').data], [0, 0, 0, 0]);
  t.is(Tensor.zeros([0, 5]).length, 0);
});

test('what is no tensor is refused with a code', (t) => {
  const code = (body: () => unknown, expected: string): void => {
    const error = t.throws(body, { instanceOf: InstasegError });
    t.is(error?.code, expected as never);
  };
  code(() => Tensor.from([1, 2] as never), 'ERR_ARGUMENT');
  code(() => Tensor.from(new Float64Array(2) as never), 'ERR_ARGUMENT');
  code(() => Tensor.from(new Float32Array(3), [2, 2]), 'ERR_SHAPE');
  code(() => Tensor.from(new Float32Array(3), [-3] as never), 'ERR_ARGUMENT');
  code(() => Tensor.from(new Float32Array(3), [1.5, 2]), 'ERR_ARGUMENT');
  code(() => Tensor.from(new Float32Array(3), [3], 'i32'), 'ERR_ARGUMENT');
});

test('bytes may be clamped ones', async (t) => {
  const device = await Device.open('cpu', { threads: 1 });
  const { data } = await device.run(() => ops.cast(Tensor.from(Uint8ClampedArray.of(1, 300), [2]), 'f32'));
  t.deepEqual([...data], [1, 255]);
  await device.dispose();
});
