/**
 * The TypeScript of README.md and docs/*.md. All ```ts blocks of a page are one module, in their order. It has to compile
 * under `strict`; where the first block is marked ```ts run, it is run too, in a folder with a photo.jpg, and the lines
 * that its comments `// => text` promise have to be printed in that order.
 */
import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, parse } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import ts from 'typescript';

const ROOT = join(__dirname, '..', '..', '..');
// Inside of the package, so that the examples' import of 'instaseg' is this build.
const MODULES = join(ROOT, 'dist', 'doc-examples');

interface Example {
  readonly page: string;
  readonly path: string;
  readonly source: string;
  readonly runs: boolean;
  /** What it promises to print, line by line. */
  readonly printed: readonly string[];
}

function examplesOf(page: string): Example[] {
  const blocks = [...readFileSync(join(ROOT, page), 'utf8').matchAll(/^```ts( run)?\n(.*?)^```$/gms)];
  if (blocks.length === 0) return [];
  const source = `${blocks.map(([, , code]) => code).join('\n')}\nexport {};\n`;
  return [
    {
      page,
      path: join(MODULES, `${parse(page).name.toLowerCase()}.mts`),
      source,
      runs: blocks[0]![1] !== undefined,
      printed: [...source.matchAll(/\/\/ => (.*)$/gm)].map(([, text]) => text!),
    },
  ];
}

const PAGES = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const EXAMPLES = PAGES.flatMap(examplesOf);

const OPTIONS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2022,
  lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
  module: ts.ModuleKind.Node16,
  moduleResolution: ts.ModuleResolutionKind.Node16,
  types: ['node'],
  typeRoots: [join(ROOT, 'node_modules', '@types')],
  strict: true,
  skipLibCheck: true,
  rootDir: MODULES,
};

/** Compiles all examples at once; the diagnostics as text, one line each. */
function compile(): string[] {
  rmSync(MODULES, { recursive: true, force: true });
  mkdirSync(MODULES, { recursive: true });
  for (const { path, source } of EXAMPLES) writeFileSync(path, source);
  const program = ts.createProgram(
    EXAMPLES.map(({ path }) => path),
    OPTIONS,
  );
  const { diagnostics } = program.emit();
  return [...ts.getPreEmitDiagnostics(program), ...diagnostics].map(({ file, start, messageText }) => {
    const text = ts.flattenDiagnosticMessageText(messageText, '\n');
    if (!file || start === undefined) return text;
    const { line } = file.getLineAndCharacterOfPosition(start);
    return `${parse(file.fileName).base}: ${text}\n    ${file.text.split('\n')[line]!.trim()}`;
  });
}

/** The promised lines that are not printed after those before them. */
function missingLines(stdout: string, promised: readonly string[]): string[] {
  const lines = stdout.split('\n');
  let at = 0;
  return promised.filter((text) => {
    const found = lines.indexOf(text, at);
    if (found < 0) return true;
    at = found + 1;
    return false;
  });
}

test.before('the examples compile', (t) => {
  t.true(EXAMPLES.some(({ runs }) => runs));
  t.deepEqual(compile(), []);
});

for (const { page, path, printed } of EXAMPLES.filter(({ runs }) => runs)) {
  test.serial(`the examples of ${page} do what they say`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'instaseg-docs-'));
    try {
      const scenes = join(ROOT, 'models', 'demo', 'scenes');
      const [scene] = readdirSync(scenes).filter((name) => name.endsWith('.jpg'));
      copyFileSync(join(scenes, scene!), join(folder, 'photo.jpg'));
      const script = path.replace(/\.mts$/, '.mjs');
      const { stdout } = await promisify(execFile)(process.execPath, [script], { cwd: folder });
      t.deepEqual(missingLines(stdout, printed), [], stdout);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
