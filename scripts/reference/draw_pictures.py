"""Draws the test pictures (numpy for the pixels, Pillow to write the PNG files).

    python3 draw_pictures.py OUTDIR

Shapes with soft shading over gradients and a little noise: enough structure for every layer to see edges, corners and
textures of several sizes. The same pixels on every run; case.json keeps their SHA-256.
"""
import os
import sys

import numpy as np
from PIL import Image


class Canvas:
    def __init__(self, height, width, seed):
        self.random = np.random.Generator(np.random.PCG64([seed, 1]))
        self.y, self.x = np.mgrid[0:height, 0:width].astype(np.float64)
        self.pixels = np.zeros((height, width, 3))
        self.height, self.width = height, width

    def gradient(self, first, second, angle):
        t = (self.x / self.width) * np.cos(angle) + (self.y / self.height) * np.sin(angle)
        t = (t - t.min()) / (t.max() - t.min())
        self.pixels[:] = np.outer(1 - t.ravel(), first).reshape(self.pixels.shape) + t[..., None] * second

    def paint(self, inside, colour, shade):
        """Blends a colour where `inside` (0 to 1), darker where `shade` (0 to 1) is small."""
        self.pixels += inside[..., None] * (np.asarray(colour) * (0.45 + 0.55 * shade[..., None]) - self.pixels)

    def ellipse(self, cx, cy, rx, ry, colour, edge=1.5):
        r = np.hypot((self.x - cx) / rx, (self.y - cy) / ry)
        self.paint(np.clip((1 - r) * min(rx, ry) / edge, 0, 1), colour, np.clip(1 - r * r, 0, 1))

    def box(self, cx, cy, w, h, angle, colour, stripes=0):
        u = (self.x - cx) * np.cos(angle) + (self.y - cy) * np.sin(angle)
        v = (self.y - cy) * np.cos(angle) - (self.x - cx) * np.sin(angle)
        inside = np.clip(w / 2 - np.abs(u) + 0.5, 0, 1) * np.clip(h / 2 - np.abs(v) + 0.5, 0, 1)
        shade = 0.5 + 0.5 * np.sin(u * stripes) if stripes else np.clip(0.5 + v / h, 0, 1)
        self.paint(inside, colour, shade)

    def scatter(self, count, smallest, largest):
        for i in range(count):
            cx, cy = self.random.random(2) * [self.width, self.height]
            a, b = smallest + (largest - smallest) * self.random.random(2) ** 2
            colour = self.random.random(3) * 255
            if i % 3 == 0:
                self.ellipse(cx, cy, a, b, colour)
            else:
                self.box(cx, cy, 2 * a, 2 * b, self.random.random() * np.pi, colour, stripes=0.7 if i % 3 == 1 else 0)

    def save(self, path, noise):
        grain = self.random.integers(-noise, noise + 1, (self.height, self.width, 1))
        Image.fromarray(np.clip(np.rint(self.pixels) + grain, 0, 255).astype(np.uint8)).save(path, optimize=True)
        print(path, '%dx%d' % (self.width, self.height), os.path.getsize(path), 'bytes')


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    c = Canvas(120, 160, 1)
    c.gradient([40, 70, 120], [230, 190, 150], 1.1)
    c.scatter(26, 3, 34)
    c.save(os.path.join(out, 'shapes.png'), 3)
    c = Canvas(240, 176, 2)
    c.gradient([210, 220, 200], [30, 40, 35], 0.4)
    c.scatter(40, 4, 60)
    c.save(os.path.join(out, 'tall.png'), 2)


if __name__ == '__main__':
    main()
