"""PyTorch's networks on the weights and the images that models.mjs wrote, in every mode that people use.

    python3 benchmarks/gpu/torch_models.py --weights build-gpu/weights --json out.json [--ours models.json]
                                           [--device cuda]

torchvision's Mask R-CNN as it is, and YOLACT++ as benchmarks/peers/models.py has it, with torchvision's deformable
convolution. A call goes from the image on the GPU to masks of its size on the GPU, synchronised with the host. With
--ours the f32 detections are compared first: all but 2 % have a partner of the same class, with a box within 0.05 px
(YOLACT's, which are cut to whole pixels, within 1) and a score within 1e-3.
"""
import argparse
import json
import os
import statistics
import sys
import time

import numpy
import torch

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "peers"))
import models as peers  # noqa: E402  before torchvision, as it says
import torchvision  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

SIZES = {"maskrcnn_resnet50_fpn": (800, 1333), "yolact_plus_resnet50": (550, 550)}
BOX_TOLERANCE = {"maskrcnn_resnet50_fpn": 0.05, "yolact_plus_resnet50": 1.01}
SCORE_TOLERANCE = 1e-3
# Candidates of random weights tie so nearly that NMS and top-k may decide differently: a few have no partner.
ALONE = 0.02
MODES = ("f32", "tf32", "channels_last tf32", "autocast f16", "autocast bf16", "channels_last autocast f16",
         "channels_last autocast bf16", "compiled backbone autocast bf16")


def deform_conv2d(x, offset, mask, weight, bias, stride=1):
    return torchvision.ops.deform_conv2d(x, offset, weight, bias, stride=stride, padding=1, mask=mask)


def build(name, folder, device):
    spec = peers.description(name)
    if name.startswith("maskrcnn"):
        model = network = peers.mask_rcnn(spec)
    else:
        if device == "cuda":
            peers.yolact_model.deform_conv2d = deform_conv2d
        model = peers.yolact(spec)
        network = model.network
    state = load_file(os.path.join(folder, f"{name}.safetensors"))
    missing, unexpected = network.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"the weights of {name} do not fit: missing {missing[:3]}, unexpected {unexpected[:3]}")
    return model.eval().to(device), network


def load_image(name, folder, device):
    data = numpy.fromfile(os.path.join(folder, f"{name}.rgb"), dtype=numpy.uint8).reshape(*SIZES[name], 3)
    image = torch.from_numpy(data).permute(2, 0, 1).contiguous().to(device).float()
    return image / 255 if name.startswith("maskrcnn") else image


def detect(name, model, image):
    """Boxes, labels and scores."""
    if name.startswith("maskrcnn"):
        found = model([image])[0]
        return found["boxes"], found["labels"], found["scores"]
    boxes, labels, _, scores, _ = model(image)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])  # others are no detections with us
    return boxes[kept], labels[kept], scores[kept]


def measure(call, runs, wait):
    for _ in range(min(runs, 5)):
        call()
    samples = []
    for _ in range(runs):
        wait()
        started = time.perf_counter()
        call()
        wait()
        samples.append((time.perf_counter() - started) * 1000)
    return statistics.median(samples), min(samples)


def compare(name, found, ours):
    expected = next(row for row in ours["rows"] if row["model"] == name and row["precision"] == "f32")["detections"]
    boxes, labels, scores = (values.cpu().numpy() for values in found)
    free, worst_box, worst_score = set(range(len(boxes))), 0.0, 0.0
    for detection in expected:
        x, y, w, h = detection["box"]
        distance = numpy.abs(boxes - numpy.array([x, y, x + w, y + h])).max(1)
        near = [i for i in free if labels[i] == detection["classId"] and distance[i] <= BOX_TOLERANCE[name]
                and abs(scores[i] - detection["score"]) <= SCORE_TOLERANCE]
        if near:
            partner = min(near, key=lambda i: distance[i])
            free.remove(partner)
            worst_box = max(worst_box, float(distance[partner]))
            worst_score = max(worst_score, abs(float(scores[partner]) - detection["score"]))
    most = max(len(expected), len(boxes))
    matched = len(boxes) - len(free)
    return {"right": most - matched <= ALONE * most, "ours": len(expected), "theirs": len(boxes), "matched": matched,
            "box": worst_box, "score": worst_score}


def run(name, mode, arguments, ours):
    """A row of the report, and whether f32 found what ours did."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode != "f32"
    torch.backends.cudnn.benchmark = True
    model, network = build(name, arguments.weights, arguments.device)
    image = load_image(name, arguments.weights, arguments.device)
    if "channels_last" in mode:
        model = model.to(memory_format=torch.channels_last)
    if "compiled" in mode:
        network.backbone = torch.compile(network.backbone)
    dtype = torch.bfloat16 if "bf16" in mode else torch.float16

    def call():
        with torch.autocast(arguments.device, dtype=dtype, enabled="autocast" in mode):
            return detect(name, model, image)

    wait = torch.cuda.synchronize if arguments.device == "cuda" else (lambda: None)
    compared = compare(name, call(), ours) if mode == "f32" and ours else None
    median, fastest = measure(call, arguments.runs, wait)
    return {"model": name, "mode": mode, "medianMs": median, "minMs": fastest}, compared


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--ours")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: to try the script")
    parser.add_argument("--runs", type=int, default=50)
    arguments = parser.parse_args()
    ours = None
    if arguments.ours:
        with open(arguments.ours) as file:
            ours = json.load(file)
    torch.set_default_device(arguments.device)
    rows, compared = [], {}
    with torch.inference_mode():
        for name in SIZES:
            for mode in MODES:
                try:
                    row, agreement = run(name, mode, arguments, ours)
                    print(f"{name} {mode}: {row['medianMs']:.3f} ms", flush=True)
                    if agreement:
                        compared[name] = agreement
                        print(f"{name} f32 detections against ours: {agreement}", flush=True)
                except Exception as error:  # a mode that this PyTorch cannot run is a line of the report, not its end
                    row = {"model": name, "mode": mode, "error": str(error)[:300]}
                    print(f"{name} {mode}: {error}", flush=True)
                rows.append(row)
    info = {"torch": torch.__version__, "torchvision": torchvision.__version__, "gpu": torch.cuda.get_device_name() if arguments.device == "cuda" else "none",
            "compared": compared, "rows": rows}
    with open(arguments.json, "w") as file:
        json.dump(info, file, indent=1)
    if not all(each["right"] for each in compared.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
