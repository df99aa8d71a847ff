// Fetches the freely licensed drawings that the training scenes are made of, and rasterises them.
//
//   node scripts/train/sprites.mjs OUT
//
// writes OUT/<class>/<set>.png (RGBA, the drawing cropped to its ink, longest side 256 px) and OUT/sprites.json. The
// packages are fetched from the npm registry into OUT/packages, once. The drawings are no part of this repository.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

/** Four sets of drawings, so that a class is more than one picture. */
const SETS = {
  noto: { package: '@iconify-json/noto', version: '1.2.9', licence: 'Apache-2.0', author: 'Google (Noto Emoji)' },
  'noto-v1': {
    package: '@iconify-json/noto-v1',
    version: '1.2.5',
    licence: 'Apache-2.0',
    author: 'Google (Noto Emoji, first version)',
  },
  'fluent-flat': {
    package: '@iconify-json/fluent-emoji-flat',
    version: '1.2.6',
    licence: 'MIT',
    author: 'Microsoft (Fluent UI Emoji, flat)',
  },
  fluent: {
    package: '@iconify-json/fluent-emoji',
    version: '1.2.7',
    licence: 'MIT',
    author: 'Microsoft (Fluent UI Emoji, colour)',
  },
};

/** Class name to the drawing's name, which is the same in every set. The order gives the category ids, from 1. */
const CLASSES = {
  apple: 'red-apple',
  banana: 'banana',
  strawberry: 'strawberry',
  mushroom: 'mushroom',
  dog: 'dog-face',
  cat: 'cat-face',
  fish: 'tropical-fish',
  butterfly: 'butterfly',
  car: 'automobile',
  sailboat: 'sailboat',
  ball: 'soccer-ball',
  umbrella: 'umbrella',
  cup: 'hot-beverage',
  clock: 'alarm-clock',
  shirt: 't-shirt',
  guitar: 'guitar',
};

const LONGEST_SIDE = 256;

const [out] = process.argv.slice(2);
if (!out) {
  console.error('usage: node scripts/train/sprites.mjs OUT');
  process.exit(2);
}
const packages = join(out, 'packages');
mkdirSync(packages, { recursive: true });

for (const [set, { package: name, version }] of Object.entries(SETS)) {
  const folder = join(packages, set);
  if (!existsSync(join(folder, 'icons.json'))) {
    const archive = execFileSync('npm', ['pack', `${name}@${version}`, '--silent'], {
      cwd: packages,
      encoding: 'utf8',
    });
    mkdirSync(folder, { recursive: true });
    execFileSync('tar', ['xzf', join(packages, archive.trim()), '-C', folder, '--strip-components=1']);
  }
  const { icons, width = 16, height = 16 } = JSON.parse(readFileSync(join(folder, 'icons.json'), 'utf8'));
  for (const [label, drawing] of Object.entries(CLASSES)) {
    const icon = icons[drawing];
    if (!icon) throw new Error(`${name}@${version} has no drawing "${drawing}"`);
    const box = [icon.left ?? 0, icon.top ?? 0, icon.width ?? width, icon.height ?? height];
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="${box.join(' ')}" width="512" height="512">${icon.body}</svg>`;
    mkdirSync(join(out, label), { recursive: true });
    const inked = await sharp(Buffer.from(svg)).trim({ background: '#00000000', threshold: 1 }).png().toBuffer();
    await sharp(inked)
      .resize(LONGEST_SIDE, LONGEST_SIDE, { fit: 'inside' })
      .png()
      .toFile(join(out, label, `${set}.png`));
  }
}
writeFileSync(
  join(out, 'sprites.json'),
  `${JSON.stringify({ classes: Object.keys(CLASSES), sets: SETS, drawings: CLASSES }, null, 2)}\n`,
);
