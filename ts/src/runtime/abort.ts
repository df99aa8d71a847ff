/** Listening to abort signals. */

interface Listening {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

// Many calls may share one signal. With a listener each, Node.js would warn of a leak from the eleventh on.
const LISTENING = new WeakMap<AbortSignal, Listening>();

/**
 * Calls `callback` when `signal` aborts, unless the function that is returned was called before. All callbacks of a
 * signal share one listener. A signal that has aborted already calls nothing.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (!signal) return () => undefined;
  const { callbacks } = LISTENING.get(signal) ?? listen(signal);
  // A function of its own: the same callback may be registered twice.
  const entry = (): void => callback();
  callbacks.add(entry);
  return () => {
    if (callbacks.delete(entry) && callbacks.size === 0) unlisten(signal);
  };
}

function listen(signal: AbortSignal): Listening {
  const callbacks = new Set<() => void>();
  const listener = (): void => {
    unlisten(signal);
    for (const callback of callbacks) callback();
    callbacks.clear();
  };
  const listening = { callbacks, listener };
  LISTENING.set(signal, listening);
  signal.addEventListener('abort', listener);
  return listening;
}

function unlisten(signal: AbortSignal): void {
  const listening = LISTENING.get(signal);
  if (listening) signal.removeEventListener('abort', listening.listener);
  LISTENING.delete(signal);
}
