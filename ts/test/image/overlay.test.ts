import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import sharp from 'sharp';
import type { DecodedImage } from '../../src/image/decode.js';
import { drawOverlay, encodeImage, type OverlayInstance, type OverlayOptions } from '../../src/image/overlay.js';
import { Mask } from '../../src/masks/mask.js';
import { SegmentationResult, type Instance } from '../../src/models/result.js';

const [WIDTH, HEIGHT] = [120, 90];
const GREY = 100;

function image(width = WIDTH, height = HEIGHT): DecodedImage {
  return { data: new Uint8Array(width * height * 3).fill(GREY), width, height, channels: 3 };
}

/** An object whose mask is the rectangle `inside`, drawn with the box `box`. */
function instance(inside: [number, number, number, number], options: Partial<OverlayInstance> = {}): OverlayInstance {
  const [left, top, width, height] = inside;
  const data = new Uint8Array(WIDTH * HEIGHT);
  for (let y = top; y < top + height; y++) data.fill(1, y * WIDTH + left, y * WIDTH + left + width);
  const mask = Mask.fromBitmap({ data, width: WIDTH, height: HEIGHT });
  return { label: 'cat', classId: 0, score: 0.98, box: inside, mask, ...options };
}

function draw(instances: OverlayInstance[], options: OverlayOptions): (x: number, y: number) => number[] {
  const pixels = drawOverlay(image(), instances, options);
  return (x, y) => [...pixels.subarray((y * WIDTH + x) * 3, (y * WIDTH + x) * 3 + 3)];
}

const NONE = { masks: false, contours: false, boxes: false, labels: false };
const RED = [0xff, 0x3c, 0x3c];
const BACKGROUND = [GREY, GREY, GREY];

test('without layers, or without objects, the image is unchanged', (t) => {
  const source = image();
  t.deepEqual(drawOverlay(source, [instance([20, 20, 30, 30])], NONE), source.data);
  t.deepEqual(drawOverlay(source, []), source.data);
});

test('the source image is not drawn on', (t) => {
  const source = image();
  t.notDeepEqual(drawOverlay(source, [instance([20, 20, 30, 30])]), source.data);
  t.deepEqual(source, image());
});

test('masks are filled with the given opacity, exactly inside', (t) => {
  const at = draw([instance([20, 30, 40, 20])], { ...NONE, masks: true, opacity: 0.5 });
  const mixed = RED.map((value) => Math.round((value + GREY) / 2));
  for (let y = 0; y < HEIGHT; y++) {
    for (let x = 0; x < WIDTH; x++) {
      const inside = x >= 20 && x < 60 && y >= 30 && y < 50;
      if (String(at(x, y)) !== String(inside ? mixed : BACKGROUND)) t.fail(`pixel ${x}, ${y} is ${at(x, y).join()}`);
    }
  }
  t.pass();
});

test('contours and boxes are lines of the given width, inside', (t) => {
  for (const layer of ['contours', 'boxes'] as const) {
    const at = draw([instance([20, 30, 40, 20])], { ...NONE, [layer]: true, lineWidth: 3 });
    for (let y = 0; y < HEIGHT; y++) {
      for (let x = 0; x < WIDTH; x++) {
        const depth = Math.min(x - 20, 59 - x, y - 30, 49 - y);
        if (String(at(x, y)) !== String(depth >= 0 && depth < 3 ? RED : BACKGROUND)) t.fail(`${layer}: ${x}, ${y}`);
      }
    }
  }
  t.pass();
});

test('small objects are drawn over large ones, whatever their order', (t) => {
  const [large, small] = [instance([10, 10, 80, 70]), instance([30, 30, 10, 10])];
  const options = { ...NONE, masks: true, opacity: 1 };
  t.notDeepEqual(draw([small, large], options)(35, 35), draw([small, large], options)(15, 15));
  t.deepEqual(draw([small, large], options)(35, 35), RED);
  t.deepEqual(draw([large, small], options)(15, 15), RED);
  t.notDeepEqual(draw([large, small], options)(35, 35), RED);
});

test('colours follow the instance or the class', (t) => {
  const objects = [instance([0, 0, 9, 9], { classId: 3 }), instance([50, 50, 9, 9], { classId: 3 })];
  const options = { ...NONE, masks: true, opacity: 1 };
  const byInstance = draw(objects, options);
  t.notDeepEqual(byInstance(3, 3), byInstance(53, 53));
  const byClass = draw(objects, { ...options, colorBy: 'class' });
  t.deepEqual(byClass(3, 3), byClass(53, 53));
});

test('labels are readable: dark or light strokes on a plate of the colour', (t) => {
  const pixels = drawOverlay(image(), [instance([20, 40, 60, 40])], { ...NONE, labels: true });
  const rows = new Set<number>();
  let [plate, ink] = [0, 0];
  for (let i = 0; i < pixels.length; i += 3) {
    const colour = String([...pixels.subarray(i, i + 3)]);
    if (colour === String(BACKGROUND)) continue;
    rows.add(Math.floor(i / 3 / WIDTH));
    if (colour === String(RED)) plate++;
    if (colour === '255,255,255') ink++;
  }
  t.true(plate > 200 && ink > 60, `${plate} pixels of plate, ${ink} of ink`);
  t.is(Math.max(...rows), 39, 'the plate stands on the box');
});

test('labels stay in the image and apart from each other', (t) => {
  const top = draw([instance([90, 0, 30, 60], { label: 'a long name' })], { ...NONE, labels: true });
  t.deepEqual(top(WIDTH - 1, 3), RED, 'moved left and into the box');

  const one = drawOverlay(image(), [instance([20, 40, 60, 40])], { ...NONE, labels: true });
  const two = drawOverlay(image(), [instance([20, 40, 60, 40]), instance([20, 40, 60, 40])], { ...NONE, labels: true });
  t.deepEqual(two.subarray(0, 40 * WIDTH * 3), one.subarray(0, 40 * WIDTH * 3), 'the first label is not covered');
  t.notDeepEqual(two, one);
});

test('boxes partly or wholly outside, and labels wider than the image, do no harm', (t) => {
  const label = 'x'.repeat(300);
  for (const box of [
    [-50, -50, 500, 500],
    [-90, 20, 30, 30],
    [500, 500, 10, 10],
    [10, 10, 0, 0],
  ] as const)
    t.notThrows(() => drawOverlay(image(), [instance([0, 0, 5, 5], { box, label })]));
  const tiny: DecodedImage = { data: new Uint8Array(3), width: 1, height: 1, channels: 3 };
  const mask = Mask.fromBitmap({ data: Uint8Array.of(1), width: 1, height: 1 });
  t.is(drawOverlay(tiny, [{ label, classId: 1, score: 1, box: [0, 0, 1, 1], mask }]).length, 3);
});

test('float images are drawn on in bytes', (t) => {
  const float: DecodedImage = { ...image(), data: new Float32Array(WIDTH * HEIGHT * 3).fill(99.6) };
  t.deepEqual(drawOverlay(float, []), image().data);
});

test('options out of range are refused', (t) => {
  for (const options of [{ opacity: 2 }, { opacity: NaN }, { lineWidth: 0 }, { fontSize: -1 }])
    t.throws(() => drawOverlay(image(), [], options), { code: 'ERR_ARGUMENT' });
});

test('an image of 8000x4000 with 700 objects needs little memory', (t) => {
  const [width, height] = [8000, 4000];
  const words = new Uint32Array(100 * 4).fill(0xffffffff);
  const objects = Array.from({ length: 700 }, (_, i): OverlayInstance => {
    const region = { x: (i * 97) % 7800, y: (i * 53) % 3800, width: 128, height: 100 };
    const mask = new Mask({ imageWidth: width, imageHeight: height, region, words });
    return { label: 'car', classId: i, score: 0.5, box: [region.x, region.y, 128, 100], mask };
  });
  const source = image(width, height);
  const before = process.memoryUsage().arrayBuffers;
  let peak = 0;
  const drawn = drawOverlay(source, objects);
  peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
  t.is(drawn.length, source.data.length);
  t.true(peak < 2 * width * height * 3 + 64e6, `${Math.round(peak / 1e6)} MB`);
});

test('overlays are written as PNG, JPEG and WebP', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'instaseg-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const cat = instance([20, 40, 60, 40]);
  const found: Instance = {
    label: 'cat',
    classId: 0,
    categoryId: 17,
    score: 0.98,
    box: [20, 40, 60, 40],
    area: 2400,
    mask: cat.mask,
  };
  const overlay = new SegmentationResult(image(), [found]).overlay();
  const expected = drawOverlay(image(), [cat]);

  const png = await overlay.toBuffer();
  t.deepEqual(Uint8Array.from(await sharp(png).raw().toBuffer()), expected);
  for (const [name, format] of [
    ['a.png', 'png'],
    ['b.jpg', 'jpeg'],
    ['c.JPEG', 'jpeg'],
    ['d.webp', 'webp'],
  ] as const) {
    await overlay.toFile(join(folder, name));
    const file = await readFile(join(folder, name));
    const { format: written, width, height } = await sharp(file).metadata();
    t.deepEqual([written, width, height], [format, WIDTH, HEIGHT]);
    t.deepEqual(await overlay.toBuffer(format), file);
  }
  await t.throwsAsync(overlay.toFile(join(folder, 'e.bmp')), { code: 'ERR_ARGUMENT', message: /\.png, \.jpg/ });
  await t.throwsAsync(overlay.toFile(join(folder, 'none', 'f.png')), { code: 'ERR_FILE', message: /f\.png/ });
  await t.throwsAsync(overlay.toBuffer('bmp' as 'png'), { code: 'ERR_ARGUMENT' });
});

test('a format that cannot hold the image is refused', async (t) => {
  const data = new Uint8Array(17_000 * 3);
  await t.throwsAsync(encodeImage(data, 17_000, 1, 'webp'), { code: 'ERR_IMAGE', message: /17000x1 pixels as webp/ });
  t.is((await sharp(await encodeImage(data, 17_000, 1, 'png')).metadata()).width, 17_000);
});
