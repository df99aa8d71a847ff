declare module 'proxy-from-env' {
  /** The proxy that the environment names for an address (`https_proxy`, `no_proxy` ...), or ''. */
  export function getProxyForUrl(url: string | URL): string;
}
