"""COCO's AP of a checkpoint of train_yolact.py, in PyTorch and with pycocotools.

    python3 evaluate_yolact.py RUN_FOLDER/checkpoint.pt SCENES/val [--limit 50] [--results results.json] [--full-precision]

The averaged weights are rounded to half precision first, which is how the demo's file has them.
"""
import argparse
import json

import torch

from compare_results import evaluate
from yolact_data import Scenes
from yolact_detect import segment
from yolact_model import Yolact, YolactConfig


def load_model(path, half=True):
    """The averaged model of a checkpoint, ready to run; its values are those that half precision holds."""
    state = torch.load(path, weights_only=False)
    model = Yolact(YolactConfig(**state['config']))
    weights = {name: value.half().float() if half and value.is_floating_point() else value
               for name, value in state['averaged'].items()}
    model.load_state_dict(weights)
    return model.eval()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint')
    parser.add_argument('scenes')
    parser.add_argument('--limit', type=int)
    parser.add_argument('--results', help='file for the COCO results')
    parser.add_argument('--full-precision', action='store_true', help='do not round the weights')
    args = parser.parse_args()
    torch.set_num_threads(1)
    scenes = Scenes(args.scenes, args.limit)
    model = load_model(args.checkpoint, half=not args.full_precision)
    results = []
    for i, record in enumerate(scenes.records):
        results += segment(model, scenes.image(i), record['id'], scenes.category_ids)
    if args.results:
        with open(args.results, 'w', encoding='utf-8') as file:
            json.dump(results, file)
    evaluate(scenes.coco, results, [record['id'] for record in scenes.records])


if __name__ == '__main__':
    main()
