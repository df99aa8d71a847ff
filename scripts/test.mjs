// `npm test`: runs the tests (arguments go to ava) and ends with their counts.
import { printCounts, runTests } from './run-tests.mjs';

const result = await runTests(process.argv.slice(2));
printCounts(result);
process.exit(result.code);
