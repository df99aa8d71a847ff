// Jest runs tests in a realm of its own, where Float32Array, Error and Promise are others than the addon's.
const { readFileSync } = require('node:fs');
const { dirname, join } = require('node:path');
const { Device, InstasegError, load, ops, Tensor } = require('instaseg');

const root = dirname(require.resolve('instaseg/package.json'));
const scene = join(root, 'models/demo/scenes/scene-1.jpg');
const expected = JSON.parse(readFileSync(join(__dirname, 'expected.json'), 'utf8'));

describe('in a realm of its own', () => {
  let model;
  beforeAll(async () => {
    model = await load('yolactplus_demo', { device: 'cpu' });
  });
  afterAll(() => model.dispose());

  test('files, buffers and typed arrays of either realm give the same objects', async () => {
    const options = { scoreThreshold: 0.5 };
    expect(JSON.parse(JSON.stringify(await model.segment(scene, options)))).toEqual(expected);
    const inBuffer = await model.segment(readFileSync(scene), options);
    const inArray = await model.segment(new Uint8Array(readFileSync(scene)), options);
    expect(inBuffer.instances).toHaveLength(expected.length);
    expect(inArray.instances.map(({ score }) => score)).toEqual(inBuffer.instances.map(({ score }) => score));
    expect((await inArray.overlay().toBuffer()).length).toBeGreaterThan(1000);
    expect((await inArray.instances[0].mask.cutout(scene)).length).toBeGreaterThan(100);
    const raw = { data: new Uint8Array(64 * 48 * 3).fill(128), width: 64, height: 48, channels: 3 };
    expect((await model.segment(raw)).instances).toBeDefined();
  });

  test('tensors are made of typed arrays, and results are typed arrays', async () => {
    const device = await Device.open('cpu', { threads: 1 });
    const output = await device.run(() => ops.relu(Tensor.from(new Float32Array([-1, 2]), [2])));
    expect(Array.from(output.data)).toEqual([0, 2]);
    await device.dispose();
  });

  test('errors of native code and of ours are InstasegError', async () => {
    await expect(load('nowhere.safetensors', { device: 'cpu' })).rejects.toThrow(InstasegError);
    const device = await Device.open('cpu', { threads: 1 });
    const wide = Tensor.zeros([1, 4, 4, 3]);
    const weight = Tensor.zeros([8, 5, 3, 3]);
    await expect(device.run(() => ops.conv2d(wide, weight))).rejects.toThrow(InstasegError);
    await expect(Device.open('cuda:31')).rejects.toMatchObject({ code: 'ERR_DEVICE_UNAVAILABLE' });
    await device.dispose();
  });
});
