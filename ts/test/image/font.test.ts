import test from 'ava';
import { textGlyphs, type Glyph } from '../../src/image/font.js';

const ASCII = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i));

test('every printable ASCII character has a glyph of its own', (t) => {
  const glyphs = textGlyphs(ASCII.join(''));
  t.is(glyphs.length, 95);
  const drawn = new Set(glyphs.map(({ strokes }) => JSON.stringify(strokes)));
  t.is(drawn.size, 95);
  for (const [i, { columns, strokes }] of glyphs.entries()) {
    t.is(strokes.length === 0, ASCII[i] === ' ', ASCII[i]);
    t.true(columns >= 1 && columns <= 5);
    for (const [x0, y0, x1, y1] of strokes) {
      t.true(Math.abs(x1 - x0) <= 1 && y1 - y0 >= 0 && y1 - y0 <= 1, 'strokes join neighbours');
      t.true(Math.min(x0, x1) >= 0 && Math.max(x0, x1) < columns && y1 < 9);
    }
  }
});

test('strokes join what looks joined, and a glyph begins at its left edge', (t) => {
  for (const glyph of textGlyphs(ASCII.slice(1).join('')))
    t.is(Math.min(...glyph.strokes.map(([x0, , x1]) => Math.min(x0, x1))) <= 1, true);
  const pieces = ({ strokes }: Glyph): number => {
    const owner = new Map<string, string>();
    const find = (dot: string): string => (owner.get(dot) === dot ? dot : find(owner.get(dot)!));
    for (const [x, y] of strokes) owner.set(`${x},${y}`, `${x},${y}`);
    for (const [x0, y0, x1, y1] of strokes) owner.set(find(`${x0},${y0}`), find(`${x1},${y1}`));
    return new Set([...owner.keys()].map(find)).size;
  };
  const split = new Set('!"%:;=?ij');
  textGlyphs(ASCII.slice(1).join('')).forEach((glyph, i) => {
    const character = ASCII[i + 1]!;
    t.is(pieces(glyph) > 1, split.has(character), character);
  });
});

test('accents are left out, what the font lacks is a box', (t) => {
  t.deepEqual(textGlyphs('café'), textGlyphs('cafe'));
  const [box, other] = textGlyphs('人🙂');
  t.deepEqual(box, other);
  t.true(ASCII.every((character) => textGlyphs(character)[0] !== box));
  t.is(textGlyphs('人🙂').length, 2);
});
