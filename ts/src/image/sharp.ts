import type { default as SharpModule } from 'sharp';

/** sharp, loaded when an image is first decoded or encoded: raw pixels in and data out never pay for it. */
export async function loadSharp(): Promise<typeof SharpModule> {
  return (await import('sharp')).default;
}
