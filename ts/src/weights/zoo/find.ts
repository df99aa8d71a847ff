import { InstasegError } from '../../runtime/errors.js';
import { show } from '../../runtime/validate.js';
import { listZoo, type ZooModel } from './manifest.js';

/** People write hyphens for underscores, and capitals as they like. */
const plain = (name: string): string => name.toLowerCase().replaceAll('-', '_');

const BY_NAME: ReadonlyMap<string, ZooModel> = new Map(
  listZoo().flatMap((model) => [model.name, ...model.aliases].map((name) => [plain(name), model])),
);

/** The model that goes by a name, if there is one. */
export function findZooModel(name: string): ZooModel | undefined {
  return BY_NAME.get(plain(name));
}

/** As `findZooModel`; ERR_ARGUMENT for a name that is none, with the names that there are. */
export function requireZooModel(name: unknown): ZooModel {
  const model = typeof name === 'string' ? findZooModel(name) : undefined;
  if (model) return model;
  throw new InstasegError(
    'ERR_ARGUMENT',
    `Expected the name of a published model, received ${show(name)}. There are ${zooNames()}`,
  );
}

export const zooNames = (): string =>
  listZoo()
    .map(({ name }) => name)
    .join(', ');
