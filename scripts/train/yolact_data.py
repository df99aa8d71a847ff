"""Scenes in COCO's format as batches for YOLACT: images of the network's size, and what is in them."""
import json
import os

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco_mask
from torch.nn import functional as F

from yolact_model import MEAN_BGR, preprocess

PROTOTYPE_STRIDE = 4
SMALLEST = 3e-4
"""Share of the view: what is left of an object after cropping counts from here."""


def load_image(path):
    """[h, w, 3] RGB, 8 bits."""
    return np.array(Image.open(path).convert('RGB'))


class Scenes:
    """A folder with instances.json and images/. Objects do not overlap: the masks are of what is seen."""

    def __init__(self, folder, limit=None):
        self.folder = folder
        with open(os.path.join(folder, 'instances.json'), encoding='utf-8') as file:
            self.coco = json.load(file)
        categories = sorted(self.coco['categories'], key=lambda category: category['id'])
        self.class_names = tuple(category['name'] for category in categories)
        self.category_ids = [category['id'] for category in categories]
        label = {id_: 1 + i for i, id_ in enumerate(self.category_ids)}
        self.records = sorted(self.coco['images'], key=lambda image: image['id'])[:limit]
        by_image = {}
        for annotation in self.coco['annotations']:
            by_image.setdefault(annotation['image_id'], []).append(annotation)
        self.annotations = [by_image.get(image['id'], []) for image in self.records]
        self.labels = [np.array([label[a['category_id']] for a in each], np.int64) for each in self.annotations]

    def __len__(self):
        return len(self.records)

    def path(self, i):
        name = self.records[i]['file_name']
        direct = os.path.join(self.folder, name)
        return direct if os.path.exists(direct) else os.path.join(self.folder, 'images', name)

    def image(self, i):
        return load_image(self.path(i))

    def owners(self, i):
        """[h, w]: 0 for the background, n for object n - 1 of the image."""
        record = self.records[i]
        owners = np.zeros((record['height'], record['width']), np.uint8)
        for n, annotation in enumerate(self.annotations[i]):
            segmentation = annotation['segmentation']
            if isinstance(segmentation['counts'], list):
                segmentation = coco_mask.frPyObjects(segmentation, *segmentation['size'])
            owners[coco_mask.decode(segmentation) > 0] = n + 1
        return owners


class TrainingScenes:
    """All scenes in memory, as random views of them."""

    def __init__(self, scenes):
        self.labels = scenes.labels
        self.images = [scenes.image(i) for i in range(len(scenes))]
        self.owners = [scenes.owners(i) for i in range(len(scenes))]

    def batch(self, indices, size, random):
        """Input [B, 3, size, size], and a dict of boxes, labels and masks for each image; see `losses`."""
        views = [self.view(i, size, random) for i in indices]
        return torch.stack([image for image, _ in views]), [objects for _, objects in views]

    def view(self, i, size, random):
        for _ in range(20):
            x, y, width, height = random_window(self.images[i].shape, random)
            flip = random.random() < 0.5
            owners = cut(self.owners[i], x, y, width, height, 0)
            objects = describe(torch.from_numpy(owners[:, ::-1].copy() if flip else owners), self.labels[i], size)
            if len(objects['labels']) > 0:
                break
        else:
            raise ValueError(f'scene {i} has no objects')
        image = cut(self.images[i], x, y, width, height, MEAN_BGR[::-1])
        image = torch.from_numpy(image[:, ::-1].copy() if flip else np.ascontiguousarray(image))
        return jitter_colours(preprocess(image, size), random), objects


def random_window(shape, random):
    """x, y, width, height in pixels: the image, a part of it, or rarely more than it."""
    height, width = shape[:2]
    kind = random.random()
    if kind < 0.3:
        return 0, 0, width, height
    scale = random.uniform(0.65, 1) if kind < 0.85 else random.uniform(1, 1.3)
    stretch = np.exp(random.uniform(-0.15, 0.15))
    w, h = round(width * scale * stretch), round(height * scale / stretch)
    between = lambda a, b: int(random.integers(min(a, b), max(a, b) + 1))
    return between(0, width - w), between(0, height - h), w, h


def cut(image, x, y, width, height, fill):
    """The window of an image [h, w, ...], with `fill` where it reaches beyond."""
    full_height, full_width = image.shape[:2]
    if x >= 0 and y >= 0 and x + width <= full_width and y + height <= full_height:
        return image[y:y + height, x:x + width]
    out = np.empty((height, width) + image.shape[2:], image.dtype)
    out[:] = np.round(fill)
    top, left = max(y, 0), max(x, 0)
    part = image[top:min(y + height, full_height), left:min(x + width, full_width)]
    out[top - y:top - y + part.shape[0], left - x:left - x + part.shape[1]] = part
    return out


def describe(owners, labels, size):
    """Boxes [n, 4], labels [n] and masks [n, size / 4, size / 4] of the objects of which enough is seen."""
    owners = F.interpolate(owners[None, None], size=(size, size), mode='nearest-exact')[0, 0]
    area = torch.bincount(owners.flatten(), minlength=len(labels) + 1)[1:]
    seen = (area >= SMALLEST * size**2).nonzero()[:, 0]
    masks = owners[None] == (seen + 1).view(-1, 1, 1)
    columns, rows = masks.any(1).float(), masks.any(2).float()
    first = lambda line: line.argmax(1)
    last = lambda line: size - line.flip(1).argmax(1)
    boxes = torch.stack([first(columns), first(rows), last(columns), last(rows)], 1) / size
    cells = F.avg_pool2d(masks[:, None].float(), PROTOTYPE_STRIDE)[:, 0]
    return dict(boxes=boxes, labels=torch.from_numpy(labels)[seen], masks=(cells > 0.5).float())


def jitter_colours(image, random):
    """Brightness, contrast and the balance of the channels of a normalised image."""
    gain = random.uniform(0.8, 1.2) * torch.from_numpy(random.uniform(0.93, 1.07, (3, 1, 1))).float()
    return image * gain + random.uniform(-0.3, 0.3)
