/** The environment variables that change what the package does, without what is secret in them. */

const NAMES =
  /^(INSTASEG_\w+|(https?|all|no)_proxy|XDG_CACHE_HOME|(CUDA|NVIDIA)_(VISIBLE_DEVICES|DRIVER_CAPABILITIES|LAUNCH_BLOCKING)|PREBUILDS_ONLY|LIBC|LD_PRELOAD|LD_LIBRARY_PATH|NODE_OPTIONS|NODE_EXTRA_CA_CERTS|UV_THREADPOOL_SIZE)$/i;

export function relevantEnvironment(environment: NodeJS.ProcessEnv = process.env): Record<string, string> {
  const relevant: Record<string, string> = {};
  for (const name of Object.keys(environment).toSorted()) {
    if (NAMES.test(name)) relevant[name] = withoutCredentials(environment[name] ?? '');
  }
  return relevant;
}

/** `http://user:password@host` as `http://***@host`, with or without the scheme. */
const withoutCredentials = (value: string): string => value.replace(/(^|[\s,;=]|:\/\/)[^\s/,;=@]+@/g, '$1***@');
