import { writeFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { InstasegError } from '../runtime/errors.js';
import { flag, number, oneOf, optional, readOptions, type OptionChecks } from '../runtime/options.js';
import { invalid, requireOneOf } from '../runtime/validate.js';
import { lowestBit, wordsPerRow, type MaskBits } from '../masks/bits.js';
import { erode } from '../masks/erode.js';
import type { Mask } from '../masks/mask.js';
import { Canvas, measureText, type Colour } from './canvas.js';
import { toBytes, type DecodedImage } from './decode.js';
import { loadSharp } from './sharp.js';

/** What is drawn, and how; everything is on unless it is said otherwise. */
export interface OverlayOptions {
  /** Fill the objects with their colour; by default true. */
  masks?: boolean;
  /** Draw a line along the edge of the objects; by default true. */
  contours?: boolean;
  /** Draw the boxes; by default true. */
  boxes?: boolean;
  /** Write "label 0.98" at the boxes; by default true. */
  labels?: boolean;
  /** Opacity of the fill, 0 to 1; by default 0.45. */
  opacity?: number;
  /** Whether every object has a colour of its own (the default) or every class. */
  colorBy?: 'instance' | 'class';
  /** Width of lines in pixels; by default it follows the size of the image. */
  lineWidth?: number;
  /** Height of capital letters in pixels; by default it follows the size of the image. */
  fontSize?: number;
}

/** Formats that a drawing can be encoded in. */
export type OverlayFormat = 'png' | 'jpeg' | 'webp';

/** The image with its objects drawn over it. Nothing is drawn before one of the methods is called. */
export interface Overlay {
  /**
   * Writes a .png, .jpg, .jpeg or .webp file.
   * @throws InstasegError ERR_ARGUMENT for other names, and options of `overlay` that do not fit; ERR_FILE; ERR_IMAGE
   */
  toFile(path: string): Promise<void>;
  /**
   * The encoded image.
   * @throws InstasegError ERR_ARGUMENT; ERR_IMAGE for an image that the format cannot hold
   */
  toBuffer(format?: OverlayFormat): Promise<Buffer>;
}

/** What is drawn of an object. */
export interface OverlayInstance {
  readonly label: string;
  readonly classId: number;
  readonly score: number;
  readonly box: readonly [x: number, y: number, width: number, height: number];
  readonly mask: Mask;
}

const OPTIONS = {
  masks: optional(flag),
  contours: optional(flag),
  boxes: optional(flag),
  labels: optional(flag),
  opacity: optional(number(0, 1)),
  colorBy: optional(oneOf('instance', 'class')),
  lineWidth: optional(number(1, 1000)),
  fontSize: optional(number(5, 1000)),
} satisfies OptionChecks<OverlayOptions>;

/** Bright colours, each chosen as far as possible (in OKLab) from those before it. */
const PALETTE: readonly Colour[] = [
  0xff3c3c, 0x2bd92b, 0x0078ff, 0xe100ff, 0xffc30f, 0x3ce1f0, 0xf0a5f0, 0x69871e, 0x965ac3, 0xff0fa5, 0x96e187,
  0xc3781e, 0x87a5ff, 0xc35a87, 0x00b487, 0x1eb400, 0xff69f0, 0x963cff, 0xff9678, 0x0f87c3,
];

/**
 * Draws objects over an image. Returns the RGB pixels; the image itself is not changed. Beside those pixels, memory is
 * needed only for the region of one mask at a time. Throws ERR_ARGUMENT for options out of range.
 */
export function drawOverlay(
  image: DecodedImage,
  instances: readonly OverlayInstance[],
  options: OverlayOptions = {},
): Uint8Array {
  const given = readOptions('overlay', options, OPTIONS);
  const { masks = true, contours = true, boxes = true, labels = true, opacity = 0.45, colorBy = 'instance' } = given;
  const scale = Math.sqrt(image.width * image.height);
  const { lineWidth = Math.max(1, Math.round(scale / 450)), fontSize = Math.max(10, scale / 70) } = given;

  const canvas = new Canvas(toBytes(image.data).slice(), image.width, image.height);
  const line = Math.round(lineWidth);
  const drawn = instances.map((instance, index) => ({
    instance,
    colour: PALETTE[(colorBy === 'class' ? instance.classId : index) % PALETTE.length]!,
  }));
  // Large objects first, so that small ones in front of them stay visible.
  for (const { instance, colour } of drawn.toSorted((a, b) => b.instance.mask.area - a.instance.mask.area)) {
    const { bits } = instance.mask;
    if (masks) fillMask(canvas, bits, colour, opacity);
    if (contours) fillMask(canvas, contour(bits, line), colour, 1);
  }
  if (boxes) for (const { instance, colour } of drawn.toReversed()) drawBox(canvas, instance.box, line, colour);
  if (labels) drawLabels(canvas, drawn, fontSize, line);
  return canvas.data;
}

function fillMask(canvas: Canvas, { region, words }: MaskBits, colour: Colour, opacity: number): void {
  const stride = wordsPerRow(region.width);
  for (let i = 0; i < words.length; i++) {
    const y = region.y + Math.floor(i / stride);
    for (let word = words[i]!; word !== 0; word &= word - 1)
      canvas.mix(region.x + (i % stride) * 32 + lowestBit(word), y, colour, opacity);
  }
}

/** The outermost `line` pixels of a mask. */
function contour(bits: MaskBits, line: number): MaskBits {
  const inner = erode(bits, line).words;
  return { ...bits, words: bits.words.map((word, i) => word & ~inner[i]!) };
}

function drawBox(canvas: Canvas, box: OverlayInstance['box'], line: number, colour: Colour): void {
  const [left, top] = [Math.round(box[0]), Math.round(box[1])];
  const [right, bottom] = [Math.round(box[0] + box[2]), Math.round(box[1] + box[3])];
  canvas.strokeRect(left, top, Math.max(right - left, 1), Math.max(bottom - top, 1), line, colour);
}

interface Plate {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Labels on plates of the object's colour. The first instances choose their place first and are drawn last. */
function drawLabels(
  canvas: Canvas,
  drawn: readonly { instance: OverlayInstance; colour: Colour }[],
  fontSize: number,
  line: number,
): void {
  const dot = fontSize / 7;
  const margin = Math.ceil(dot);
  const placed: Plate[] = [];
  const labels = drawn.map(({ instance, colour }) => {
    const text = `${instance.label} ${instance.score.toFixed(2)}`;
    const size = measureText(text, dot);
    const plate = placeLabel(
      canvas,
      instance.box,
      { width: Math.max(size.width, 0) + 2 * margin, height: size.height + margin },
      line,
      placed,
    );
    placed.push(plate);
    return { text, plate, colour };
  });
  for (const { text, plate, colour } of labels.reverse()) {
    canvas.fillRect(plate.x, plate.y, plate.width, plate.height, colour);
    canvas.text(text, plate.x + margin, plate.y + margin, dot, luminance(colour) > 0.4 ? 0x000000 : 0xffffff);
  }
}

/** On top of the box, below its upper edge or under it: the first place that is in the image and free. */
function placeLabel(
  canvas: Canvas,
  box: OverlayInstance['box'],
  size: { width: number; height: number },
  line: number,
  placed: readonly Plate[],
): Plate {
  const x = Math.max(Math.min(Math.round(box[0]), canvas.width - size.width), 0);
  const top = Math.round(box[1]);
  const bottom = Math.round(box[1] + box[3]);
  const inside = Math.min(Math.max(top, 0), Math.max(canvas.height - size.height, 0));
  const places = [top - size.height, inside + line, bottom, bottom - size.height - line].map((y) => ({
    x,
    y,
    ...size,
  }));
  const fits = ({ y, height }: Plate): boolean => y >= 0 && y + height <= canvas.height;
  const free = (plate: Plate): boolean => placed.every((other) => !overlap(plate, other));
  return places.find((place) => fits(place) && free(place)) ?? places.find(fits) ?? { x, y: inside, ...size };
}

function overlap(a: Plate, b: Plate): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

/** Relative luminance, 0 to 1, roughly: enough to choose black or white text. */
function luminance(colour: Colour): number {
  const linear = (value: number): number => (value / 255) ** 2.2;
  return 0.2126 * linear(colour >> 16) + 0.7152 * linear((colour >> 8) & 255) + 0.0722 * linear(colour & 255);
}

/** Encodes RGB pixels. Rejects with ERR_IMAGE when the format cannot hold them (WebP ends at 16383 pixels a side). */
export async function encodeImage(
  data: Uint8Array,
  width: number,
  height: number,
  format: OverlayFormat,
): Promise<Buffer> {
  requireOneOf('format', format, ['png', 'jpeg', 'webp']);
  const sharp = await loadSharp();
  try {
    const image = sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false });
    return await image.toFormat(format, { quality: format === 'png' ? 100 : 90 }).toBuffer();
  } catch (cause) {
    const reason = (cause as Error).message.trim();
    throw new InstasegError('ERR_IMAGE', `cannot write ${width}x${height} pixels as ${format}: ${reason}`, { cause });
  }
}

/** The format that a file's name asks for. Throws ERR_ARGUMENT for other names. */
export function formatOfPath(path: string): OverlayFormat {
  const formats: Record<string, OverlayFormat> = { '.png': 'png', '.jpg': 'jpeg', '.jpeg': 'jpeg', '.webp': 'webp' };
  const format = typeof path === 'string' ? formats[extname(path).toLowerCase()] : undefined;
  if (format === undefined) throw invalid('path', 'a path ending in .png, .jpg, .jpeg or .webp', path);
  return format;
}

/** Writes a file. Rejects with ERR_FILE when it cannot. */
export async function writeImage(path: string, bytes: Buffer): Promise<void> {
  try {
    await writeFile(path, bytes);
  } catch (cause) {
    throw new InstasegError('ERR_FILE', `cannot write '${path}': ${(cause as Error).message}`, { cause });
  }
}
