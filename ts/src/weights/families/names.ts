import { InstasegError } from '../../runtime/errors.js';

/** Prefixes that wrappers put in front of every name: DataParallel, torch.compile, Lightning. */
const WRAPPER_PREFIXES = ['module.', '_orig_mod.', 'model.'];

/**
 * Canonical names for the names of a state dict, in the same order: prefixes that wrappers add to all names are removed,
 * then `rename` gives each its canonical name, or undefined to leave it out. ERR_WEIGHTS if two names become one.
 */
export function canonicalNames(
  names: Iterable<string>,
  rename: (name: string) => string | undefined,
): Map<string, string> {
  const originals = [...names];
  const prefix = commonPrefix(originals);
  const owners = new Map<string, string>();
  for (const original of originals) {
    const current = rename(original.slice(prefix.length));
    if (current === undefined) continue;
    const owner = owners.get(current);
    if (owner !== undefined) {
      throw new InstasegError('ERR_WEIGHTS', `The tensors "${owner}" and "${original}" are both "${current}"`);
    }
    owners.set(current, original);
  }
  return new Map([...owners].map(([current, original]) => [original, current]));
}

function commonPrefix(names: readonly string[], found = ''): string {
  const next = WRAPPER_PREFIXES.find(
    (prefix) => names.length > 0 && names.every((name) => name.startsWith(found + prefix)),
  );
  return next === undefined ? found : commonPrefix(names, found + next);
}
