// Checks (or, with --fix, applies) clang-format over native/. Where clang-format is not installed the check says so and
// passes, unless CI is set.
import { execFileSync, spawnSync } from 'node:child_process';

const fix = process.argv.includes('--fix');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', 'native'], {
  encoding: 'utf8',
})
  .split('\n')
  .filter((file) => /\.(h|cpp|cu|cuh)$/.test(file));
if (spawnSync('clang-format', ['--version']).error) {
  console.error('clang-format is not installed (Debian: apt-get install clang-format): native/ was not checked');
  process.exit(process.env.CI ? 1 : 0);
}
const result = spawnSync('clang-format', fix ? ['-i', ...files] : ['--dry-run', '--Werror', ...files], {
  stdio: 'inherit',
});
process.exit(result.status ?? 1);
