import { CAPITAL_ROWS, GLYPH_ROWS, textGlyphs, type Glyph } from './font.js';

/** 0xRRGGBB */
export type Colour = number;

/** Half the width of a stroke of text, in dots of the font. */
const STROKE_RADIUS = 0.55;

/** Simple drawing on RGB pixels; whatever lies outside the image is left out. Coordinates and sizes are pixels. */
export class Canvas {
  /** width * height * 3, drawn on in place. */
  readonly data: Uint8Array;
  readonly width: number;
  readonly height: number;
  readonly #coverage = new Map<Glyph, Coverage>();

  constructor(data: Uint8Array, width: number, height: number) {
    this.data = data;
    this.width = width;
    this.height = height;
  }

  /** Mixes `colour` into the pixel (x, y), which must lie in the image; opacity 0 to 1. */
  mix(x: number, y: number, colour: Colour, opacity: number): void {
    const i = (y * this.width + x) * 3;
    const { data } = this;
    data[i] = data[i]! + ((colour >> 16) - data[i]!) * opacity + 0.5;
    data[i + 1] = data[i + 1]! + (((colour >> 8) & 255) - data[i + 1]!) * opacity + 0.5;
    data[i + 2] = data[i + 2]! + ((colour & 255) - data[i + 2]!) * opacity + 0.5;
  }

  fillRect(x: number, y: number, width: number, height: number, colour: Colour): void {
    const [left, right] = [Math.max(x, 0), Math.min(x + width, this.width)];
    for (let row = Math.max(y, 0); row < Math.min(y + height, this.height); row++) {
      for (let column = left; column < right; column++) this.mix(column, row, colour, 1);
    }
  }

  /** The frame of a rectangle, `line` pixels wide, inside its edges. */
  strokeRect(x: number, y: number, width: number, height: number, line: number, colour: Colour): void {
    const [right, bottom] = [x + width - line, y + height - line];
    this.fillRect(x, y, width, line, colour);
    this.fillRect(x, Math.max(bottom, y), width, line, colour);
    this.fillRect(x, y, line, height, colour);
    this.fillRect(Math.max(right, x), y, line, height, colour);
  }

  /** Draws a line of text with its upper left corner at (x, y); `dot` is the font's grid in pixels. */
  text(text: string, x: number, y: number, dot: number, colour: Colour): void {
    let left = x;
    for (const glyph of textGlyphs(text)) {
      this.#drawGlyph(glyph, left, y, dot, colour);
      left += advance(glyph, dot);
    }
  }

  #drawGlyph(glyph: Glyph, x: number, y: number, dot: number, colour: Colour): void {
    let coverage = this.#coverage.get(glyph);
    if (coverage?.dot !== dot) this.#coverage.set(glyph, (coverage = cover(glyph, dot)));
    const { width, height, values } = coverage;
    for (let row = Math.max(0, -y); row < Math.min(height, this.height - y); row++) {
      for (let column = Math.max(0, -x); column < Math.min(width, this.width - x); column++) {
        const value = values[row * width + column]!;
        if (value > 0) this.mix(x + column, y + row, colour, value);
      }
    }
  }
}

/** The size of a line of text in pixels, descenders included, and the height of its capital letters. */
export function measureText(text: string, dot: number): { width: number; height: number; capitals: number } {
  const width = textGlyphs(text).reduce((sum, glyph) => sum + advance(glyph, dot), 0);
  return { width: width - Math.round(dot), height: Math.ceil(GLYPH_ROWS * dot), capitals: CAPITAL_ROWS * dot };
}

function advance(glyph: Glyph, dot: number): number {
  return Math.round((glyph.columns + 1) * dot);
}

/** How much of each pixel a glyph covers, 0 to 1. */
interface Coverage {
  dot: number;
  width: number;
  height: number;
  values: Float32Array;
}

function cover(glyph: Glyph, dot: number): Coverage {
  const [width, height] = [Math.ceil(glyph.columns * dot) + 1, Math.ceil(GLYPH_ROWS * dot) + 1];
  const values = new Float32Array(width * height);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      // Dots lie in the middle of their cells.
      const [column, row] = [(x + 0.5) / dot - 0.5, (y + 0.5) / dot - 0.5];
      let nearest = Infinity;
      for (const [x0, y0, x1, y1] of glyph.strokes) {
        const along = Math.max(x0 === x1 ? 0 : (column - x0) * (x1 - x0), 0) + Math.max((row - y0) * (y1 - y0), 0);
        const t = Math.min(along / (Math.abs(x1 - x0) + Math.abs(y1 - y0) || 1), 1);
        nearest = Math.min(nearest, Math.hypot(column - x0 - t * (x1 - x0), row - y0 - t * (y1 - y0)));
      }
      values[i] = Math.min(Math.max((STROKE_RADIUS - nearest) * dot + 0.5, 0), 1);
    }
  }
  return { dot, width, height, values };
}
