"""Resized images as Pillow and PyTorch give them, for detectron2's input.

    python3 make_pillow_ops.py OUTDIR SEED        (writes OUTDIR/preprocess_pillow)

Needs PyTorch, numpy and Pillow, no torchvision.
"""
import os
import platform
import sys

import numpy as np
import PIL
import torch
import torch.nn.functional as F
from PIL import Image

from common import rng, save_safetensors, sha256_file, write_json

# name: original height and width, resized height and width
SIZES = {
    'enlarged': (19, 26, 41, 57),
    'shrunk': (61, 47, 20, 16),
    'shrunk_a_little': (40, 40, 39, 38),
    'one_axis': (7, 120, 7, 41),
    'as_it_is': (12, 9, 12, 9),
    'both_ways': (90, 3, 8, 21),
    'to_a_few_pixels': (400, 11, 9, 2),
    'one_pixel': (1, 1, 3, 5),
}


def main():
    out, seed = sys.argv[1], int(sys.argv[2])
    r = rng(seed, 700)
    tensors, cases = {}, []
    for name, (h, w, new_h, new_w) in SIZES.items():
        image = r.integers(0, 256, (h, w, 3)).astype(np.uint8)
        if name == 'shrunk':
            image = (image > 127).astype(np.uint8) * 255  # the largest sums
        tensors[name + '.image'] = image
        tensors[name + '.resized'] = np.asarray(Image.fromarray(image).resize((new_w, new_h), Image.BILINEAR))
        cases.append(dict(name=name, params=dict(size=[new_h, new_w]), inputs=dict(image=name + '.image'),
                          outputs=dict(resized=name + '.resized')))
    for name in ('enlarged', 'shrunk'):
        h, w, new_h, new_w = SIZES[name]
        image = (r.random((h, w, 3)) * 255).astype(np.float32)
        planes = torch.from_numpy(image).permute(2, 0, 1)[None]
        key = name + '_float'
        tensors[key + '.image'] = image
        tensors[key + '.resized'] = F.interpolate(planes, (new_h, new_w), mode='bilinear', align_corners=False)[0] \
            .permute(1, 2, 0).contiguous().numpy()
        cases.append(dict(name=key, params=dict(size=[new_h, new_w]), inputs=dict(image=key + '.image'),
                          outputs=dict(resized=key + '.resized')))
    folder = os.path.join(out, 'preprocess_pillow')
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, 'tensors.safetensors')
    save_safetensors(path, tensors)
    write_json(os.path.join(folder, 'case.json'), dict(
        # f32 coordinates of up to 61 pixels (4e-6 of a pixel) times 255
        op='preprocess_pillow', seed=seed, tolerances=dict(rtol=0, atol=1e-3),
        note='[h, w, 3]: 8-bit images through PIL.Image.resize (BILINEAR), exact; f32 ones through interpolate, whose '
        'coordinates are rounded differently from version to version',
        environment=dict(pillow=PIL.__version__, torch=torch.__version__, numpy=np.__version__,
                         python=platform.python_version(), machine=platform.machine()),
        cases=cases, tensors_sha256=sha256_file(path)))


if __name__ == '__main__':
    main()
