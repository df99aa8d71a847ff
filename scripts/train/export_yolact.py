"""A checkpoint of train_yolact.py as a half-precision state dict, and what its tensors do not say.

    python3 export_yolact.py RUN_FOLDER/checkpoint.pt yolactplus_demo.pth
    node convert_yolact.mjs yolactplus_demo.pth yolactplus_demo.safetensors

The .pth has the tensor names of the published checkpoints, the head of the semantic loss included; beside it,
yolactplus_demo.json has the class names, the size of the input and the anchors.
"""
import argparse
import json
import os

import torch

from yolact_model import RATIOS, YolactConfig


def half(value):
    """Rounded to half precision; what is too large or too small to keep its value there is an error."""
    if not value.is_floating_point():
        return value
    rounded = value.half()
    if not torch.isfinite(rounded).all():
        raise ValueError('a weight does not fit into half precision')
    return rounded


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint')
    parser.add_argument('output')
    args = parser.parse_args()
    state = torch.load(args.checkpoint, weights_only=False)
    config = YolactConfig(**state['config'])
    torch.save({name: half(value) for name, value in state['averaged'].items()}, args.output)
    overrides = dict(model='yolactplus_demo', classNames=list(config.class_names), image=dict(size=config.size),
                     anchors=dict(scales=config.scales, ratios=list(RATIOS), square=False))
    with open(os.path.splitext(args.output)[0] + '.json', 'w', encoding='utf-8') as file:
        json.dump(overrides, file, indent=2)
        file.write('\n')


if __name__ == '__main__':
    main()
