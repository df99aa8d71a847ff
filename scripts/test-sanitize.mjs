// `npm run test:sanitize`: the tests of the ops and of the runtime on the CPU, under AddressSanitizer and
// UndefinedBehaviorSanitizer.
import { printCounts, runTests } from './run-tests.mjs';
import { buildSanitized } from './test-builds.mjs';

const { env } = buildSanitized();
const result = await runTests(['dist/test/ops/**/*.test.js', 'dist/test/runtime/**/*.test.js'], env);
printCounts(result);
process.exit(result.code);
