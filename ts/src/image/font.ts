/**
 * A small line font of our own, ASCII 32 to 126, so that labels look the same on machines without any fonts. Glyphs are
 * drawn as dots on a grid of 5 by 9 (seven rows above the baseline, two below); neighbouring dots are joined by strokes
 * with round ends, which scale to any size.
 *
 * One group a glyph: nine rows, top to bottom, each a base-32 digit of five dots, the leftmost in the highest bit.
 */
const ROWS = (
  '000000000 ggggg0g00 kkk000000 aavavaa00 4fke5u400 pp248jj00 cik8lid00 ggg000000 48ggg8400 g84448g00 ' +
  '04lel4000 044v44000 0000088g0 000u00000 000000g00 11248gg00 ciiiiic00 4ck444v00 eh1248v00 eh161he00 ' +
  '26aiv2200 vgu11he00 68guhhe00 v12488800 ehhehhe00 ehhf12c00 00g000g00 0080088g0 248g84200 00u0u0000 ' +
  'g84248g00 eh1240400 ehnlnge00 4ahhvhh00 uhhuhhu00 ehggghe00 uhhhhhu00 vgguggv00 vgguggg00 ehgjhhe00 ' +
  'hhhvhhh00 s88888s00 72222ic00 hikokih00 ggggggv00 hrllhhh00 hpljhhh00 ehhhhhe00 uhhuggg00 ehhhlid00 ' +
  'uhhukih00 fgge11u00 v44444400 hhhhhhe00 hhaaa4400 hhhllla00 hha4ahh00 hha444400 v1248gv00 sgggggs00 ' +
  'gg8421100 s44444s00 4ah000000 000000v00 g80000000 00c2eie00 ggsiiis00 00eggge00 22eiiie00 00ciuge00 ' +
  '68u888800 00eiiie2c ggsiiii00 g0ggggg00 40444444o ggikoki00 gggggg800 00ullll00 00siiii00 00ciiic00 ' +
  '00siiisgg 00eiiie22 00moggg00 00egc2s00 88u888600 00iiiie00 00hhaa400 00hhlla00 00ha4ah00 00iiiie2c ' +
  '00u248u00 488g88400 ggggggg00 g88488g00 009m00000'
).split(' ');

/** Shown in place of characters that the font lacks: an empty box. */
const UNKNOWN = 'uiiiiiu00';

/** Rows from the top of a capital letter to the lowest point of a descender. */
export const GLYPH_ROWS = 9;
/** Rows of a capital letter. */
export const CAPITAL_ROWS = 7;
const SPACE_COLUMNS = 2;

/** A stroke from one dot to another, in columns and rows; a lone dot begins and ends at one place. */
export type Stroke = readonly [x0: number, y0: number, x1: number, y1: number];

export interface Glyph {
  /** Columns that the glyph takes. */
  readonly columns: number;
  readonly strokes: readonly Stroke[];
}

const glyphs = new Map<string, Glyph>();

/** The glyphs of a text. Accents are left out; other characters that the font lacks become an empty box. */
export function textGlyphs(text: string): Glyph[] {
  const plain = text.normalize('NFD').replace(/\p{M}/gu, '');
  return Array.from(plain, glyph);
}

function glyph(character: string): Glyph {
  let known = glyphs.get(character);
  if (known === undefined) {
    const rows = character.length === 1 ? ROWS[character.charCodeAt(0) - 32] : undefined;
    known = readGlyph(rows ?? UNKNOWN);
    // The cache must not grow with the texts of a long-lived server: unknown characters are read anew.
    if (rows !== undefined) glyphs.set(character, known);
  }
  return known;
}

function readGlyph(digits: string): Glyph {
  const rows = Array.from(digits, (digit) => parseInt(digit, 32));
  const isDot = (x: number, y: number): boolean => x >= 0 && x < 5 && (((rows[y] ?? 0) >> (4 - x)) & 1) === 1;
  const strokes: Stroke[] = [];
  let columns = 0;
  for (let y = 0; y < GLYPH_ROWS; y++) {
    for (let x = 0; x < 5; x++) {
      if (!isDot(x, y)) continue;
      columns = Math.max(columns, x + 1);
      // A diagonal joins two dots only where they are not joined round the corner.
      const down = isDot(x, y + 1);
      if (isDot(x + 1, y)) strokes.push([x, y, x + 1, y]);
      if (down) strokes.push([x, y, x, y + 1]);
      if (isDot(x + 1, y + 1) && !down && !isDot(x + 1, y)) strokes.push([x, y, x + 1, y + 1]);
      if (isDot(x - 1, y + 1) && !down && !isDot(x - 1, y)) strokes.push([x, y, x - 1, y + 1]);
      strokes.push([x, y, x, y]);
    }
  }
  return { columns: columns || SPACE_COLUMNS, strokes };
}
