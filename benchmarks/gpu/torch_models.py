"""torchvision's Mask R-CNN on the weights and the image that models.mjs wrote, in every mode that people use.

    python3 benchmarks/gpu/torch_models.py --weights build-gpu/weights --json out.json [--ours models.json]

A call goes from the image on the GPU to pasted masks on the GPU, synchronised with the host, as `model.eval()` gives
it. With --ours the f32 detections are compared first: same number, classes, boxes within 0.05 px, scores within 1e-3.
"""
import argparse
import json
import os
import statistics
import time

import numpy
import torch
import torchvision
from safetensors.torch import load_file

NAME = "maskrcnn_resnet50_fpn"
SIZE = (800, 1333)


def build(folder):
    model = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    state = load_file(os.path.join(folder, f"{NAME}.safetensors"))
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"the weights do not fit: missing {missing[:3]}, unexpected {unexpected[:3]}")
    return model.eval().cuda()


def load_image(folder):
    data = numpy.fromfile(os.path.join(folder, f"{NAME}.rgb"), dtype=numpy.uint8).reshape(*SIZE, 3)
    return torch.from_numpy(data).permute(2, 0, 1).contiguous().cuda().float() / 255


def measure(call, runs):
    for _ in range(5):
        call()
    samples = []
    for _ in range(runs):
        torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        torch.cuda.synchronize()
        samples.append((time.perf_counter() - started) * 1000)
    return statistics.median(samples), min(samples)


def compare(output, ours):
    found = next(row for row in ours["rows"] if row["model"] == NAME and row["precision"] == "f32")["detections"]
    boxes = output["boxes"].cpu().numpy()
    labels = output["labels"].cpu().numpy()
    scores = output["scores"].cpu().numpy()
    if len(found) != len(boxes):
        return {"right": False, "why": f"{len(found)} detections against {len(boxes)}"}
    worst_box = worst_score = 0.0
    for i, detection in enumerate(found):
        x, y, w, h = detection["box"]
        if detection["classId"] != labels[i]:
            return {"right": False, "why": f"detection {i} is of class {detection['classId']} against {labels[i]}"}
        worst_box = max(worst_box, float(numpy.abs(numpy.array([x, y, x + w, y + h]) - boxes[i]).max()))
        worst_score = max(worst_score, abs(detection["score"] - float(scores[i])))
    return {"right": worst_box <= 0.05 and worst_score <= 1e-3, "box": worst_box, "score": worst_score}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weights", required=True)
    parser.add_argument("--json", required=True)
    parser.add_argument("--ours")
    parser.add_argument("--runs", type=int, default=50)
    arguments = parser.parse_args()
    image = load_image(arguments.weights)
    rows, compared = [], None
    with torch.inference_mode():
        for mode in ("f32", "tf32", "channels_last tf32", "autocast f16", "autocast bf16",
                     "channels_last autocast f16", "channels_last autocast bf16", "compiled backbone autocast bf16"):
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode != "f32"
            torch.backends.cudnn.benchmark = True
            model = build(arguments.weights)
            if "channels_last" in mode:
                model = model.to(memory_format=torch.channels_last)
            if "compiled" in mode:
                model.backbone = torch.compile(model.backbone)
            dtype = torch.bfloat16 if "bf16" in mode else torch.float16

            def call(model=model, mode=mode, dtype=dtype):
                with torch.autocast("cuda", dtype=dtype, enabled="autocast" in mode):
                    return model([image])[0]

            try:
                if mode == "f32" and arguments.ours:
                    with open(arguments.ours) as file:
                        compared = compare(call(), json.load(file))
                    print("f32 detections against ours:", compared, flush=True)
                median, fastest = measure(call, arguments.runs)
                rows.append({"model": NAME, "mode": mode, "medianMs": median, "minMs": fastest})
                print(f"{NAME} {mode}: {median:.3f} ms", flush=True)
            except Exception as error:  # a mode that this PyTorch cannot run is a line of the report, not its end
                rows.append({"model": NAME, "mode": mode, "error": str(error)[:300]})
                print(f"{NAME} {mode}: {error}", flush=True)
    info = {"torch": torch.__version__, "torchvision": torchvision.__version__, "gpu": torch.cuda.get_device_name(),
            "compared": compared, "rows": rows}
    with open(arguments.json, "w") as file:
        json.dump(info, file, indent=1)
    if compared and not compared["right"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
