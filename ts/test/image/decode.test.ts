import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { runInNewContext } from 'node:vm';
import test from 'ava';
import sharp from 'sharp';
import { decodeImage, toBytes } from '../../src/image/decode.js';
import { readReference, referencePath, testWithReference } from '../masks/support.js';

let folder = '';
test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'instaseg-test-'));
});
test.after.always(() => rm(folder, { recursive: true, force: true }));

const [WIDTH, HEIGHT] = [5, 3];
/** Every pixel differs. */
const PIXELS = Uint8Array.from({ length: WIDTH * HEIGHT * 3 }, (_, i) => (i * 37 + 11) % 256);

function picture(): sharp.Sharp {
  return sharp(PIXELS, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
}

/** A photograph-like picture: smooth, with some texture, so that encoders have work to do. */
function photo(width = 160, height = 120): sharp.Sharp {
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
    return 128 + 60 * Math.sin(x / 9 + (i % 3)) + 50 * Math.cos(y / 7) + ((x * 7 + y * 13) % 9);
  });
  return sharp(data, { raw: { width, height, channels: 3 } });
}

test('a lossless file gives its pixels, by every way in', async (t) => {
  const png = await picture().png().toBuffer();
  const path = join(folder, 'street 01.final.png');
  await writeFile(path, png);
  const padded = Buffer.concat([Buffer.alloc(7), png, Buffer.alloc(9)]);
  const shared = new Uint8Array(new SharedArrayBuffer(png.length));
  shared.set(png);
  const stream = createReadStream(path).pipe(sharp());
  const inputs = {
    path,
    url: pathToFileURL(path),
    foreignUrl: { href: pathToFileURL(path).href, protocol: 'file:' } as URL,
    buffer: png,
    view: padded.subarray(7, 7 + png.length),
    bytes: Uint8Array.from(png),
    arrayBuffer: Uint8Array.from(png).buffer,
    shared,
    foreign: runInNewContext('Uint8Array.from(bytes)', { bytes: [...png] }) as Uint8Array,
    sharp: sharp(png),
    stream,
  };
  for (const [way, input] of Object.entries(inputs)) {
    const image = await decodeImage(input);
    t.deepEqual(image.data, PIXELS, way);
    t.deepEqual([image.width, image.height, image.channels], [WIDTH, HEIGHT, 3], way);
    t.is(image.name, way === 'path' || /url/i.test(way) ? 'street 01.final' : undefined, way);
  }
});

test('each EXIF orientation gives the displayed image, or the stored one on request', async (t) => {
  /** From a displayed to the stored pixel, as the EXIF standard describes the eight values. */
  const stored: ((x: number, y: number) => [number, number])[] = [
    (x, y) => [x, y],
    (x, y) => [WIDTH - 1 - x, y],
    (x, y) => [WIDTH - 1 - x, HEIGHT - 1 - y],
    (x, y) => [x, HEIGHT - 1 - y],
    (x, y) => [y, x],
    (x, y) => [y, HEIGHT - 1 - x],
    (x, y) => [WIDTH - 1 - y, HEIGHT - 1 - x],
    (x, y) => [WIDTH - 1 - y, x],
  ];
  for (const format of ['png', 'webp', 'tiff'] as const) {
    for (let orientation = 1; orientation <= 8; orientation++) {
      const title = `${format}, orientation ${orientation}`;
      const encoded = picture().withMetadata({ orientation });
      const file = await (
        format === 'webp' ? encoded.webp({ lossless: true }) : encoded.toFormat(format, { compression: 'lzw' })
      ).toBuffer();
      t.is((await sharp(file).metadata()).orientation, orientation, title);

      const [width, height] = orientation <= 4 ? [WIDTH, HEIGHT] : [HEIGHT, WIDTH];
      const expected = new Uint8Array(PIXELS.length);
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          const [fromX, fromY] = stored[orientation - 1]!(x, y);
          const from = (fromY * WIDTH + fromX) * 3;
          expected.set(PIXELS.subarray(from, from + 3), (y * width + x) * 3);
        }
      }
      for (const input of [file, sharp(file)]) {
        const image = await decodeImage(input);
        t.deepEqual([image.width, image.height], [width, height], title);
        t.deepEqual(image.data, expected, title);
        const plain = await decodeImage(input, { applyOrientation: false });
        t.deepEqual([plain.width, plain.height], [WIDTH, HEIGHT], title);
        t.deepEqual(plain.data, PIXELS, title);
      }
    }
  }
});

test('a JPEG of a phone is turned upright', async (t) => {
  const left = {
    input: { create: { width: 32, height: 32, channels: 3, background: 'red' } },
    left: 0,
    top: 0,
  } as const;
  const file = await sharp({ create: { width: 64, height: 32, channels: 3, background: 'blue' } })
    .composite([left])
    .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
    .withMetadata({ orientation: 6 })
    .toBuffer();
  const image = await decodeImage(file);
  t.deepEqual([image.width, image.height], [32, 64]);
  const at = (y: number): number[] => [...image.data.subarray((y * 32 + 16) * 3, (y * 32 + 16) * 3 + 3)];
  t.true(at(8)[0]! > 240 && at(8)[2]! < 15, 'the left half of the file is on top');
  t.true(at(56)[2]! > 240 && at(56)[0]! < 15);
});

test('grey is spread over three channels, with and without alpha', async (t) => {
  const grey = Uint8Array.from({ length: 15 }, (_, i) => i * 17);
  const spread = Uint8Array.from({ length: 45 }, (_, i) => grey[Math.floor(i / 3)]!);
  const one = await sharp(grey, { raw: { width: 5, height: 3, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toBuffer();
  t.is((await sharp(one).metadata()).channels, 1);
  t.deepEqual((await decodeImage(one)).data, spread);
  t.deepEqual((await decodeImage(sharp(one))).data, spread);

  const alpha = Uint8Array.from({ length: 30 }, (_, i) => (i % 2 === 0 ? grey[i / 2]! : (i * 53) % 256));
  const two = await sharp(alpha, { raw: { width: 5, height: 3, channels: 2 } })
    .toColourspace('b-w')
    .png()
    .toBuffer();
  t.is((await sharp(two).metadata()).channels, 2);
  t.deepEqual((await decodeImage(two)).data, spread);
});

test('alpha is dropped and leaves the colours as they are stored', async (t) => {
  const rgba = Uint8Array.from({ length: 60 }, (_, i) =>
    i % 4 === 3 ? (i * 29) % 256 : PIXELS[Math.floor(i / 4) * 3 + (i % 4)]!,
  );
  const file = sharp(rgba, { raw: { width: WIDTH, height: HEIGHT, channels: 4 } });
  for (const bytes of [await file.clone().png().toBuffer(), await file.clone().tiff({ compression: 'lzw' }).toBuffer()])
    t.deepEqual((await decodeImage(bytes)).data, PIXELS);
});

test('16-bit files keep their high byte', async (t) => {
  const wide = Uint16Array.from({ length: 45 }, (_, i) => (i * 1459 + 200) % 65536);
  const high = Uint8Array.from(wide, (value) => value >> 8);
  const rgb = await sharp(wide, { raw: { width: 5, height: 3, channels: 3 } })
    .toColourspace('rgb16')
    .png()
    .toBuffer();
  t.is((await sharp(rgb).metadata()).depth, 'ushort');
  t.deepEqual((await decodeImage(rgb)).data, high);

  const grey = await sharp(wide, { raw: { width: 45, height: 1, channels: 1 } })
    .toColourspace('grey16')
    .png()
    .toBuffer();
  t.is((await sharp(grey).metadata()).depth, 'ushort');
  t.deepEqual(
    (await decodeImage(grey)).data.filter((_, i) => i % 3 === 0),
    high,
  );
});

test('palettes are expanded', async (t) => {
  const file = await picture().png({ palette: true, colours: 256, dither: 0 }).toBuffer();
  t.true((await sharp(file).metadata()).isPalette);
  const image = await decodeImage(file);
  t.is(image.data.length, PIXELS.length);
  t.true(image.data.every((value, i) => Math.abs(value - PIXELS[i]!) <= 8));

  const gif = await sharp({ create: { width: 4, height: 4, channels: 3, background: '#123456' } })
    .gif()
    .toBuffer();
  t.deepEqual([...(await decodeImage(gif)).data.subarray(0, 3)], [0x12, 0x34, 0x56]);
});

test('CMYK comes back about as the colours that it was made of', async (t) => {
  // Colours that printing can show.
  const colours = {
    '#ffffff': [255, 255, 255],
    '#808080': [128, 128, 128],
    '#c08040': [192, 128, 64],
    '#b0c0d0': [176, 192, 208],
  };
  for (const withProfile of [false, true]) {
    for (const [background, rgb] of Object.entries(colours)) {
      const image = sharp({ create: { width: 16, height: 16, channels: 3, background } }).toColourspace('cmyk');
      const file = await (withProfile ? image.withIccProfile('cmyk') : image).jpeg({ quality: 100 }).toBuffer();
      const { space, hasProfile } = await sharp(file).metadata();
      t.deepEqual([space, hasProfile], ['cmyk', withProfile]);
      const { data } = await decodeImage(file);
      t.is(data.length, 16 * 16 * 3);
      t.true(
        data.every((value, i) => Math.abs(value - rgb[i % 3]!) <= 32),
        `${background}: ${data.slice(0, 3).join()}`,
      );
    }
  }
});

test('RGB profiles are not applied, as in the training of the networks', async (t) => {
  const plain = await photo().png().toBuffer();
  const { data } = await decodeImage(plain);
  const stored = await photo().withIccProfile('p3').png().toBuffer();
  t.true((await sharp(stored).metadata()).hasProfile);
  const raw = await sharp(stored, { ignoreIcc: true }).raw().toBuffer();
  t.deepEqual((await decodeImage(stored)).data, Uint8Array.from(raw));
  t.notDeepEqual(Uint8Array.from(raw), data, 'the file does hold other numbers');

  const srgb = await photo().withIccProfile('srgb').png().toBuffer();
  t.deepEqual((await decodeImage(srgb)).data, data);
});

test('animations give their first frame', async (t) => {
  const frames = Buffer.concat([10, 200].map((value) => Buffer.alloc(16 * 16 * 3, value)));
  const animation = sharp(frames, { raw: { width: 16, height: 32, channels: 3, pageHeight: 16 } });
  for (const file of [
    await animation.clone().gif().toBuffer(),
    await animation.clone().webp({ lossless: true }).toBuffer(),
  ]) {
    t.is((await sharp(file).metadata()).pages, 2);
    const image = await decodeImage(file);
    t.deepEqual([image.width, image.height], [16, 16]);
    t.true(image.data.every((value) => value === 10));
  }
});

test('a sharp instance decodes as its pipeline says, and stays usable', async (t) => {
  const pipeline = photo().resize(40, 30).greyscale();
  const image = await decodeImage(pipeline);
  t.deepEqual([image.width, image.height], [40, 30]);
  t.true(image.data.every((value, i) => value === image.data[i - (i % 3)]));
  t.deepEqual((await decodeImage(pipeline)).data, image.data);
});

test('files cut short are refused', async (t) => {
  for (const format of ['jpeg', 'png', 'webp', 'gif', 'tiff'] as const) {
    const file = await photo().toFormat(format).toBuffer();
    await t.notThrowsAsync(decodeImage(file), format);
    for (const part of [0.9, 0.5, 0.05]) {
      const cut = file.subarray(0, Math.floor(file.length * part));
      await t.throwsAsync(
        decodeImage(cut),
        { code: 'ERR_IMAGE', message: /cannot decode the image in \d+ bytes/ },
        `${format} ${part}`,
      );
    }
  }
});

test('a damaged file is refused', async (t) => {
  const file = await photo().png().toBuffer();
  file.fill(0x55, 200, 400);
  await t.throwsAsync(decodeImage(file), { code: 'ERR_IMAGE' });
});

test('what is not an image is refused by name', async (t) => {
  const text = join(folder, 'notes.png');
  await writeFile(text, 'these are notes');
  await t.throwsAsync(decodeImage(text), { code: 'ERR_IMAGE', message: /notes\.png.*unsupported image format/ });
  await t.throwsAsync(decodeImage(pathToFileURL(text)), { code: 'ERR_IMAGE', message: /file:.*notes\.png/ });
  const empty = join(folder, 'empty.jpg');
  await writeFile(empty, '');
  await t.throwsAsync(decodeImage(empty), { code: 'ERR_IMAGE', message: /empty\.jpg': it is empty/ });
  await t.throwsAsync(decodeImage(new Uint8Array(0)), { code: 'ERR_IMAGE', message: /it is empty/ });
  await t.throwsAsync(decodeImage(new ArrayBuffer(0)), { code: 'ERR_IMAGE' });
});

test('floating-point files are refused with the way out', async (t) => {
  const tiff = await sharp(Float32Array.of(0, 0.5, 1), { raw: { width: 1, height: 1, channels: 3 } })
    .toColourspace('scrgb')
    .tiff({ compression: 'none' })
    .toBuffer();
  await t.throwsAsync(decodeImage(tiff), { code: 'ERR_IMAGE', message: /float samples.*Float32Array/ });
});

test('files that cannot be read are refused', async (t) => {
  const missing = join(folder, 'missing.jpg');
  await t.throwsAsync(decodeImage(missing), { code: 'ERR_FILE', message: /missing\.jpg': it does not exist/ });
  await t.throwsAsync(decodeImage(pathToFileURL(missing)), { code: 'ERR_FILE' });
  await t.throwsAsync(decodeImage(''), { code: 'ERR_FILE' });
  const directory = join(folder, 'directory.jpg');
  await mkdir(directory);
  await t.throwsAsync(decodeImage(directory), { code: 'ERR_FILE', message: /it is a directory/ });
});

test('numbers without a size are refused in a few words, however many they are', async (t) => {
  const pixels = new Float32Array(1 << 26) as unknown as Uint8Array;
  const message = /with a typed array, received Float32Array\(67108864\)$/;
  await t.throwsAsync(decodeImage(pixels), { code: 'ERR_ARGUMENT', message });
});

test('addresses that are no files are refused with the way out', async (t) => {
  const refuse = async (input: string | URL, message: RegExp): Promise<void> => {
    await t.throwsAsync(decodeImage(input), { code: 'ERR_ARGUMENT', message });
  };
  await refuse(new URL('https://example.com/a.jpg'), /fetch it first/);
  await refuse('https://example.com/a.jpg', /fetch it first/);
  await refuse('data:image/png;base64,AAAA', /fetch it first/);
  await refuse('file:///tmp/a.jpg', /new URL/);
  if (process.platform !== 'win32') await refuse(new URL('file://elsewhere/a.jpg'), /local file/);
});

test('more pixels than the limit are refused with the way out', async (t) => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="17000" height="16000"></svg>';
  await t.throwsAsync(decodeImage(Buffer.from(svg)), {
    code: 'ERR_IMAGE',
    message: /pixel limit.*limitInputPixels: false/,
  });
});

test('very long images are decoded', async (t) => {
  const file = await sharp({ create: { width: 20_000, height: 20, channels: 3, background: '#010203' } })
    .png()
    .toBuffer();
  const image = await decodeImage(file);
  t.deepEqual([image.width, image.height, image.data.length], [20_000, 20, 1_200_000]);
  t.deepEqual([...image.data.subarray(-3)], [1, 2, 3]);
});

test('an aborted call rejects with the reason of its signal', async (t) => {
  const file = await photo(2000, 1500).png().toBuffer();
  const path = join(folder, 'photo.png');
  await writeFile(path, file);
  const reason = { why: 'changed my mind' };
  const rejection = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => t.fail(),
      (error: unknown) => error,
    );

  t.is(await rejection(decodeImage(file, { signal: AbortSignal.abort(reason) })), reason);
  for (const input of [file, path]) {
    const controller = new AbortController();
    const work = rejection(decodeImage(input, { signal: controller.signal }));
    setImmediate(() => controller.abort(reason));
    t.is(await work, reason);
  }
  const unused = new AbortController();
  t.is((await decodeImage(file, { signal: unused.signal })).width, 2000);
});

test('floats become bytes by rounding and clamping', (t) => {
  const bytes = Uint8Array.of(1, 2);
  t.is(toBytes(bytes), bytes);
  t.deepEqual(toBytes(Float32Array.of(-5, 0.4, 0.6, 254.7, 300)), Uint8Array.of(0, 0, 1, 255, 255));
});

testWithReference('PNG photographs give the pixels that the reference saw', async (t) => {
  const seen = new Set<string>();
  for (const name of ['batch/v1_two_images', 'maskrcnn_v1/default800', 'yolact_base_r101/saw']) {
    const { images, image_sha256_rgb } = readReference<{ images: string[]; image_sha256_rgb: string[] }>(
      `${name}/case.json`,
    );
    for (const [i, image] of images.entries()) {
      const { data } = await decodeImage(referencePath(join(name, image)));
      t.is(createHash('sha256').update(data).digest('hex'), image_sha256_rgb[i]!, image);
      seen.add(image);
    }
  }
  t.is(seen.size, 4);
});
