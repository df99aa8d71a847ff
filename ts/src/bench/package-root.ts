import { join } from 'node:path';

/** The package's root: two folders above dist/src. */
export const PACKAGE_ROOT = join(__dirname, '..', '..', '..');
