"""Runs the exported Mask R-CNN in PyTorch, by torchvision's own inference, and writes COCO results.

    python scripts/train/evaluate_maskrcnn.py models/demo/maskrcnn_demo.safetensors SCENES/val RESULTS.json

The weights are those of the file, f16 values computed with in f32, as instaseg does. compare_results.py takes the
results, and those that `instaseg eval --save-results` writes for the same pictures.
"""

import argparse
import json

import maskrcnn
import numpy as np
import torch
from pycocotools import mask as rle
from train_maskrcnn import Scenes


@torch.no_grad()
def detections(model, scenes):
    """COCO results, one picture at a time, with boxes and masks as torchvision gives them."""
    results = []
    for i, image in enumerate(scenes.images):
        found = model([scenes.input(i)])[0]
        for box, label, score, mask in zip(found["boxes"], found["labels"], found["scores"], found["masks"]):
            run = rle.encode(np.asfortranarray((mask[0].numpy() > 0.5).astype(np.uint8)))
            x0, y0, x1, y1 = box.tolist()
            results.append(
                {
                    "image_id": image["id"],
                    "category_id": int(label),
                    "score": float(score),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "segmentation": {"size": run["size"], "counts": run["counts"].decode()},
                }
            )
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights")
    parser.add_argument("scenes")
    parser.add_argument("results")
    parser.add_argument("--limit", type=int, help="the first so many pictures only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    scenes = Scenes(args.scenes, args.limit)
    model = maskrcnn.build(len(scenes.classes) + 1).eval()
    missing, unexpected = model.load_state_dict(maskrcnn.read_safetensors(args.weights), strict=False)
    if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
        raise SystemExit(f"{args.weights} does not fit: missing {missing}, unexpected {unexpected}")
    with open(args.results, "w") as file:
        json.dump(detections(model, scenes), file)


if __name__ == "__main__":
    main()
