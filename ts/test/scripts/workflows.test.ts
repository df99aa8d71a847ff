/** The workflows as text: what can be said of them without running them. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import test from 'ava';

const ROOT = join(__dirname, '..', '..', '..');
const FOLDER = join(ROOT, '.github', 'workflows');
const WORKFLOWS = readdirSync(FOLDER).map((name) => ({ name, text: readFileSync(join(FOLDER, name), 'utf8') }));

test('actions are pinned by the hash of a commit, with their version', (t) => {
  const uses = WORKFLOWS.flatMap(({ text }) => [...text.matchAll(/uses: (.*)$/gm)].map(([, action]) => action!));
  const others = uses.filter((action) => !action.startsWith('./'));
  t.true(others.length > 0);
  const hashes = new Map<string, string>();
  for (const action of others) {
    const match = /^([\w-]+\/[\w-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$/.exec(action);
    if (!match) {
      t.fail(action);
      continue;
    }
    // One version of each everywhere.
    const [, name, hash] = match;
    t.is(hashes.get(name!) ?? hash, hash);
    hashes.set(name!, hash!);
  }
  for (const action of uses.filter((each) => each.startsWith('./'))) {
    t.true(readdirSync(FOLDER).includes(action.replace('./.github/workflows/', '')), action);
  }
});

test('a job may do only what it says', (t) => {
  for (const { name, text } of WORKFLOWS) {
    t.regex(text, /^permissions: \{\}$/m, name);
    t.notRegex(text, /write-all|pull_request_target|secrets\./, name);
    const jobs = text
      .slice(text.indexOf('\njobs:'))
      .split(/\n {2}(?=[\w-]+:\n)/)
      .slice(1);
    for (const job of jobs) t.regex(job, /\n {4}permissions:\n/, `${name}: ${job.split(':')[0]}`);
    const written = [...text.matchAll(/^ +([\w-]+): write$/gm)].map(([, permission]) => permission);
    t.deepEqual(written, name === 'release.yml' ? ['id-token'] : [], name);
  }
});

test('nothing that a stranger writes (a title, a branch) gets into a command', (t) => {
  for (const { name, text } of WORKFLOWS) t.notRegex(text, /\$\{\{[^}]*github\.(event\.|head_ref|ref_name)/, name);
});

test('the matrix of prebuilds has the targets that are checked for, in that order', (t) => {
  const script = pathToFileURL(join(ROOT, 'scripts', 'check-prebuilds.mjs')).href;
  const program = `import { TARGETS } from '${script}'; console.log(Object.keys(TARGETS).join());`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' });
  const { text } = WORKFLOWS.find(({ name }) => name === 'prebuilds.yml')!;
  t.is([...text.matchAll(/- target: (.*)$/gm)].map(([, target]) => target).join(), stdout.trim());
});

test('scripts that the workflows call are there', (t) => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const files = new Set(readdirSync(join(ROOT, 'scripts')));
  for (const { name, text } of WORKFLOWS) {
    for (const [, script] of text.matchAll(/npm run ([\w:]+)/g))
      t.truthy(scripts[script!], `${name}: npm run ${script}`);
    for (const [, script] of text.matchAll(/scripts\/([\w-]+\.(?:mjs|sh))/g))
      t.true(files.has(script!), `${name}: ${script}`);
  }
});
