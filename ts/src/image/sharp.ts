import type SharpModule from 'sharp';

/** sharp, loaded when an image is first decoded or encoded: raw pixels in and data out never pay for it. */
export function loadSharp(): Promise<typeof SharpModule> {
  return new Promise((resolve) => {
    resolve(require('sharp') as typeof SharpModule);
  });
}
