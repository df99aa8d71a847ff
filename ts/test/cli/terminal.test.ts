import test from 'ava';
import { writeSafetensors } from '../../src/index.js';
import { formatTable } from '../../src/cli/terminal.js';
import { instaseg, temporaryFolder } from './support.js';

test('tables of any length', (t) => {
  t.is(formatTable([]), '');
  const rows = Array.from({ length: 300_000 }, (_, i) => [String(i), 'x']);
  const lines = formatTable(rows, [0]).split('\n');
  t.is(lines.length, rows.length);
  t.is(lines[7], '       7  x');
  t.is(lines.at(-1), '  299999  x');
});

test('inspect of a file without tensors', async (t) => {
  const folder = temporaryFolder();
  t.teardown(() => folder.remove());
  await writeSafetensors(folder.path('empty.safetensors'), []);
  const { code, stdout } = await instaseg(['inspect', folder.path('empty.safetensors')]);
  t.is(code, 0);
  t.regex(stdout, /\n {2}tensors +0\n/);
});
