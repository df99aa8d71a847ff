"""Trains the demo's Mask R-CNN on the scenes, on one CPU thread.

    python scripts/train/train_maskrcnn.py SCENES OUT --minutes 60

writes OUT/log.csv (losses, learning rate and images seen), OUT/last.pt every few minutes and, from the running average
of the weights, OUT/maskrcnn_demo.safetensors. The learning rate follows a cosine over the time given (or over
--iterations), so it has reached zero whenever that is over; SIGINT or SIGTERM ends the run early and writes the file.
"""

import argparse
import copy
import csv
import json
import math
import os
import signal
import time
from pathlib import Path

# Pictures and RoI batches come in many shapes, and oneDNN keeps only so many compiled primitives: 1024 by default.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "20000")

import maskrcnn  # noqa: E402
import numpy as np
import torch
from PIL import Image
from pycocotools import mask as rle

CHECKPOINT_SECONDS = 240
LOSSES = ["loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg"]


class Scenes:
    """A split: pictures and annotations, in memory, decoded pictures as uint8."""

    def __init__(self, folder, limit=None):
        folder = Path(folder)
        document = json.loads((folder / "instances.json").read_text())
        self.classes = [category["name"] for category in document["categories"]]
        self.images = document["images"][:limit]
        self.annotations = {image["id"]: [] for image in document["images"]}
        for annotation in document["annotations"]:
            self.annotations[annotation["image_id"]].append(annotation)
        self.pixels = [np.asarray(Image.open(folder / "images" / image["file_name"])) for image in self.images]

    def input(self, i):
        return torch.from_numpy(self.pixels[i].copy()).permute(2, 0, 1).float() / 255

    def example(self, i, flip):
        """(picture, target) as torchvision takes them."""
        image, entries = self.input(i), self.annotations[self.images[i]["id"]]
        masks = torch.from_numpy(rle.decode([entry["segmentation"] for entry in entries]).copy()).permute(2, 0, 1)
        boxes = torch.tensor([entry["bbox"] for entry in entries])
        boxes[:, 2:] += boxes[:, :2]
        if flip:
            image, masks, width = image.flip(-1), masks.flip(-1), image.shape[-1]
            boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        labels = torch.tensor([entry["category_id"] for entry in entries])
        return image, {"boxes": boxes, "labels": labels, "masks": masks}


def batches(rng, images, size):
    """Endless batches of indices. Pictures of like shape go together, so that little is padding."""
    while True:
        order = rng.permutation(len(images))
        for group in np.array_split(order, max(1, len(order) // (16 * size))):
            group = sorted(group, key=lambda i: images[i]["width"] / images[i]["height"])
            cut = [group[i : i + size] for i in range(0, len(group) - size + 1, size)]
            yield from (cut[i] for i in rng.permutation(len(cut)))


class Average:
    """Running average of the weights and of the normalisations' statistics, quick at first."""

    def __init__(self, model, decay):
        self.model, self.decay, self.steps = copy.deepcopy(model), decay, 0

    @torch.no_grad()
    def update(self, model):
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        if self.steps == 1:
            pairs = zip(self.model.state_dict().values(), model.state_dict().values())
            self.mine, self.theirs = zip(*(pair for pair in pairs if pair[0].is_floating_point()))
        torch._foreach_lerp_(self.mine, self.theirs, 1 - decay)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("scenes")
    parser.add_argument("out")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--limit", type=int, help="train on the first so many scenes only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", help="last.pt of an earlier run to start from")
    parser.add_argument("--progress", type=float, default=0, help="where on the cosine to start, 0 to 1")
    parser.add_argument("--f32", action="store_true", help="convolutions in f32 instead of bf16")
    args = parser.parse_args()
    if (args.minutes is None) == (args.iterations is None):
        parser.error("give --minutes or --iterations")
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    scenes = Scenes(Path(args.scenes) / "train", args.limit)

    model = maskrcnn.build(
        len(scenes.classes) + 1,
        min_size=[112, 128, 144, 160],
        rpn_pre_nms_top_n_train=100,
        rpn_post_nms_top_n_train=100,
        rpn_batch_size_per_image=64,
        box_batch_size_per_image=40,
        box_positive_fraction=0.3,
    ).to(memory_format=torch.channels_last)
    if args.resume:
        model.load_state_dict(torch.load(args.resume)["model"])
    average = Average(model, 0.998)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.02}, {"params": others, "weight_decay": 0}],
        lr=args.rate,
        fused=True,
    )
    if not args.f32:
        in_bf16(model)

    stopped = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stopped.append(True))

    def write():
        maskrcnn.save(out / "maskrcnn_demo.safetensors", average.model.state_dict(), scenes.classes)
        torch.save({"model": model.state_dict(), "average": average.model.state_dict()}, out / "last.pt")

    source = batches(rng, scenes.images, args.batch)
    started = written = time.monotonic()
    step, sums = 0, np.zeros(len(LOSSES))
    with open(out / "log.csv", "w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["seconds", "cpu_seconds", "iteration", "images", "rate", *LOSSES])
        while not stopped:
            now = time.monotonic()
            progress = step / args.iterations if args.iterations else (now - started) / (60 * args.minutes)
            if progress >= 1:
                break
            progress = args.progress + (1 - args.progress) * progress
            rate = args.rate * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * progress))
            for group in optimizer.param_groups:
                group["lr"] = rate
            chosen = next(source)
            images, targets = zip(*(scenes.example(i, rng.random() < 0.5) for i in chosen))
            losses = model(list(images), list(targets))
            total = sum(losses.values())
            if not torch.isfinite(total):
                print(f"iteration {step}: the loss is not finite, step left out", flush=True)
                optimizer.zero_grad()
                step += 1
                continue
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
            optimizer.step()
            average.update(model)
            sums += [float(losses[name].detach()) for name in LOSSES]
            step += 1
            if step % 20 == 0:
                means = [f"{value / 20:.4f}" for value in sums]
                log.writerow([f"{now - started:.0f}", f"{time.process_time():.0f}", step, step * args.batch, f"{rate:.2e}", *means])
                file.flush()
                sums[:] = 0
            if now - written > CHECKPOINT_SECONDS:
                write()
                written = now
    write()
    print(f"{step} iterations, {step * args.batch} pictures, {time.monotonic() - started:.0f} s, {time.process_time():.0f} s of CPU")


def in_bf16(model):
    """Runs the backbone, the RPN's head and the mask head in bf16, with f32 weights, and returns f32 from each."""

    def wrap(module):
        forward = module.forward

        def run(*inputs):
            with torch.autocast("cpu", torch.bfloat16):
                return f32(forward(*inputs))

        module.forward = run

    def f32(value):
        if isinstance(value, torch.Tensor):
            return value.float()
        if isinstance(value, dict):
            return type(value)((key, f32(item)) for key, item in value.items())
        return type(value)(f32(item) for item in value)

    for module in (model.backbone, model.rpn.head, model.roi_heads.mask_head, model.roi_heads.mask_predictor):
        wrap(module)


if __name__ == "__main__":
    main()
