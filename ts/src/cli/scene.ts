/** The picture of the demo: shapes on a background, always the same. */
import sharp from 'sharp';

const SHAPES = `
  <rect width="480" height="320" fill="url(#sky)"/>
  <rect y="220" width="480" height="100" fill="#4c7a43"/>
  <circle cx="392" cy="66" r="34" fill="#ffd94a"/>
  <polygon points="0,220 92,96 184,220" fill="#6f7d92"/>
  <polygon points="110,220 204,132 298,220" fill="#8a98ab"/>
  <rect x="286" y="150" width="92" height="84" fill="#b5523b"/>
  <polygon points="274,150 332,104 390,150" fill="#6b2f24"/>
  <rect x="320" y="188" width="26" height="46" fill="#3a2418"/>
  <rect x="424" y="176" width="12" height="62" fill="#5c4027"/>
  <circle cx="430" cy="152" r="34" fill="#2f8f4e"/>
  <ellipse cx="120" cy="268" rx="58" ry="16" fill="#3f7fd0"/>
  <circle cx="222" cy="262" r="24" fill="#d9403c"/>
  <rect x="36" y="236" width="30" height="30" fill="#e8e2d0" transform="rotate(18 51 251)"/>`;

const SCENE = `<svg xmlns="http://www.w3.org/2000/svg" width="480" height="320">
  <linearGradient id="sky" x2="0" y2="1">
    <stop stop-color="#79b4ea"/><stop offset="1" stop-color="#dfeefb"/>
  </linearGradient>
  ${SHAPES}
</svg>`;

/** Draws it into a PNG file. */
export async function drawScene(path: string): Promise<void> {
  await sharp(Buffer.from(SCENE)).removeAlpha().png().toFile(path);
}
