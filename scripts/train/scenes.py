"""Draws scenes of everyday objects whose exact masks are known, as JPEG pictures and COCO annotations.

    python scripts/train/scenes.py SPRITES OUT --split train --count 8000
    python scripts/train/scenes.py SPRITES OUT --split val --count 200

writes OUT/<split>/images/000001.jpg ... and OUT/<split>/instances.json: COCO instances with the visible part of every
object as compressed RLE, category ids 1..16. SPRITES is the output of sprites.mjs.

A scene depends on (seed, split, its number) alone. What the val split has that the train split never has:
its background textures (plaid, cells, waves and weave instead of plain, gradient, clouds, stripes, checks and blobs),
its variants of the drawings (hues shifted by 6 to 12 degrees; training uses shifts below 6 and between 12 and 18), and
its random stream. The drawings themselves, four a class, are the same.
"""

import argparse
import colorsys
import io
import json
import math
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter
from pycocotools import mask as rle

SEED = 2026
SPLITS = {"train": 0, "val": 1}
TRIES = 12  # placements tried for an object before it is given up
LEAST_VISIBLE = 0.45  # of an object's own pixels, at any time, and inside the picture
LEAST_AREA = 120  # visible pixels


class Sprites:
    """The drawings, premultiplied, at halving sizes so that shrinking one does not alias."""

    def __init__(self, folder):
        about = json.loads((Path(folder) / "sprites.json").read_text())
        self.classes = about["classes"]
        self.levels = {
            (label, name): self._levels(Image.open(Path(folder) / label / f"{name}.png").convert("RGBA"))
            for label in self.classes
            for name in about["sets"]
        }
        self.names = list(about["sets"])

    @staticmethod
    def _levels(image):
        rgba = np.asarray(image, np.float32) / 255
        rgba[..., :3] *= rgba[..., 3:]
        levels = [rgba]
        while max(levels[-1].shape) > 48:
            last = levels[-1]
            last = np.pad(last, [(0, last.shape[0] % 2), (0, last.shape[1] % 2), (0, 0)])
            levels.append(last.reshape(last.shape[0] // 2, 2, last.shape[1] // 2, 2, 4).mean((1, 3)))
        return levels


def warp(plane, matrix, size):
    """One float plane through the inverse affine map `matrix` (output to input pixels)."""
    return np.asarray(Image.fromarray(plane).transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def draw_object(rng, split, levels, longest):
    """An RGBA patch (premultiplied, float) of the drawing: recoloured, sheared, stretched, rotated, lit."""
    level = levels[0]
    for candidate in levels:
        if max(candidate.shape) >= longest:
            level = candidate
    height, width = level.shape[:2]
    scale = longest / max(height, width)
    stretch = math.exp(rng.uniform(-0.15, 0.15))
    angle = math.radians(rng.uniform(-30, 30))
    shear = rng.uniform(-0.15, 0.15)
    flip = -1 if rng.random() < 0.5 else 1
    cos, sin = math.cos(angle), math.sin(angle)
    forward = (
        np.array([[cos, -sin], [sin, cos]])
        @ np.array([[1, shear], [0, 1]])
        @ np.diag([flip * scale * stretch, scale / stretch])
    )
    corners = forward @ np.array([[-width, width, width, -width], [-height, -height, height, height]]) / 2
    out_w, out_h = (math.ceil(2 * np.abs(row).max()) + 2 for row in corners)
    inverse = np.linalg.inv(forward)
    offset = np.array([width / 2, height / 2]) - inverse @ np.array([out_w / 2, out_h / 2])
    matrix = (*inverse[0], offset[0], *inverse[1], offset[1])
    patch = np.stack([warp(np.ascontiguousarray(level[..., c]), matrix, (out_w, out_h)) for c in range(4)], -1)
    return recolour(rng, split, patch)


def recolour(rng, split, patch):
    """Turns the hue about the grey axis, and changes contrast and brightness, some of it across the object."""
    band = rng.uniform(6, 12) if split == "val" else rng.choice([rng.uniform(0, 6), rng.uniform(12, 18)])
    hue = math.radians(band * rng.choice([-1, 1]))
    cos, sin, third = math.cos(hue), math.sin(hue), math.sqrt(1 / 3)
    diagonal, plus = cos + (1 - cos) / 3, (1 - cos) / 3 + third * sin
    minus = (1 - cos) / 3 - third * sin
    turn = np.array([[diagonal, minus, plus], [plus, diagonal, minus], [minus, plus, diagonal]], np.float32)
    alpha = patch[..., 3:]
    rgb = patch[..., :3] @ turn.T
    grey = rgb.mean(-1, keepdims=True)
    rgb = grey + (rgb - grey) * rng.uniform(0.75, 1.15)
    height, width = alpha.shape[:2]
    towards = rng.uniform(0, 2 * math.pi)
    slope = math.cos(towards) * np.linspace(-1, 1, width)[None] + math.sin(towards) * np.linspace(-1, 1, height)[:, None]
    light = rng.uniform(0.75, 1.1) * (1 + rng.uniform(0, 0.2) * slope)[..., None].astype(np.float32)
    return np.concatenate([np.clip(rgb * light, 0, alpha), alpha], -1)


def colour(rng, saturation=0.6):
    rgb = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0, saturation), rng.uniform(0.25, 0.95))
    return np.array(rgb, np.float32)


def clouds(rng, size, cells):
    """Smooth noise in 0..1, [height, width]."""
    width, height = size
    small = rng.random((max(2, cells * height // width), cells)).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))


def background(rng, split, size):
    """A textured picture without objects, [height, width, 3] in 0..1."""
    width, height = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, math.pi)
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    kinds = ["plaid", "cells", "waves", "weave"]
    if split == "train":
        kinds = ["plain", "gradient", "clouds", "stripes", "checks", "blobs"]
    kind = rng.choice(kinds)
    period = rng.uniform(10, 50)
    if kind == "plain":
        mix = np.zeros((height, width), np.float32)
    elif kind == "gradient":
        mix = (along - along.min()) / (np.ptp(along) + 1e-6)
    elif kind == "clouds":
        mix = clouds(rng, size, int(rng.integers(3, 9))) * 0.7 + clouds(rng, size, int(rng.integers(12, 40))) * 0.3
    elif kind == "stripes":
        mix = (np.mod(along, period) < period * rng.uniform(0.3, 0.7)).astype(np.float32)
    elif kind == "checks":
        mix = np.mod(np.floor(along / period) + np.floor(across / period), 2)
    elif kind == "blobs":
        mix = (clouds(rng, size, int(rng.integers(5, 14))) > 0.5).astype(np.float32)
    elif kind == "plaid":
        mix = ((np.mod(along, period) < period * 0.4) * 0.5 + (np.mod(across, period) < period * 0.3) * 0.5).astype(np.float32)
    elif kind == "cells":
        points = rng.random((int(rng.integers(10, 40)), 2)) * (width, height)
        shades = rng.random(len(points)).astype(np.float32)
        mix = shades[((x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2).argmin(-1)]
    elif kind == "waves":
        mix = 0.5 + 0.5 * np.sin(2 * math.pi * (along / period + 0.6 * np.sin(across / rng.uniform(8, 30))))
    else:
        mix = 0.5 + 0.25 * np.sin(2 * math.pi * along / (period / 3)) + 0.25 * np.sign(np.sin(2 * math.pi * across / (period / 3)))
    first, second = colour(rng), colour(rng)
    second = first + (second - first) * rng.uniform(0.2, 1)
    picture = first + (second - first) * mix[..., None]
    return picture * (0.85 + 0.3 * clouds(rng, size, 4)[..., None])


def distractor(rng, size):
    """A plain shape that is no object of any class: an RGBA patch over the whole picture."""
    width, height = size
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    cx, cy, reach = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(10, 40)
    kind = rng.integers(3)
    if kind == 0:
        ratio = rng.uniform(0.4, 1)
        pen.ellipse([cx - reach, cy - reach * ratio, cx + reach, cy + reach * ratio], 255)
    elif kind == 1:
        angles = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 6))))
        pen.polygon([(cx + reach * math.cos(a), cy + reach * math.sin(a)) for a in angles], 255)
    else:
        angle, far = rng.uniform(0, math.pi), width + height
        step = (far * math.cos(angle), far * math.sin(angle))
        pen.line([cx - step[0], cy - step[1], cx + step[0], cy + step[1]], 255, int(rng.integers(3, 9)))
    alpha = np.asarray(mask, np.float32)[..., None] / 255
    return np.concatenate([alpha * colour(rng, 0.9), alpha], -1)


def over(picture, patch):
    return patch[..., :3] + picture * (1 - patch[..., 3:])


def placed(patch, left, top, size):
    """The patch in a frame of the picture's size, cut off at its edges."""
    width, height = size
    frame = np.zeros((height, width, 4), np.float32)
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + patch.shape[1], width), min(top + patch.shape[0], height)
    if x1 > x0 and y1 > y0:
        frame[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    return frame


def scene(rng, split, sprites):
    """(JPEG bytes, (width, height), [(category id, visible mask)])"""
    long_side = int(rng.integers(192, 289))
    size = (long_side, 192) if rng.random() < 0.75 else (192, long_side)
    picture = background(rng, split, size)
    objects = []  # [category, own pixels inside and outside the picture, visible mask]
    wanted = int(rng.integers(2, 7))
    plan = ["object"] * wanted + ["distractor"] * int(rng.integers(0, 4))
    rng.shuffle(plan)
    for kind in plan:
        for _ in range(TRIES):
            if kind == "distractor":
                frame, own = distractor(rng, size), None
            else:
                category = int(rng.integers(len(sprites.classes)))
                levels = sprites.levels[sprites.classes[category], sprites.names[int(rng.integers(len(sprites.names)))]]
                patch = draw_object(rng, split, levels, math.exp(rng.uniform(math.log(42), math.log(110))))
                left = int(rng.uniform(0.05, 0.95) * size[0] - patch.shape[1] / 2)
                top = int(rng.uniform(0.05, 0.95) * size[1] - patch.shape[0] / 2)
                frame = placed(patch, left, top, size)
                own = int((patch[..., 3] >= 0.5).sum())
            solid = frame[..., 3] >= 0.5
            if own is not None and solid.sum() < max(LEAST_AREA, LEAST_VISIBLE * own):
                continue
            left_over = [mask & ~solid for _, _, mask in objects]
            if any(
                mask.sum() < max(LEAST_AREA, LEAST_VISIBLE * whole) for mask, (_, whole, _) in zip(left_over, objects)
            ):
                continue
            if own is not None and rng.random() < 0.5:  # a soft shadow
                shadow = Image.fromarray((frame[..., 3] * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(3))
                moved = (1, 0, int(rng.integers(-3, 4)), 0, 1, -int(rng.integers(1, 6)))
                shadow = shadow.transform(size, Image.Transform.AFFINE, moved)
                picture = picture * (1 - 0.4 / 255 * np.asarray(shadow, np.float32)[..., None])
            picture = over(picture, frame)
            for entry, mask in zip(objects, left_over):
                entry[2] = mask
            if own is not None:
                objects.append([category + 1, own, solid])
            break
    picture = picture * rng.uniform(0.8, 1.1) + rng.normal(0, rng.uniform(0, 0.03), picture.shape)
    image = Image.fromarray((np.clip(picture, 0, 1) * 255).round().astype(np.uint8))
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=int(rng.integers(60, 93)))
    return encoded.getvalue(), size, [(category, mask) for category, _, mask in objects]


def one(job):
    folder, split, seed, number = job
    rng = np.random.default_rng([seed, SPLITS[split], number])
    encoded, size, objects = scene(rng, split, SPRITES)
    (Path(folder) / "images" / f"{number:06d}.jpg").write_bytes(encoded)
    annotations = []
    for category, mask in objects:
        run = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
        annotations.append(
            {
                "image_id": number,
                "category_id": category,
                "iscrowd": 0,
                "area": int(rle.area(run)),
                "bbox": [float(v) for v in rle.toBbox(run)],
                "segmentation": {"size": [int(v) for v in run["size"]], "counts": run["counts"].decode()},
            }
        )
    return {"id": number, "file_name": f"{number:06d}.jpg", "width": size[0], "height": size[1]}, annotations


def load_sprites(folder):
    global SPRITES
    SPRITES = Sprites(folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sprites")
    parser.add_argument("out")
    parser.add_argument("--split", choices=SPLITS, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--first", type=int, default=1, help="number of the first scene")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    folder = Path(args.out) / args.split
    (folder / "images").mkdir(parents=True, exist_ok=True)
    jobs = [(folder, args.split, args.seed, number) for number in range(args.first, args.first + args.count)]
    load_sprites(args.sprites)
    with Pool(args.workers, load_sprites, [args.sprites]) as pool:
        drawn = list(pool.imap(one, jobs, chunksize=16))
    annotations = [entry for _, entries in drawn for entry in entries]
    for number, entry in enumerate(annotations, 1):
        entry["id"] = number
    document = {
        "info": {"description": f"instaseg demo scenes, {args.split} split", "seed": args.seed},
        "licenses": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(SPRITES.classes, 1)],
        "images": [image for image, _ in drawn],
        "annotations": annotations,
    }
    (folder / "instances.json").write_text(json.dumps(document))


if __name__ == "__main__":
    main()
