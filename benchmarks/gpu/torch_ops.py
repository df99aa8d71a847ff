"""PyTorch's and torchvision's side of ops.mjs: the same shapes, CUDA events, median of as many runs.

    python3 benchmarks/gpu/torch_ops.py --json out.json

Convolutions run in channels_last, with cuDNN's search for the fastest algorithm; f32 with TF32 off, tf32 with it on.
"""
import argparse
import json
import os
import statistics

import torch
import torchvision

HERE = os.path.dirname(os.path.abspath(__file__))
FLUSH = torch.empty(1 << 25, device="cuda")


def measure(call, runs, cold):
    for _ in range(5):
        call()
    samples = []
    for _ in range(runs):
        if cold:
            FLUSH.add_(1)
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        samples.append(start.elapsed_time(end))
    return statistics.median(samples), min(samples)


def graphed(call):
    """The same call without the host's launch overhead, where it can be captured."""
    try:
        for _ in range(3):
            call()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            call()
        return graph.replay
    except Exception:  # synchronises with the host
        torch.cuda.synchronize()
        return None


def boxes(count, height, width):
    size = 8 + torch.rand(count, 2, device="cuda") ** 2 * 392
    at = torch.rand(count, 2, device="cuda") * (torch.tensor([width, height], device="cuda") - size)
    return torch.cat([at, at + size], 1)


def cases(shapes):
    dtypes = {"f32": torch.float32, "tf32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    layout = torch.channels_last
    for shape in shapes["conv2d"]:
        n, h, w, c = shape["input"]
        k, outputs = shape["kernel"], shape["outputs"]
        for precision, dtype in dtypes.items():
            x = torch.randn(n, c, h, w, device="cuda", dtype=dtype).contiguous(memory_format=layout)
            weight = torch.randn(outputs, c, k, k, device="cuda", dtype=dtype).contiguous(memory_format=layout)
            bias = torch.randn(outputs, device="cuda", dtype=dtype)

            def call(x=x, weight=weight, bias=bias, shape=shape, k=k):
                return torch.nn.functional.conv2d(x, weight, bias, shape.get("stride", 1), (k - 1) // 2)

            yield "conv2d", shape["name"], precision, call
    for shape in shapes["linear"]:
        for precision, dtype in dtypes.items():
            x = torch.randn(shape["rows"], shape["inputs"], device="cuda", dtype=dtype)
            weight = torch.randn(shape["outputs"], shape["inputs"], device="cuda", dtype=dtype)
            bias = torch.randn(shape["outputs"], device="cuda", dtype=dtype)
            yield "linear", shape["name"], precision, lambda x=x, w=weight, b=bias: torch.nn.functional.linear(x, w, b)
    for shape in shapes["deformConv2d"]:
        n, h, w, c = shape["input"]
        k, outputs = shape["kernel"], shape["outputs"]
        for precision, dtype in dtypes.items():
            if dtype == torch.bfloat16:
                continue  # torchvision's kernel has none
            x = torch.randn(n, c, h, w, device="cuda", dtype=dtype)
            offset = torch.randn(n, 2 * k * k, h, w, device="cuda", dtype=dtype)
            mask = torch.rand(n, k * k, h, w, device="cuda", dtype=dtype)
            weight = torch.randn(outputs, c, k, k, device="cuda", dtype=dtype)

            def call(x=x, offset=offset, mask=mask, weight=weight, k=k):
                return torchvision.ops.deform_conv2d(x, offset, weight, padding=(k - 1) // 2, mask=mask)

            yield "deformConv2d", shape["name"], precision, call
    for shape in shapes["roiAlign"]:
        height, width = shape["image"]
        pooler = torchvision.ops.MultiScaleRoIAlign(["0", "1", "2", "3"], shape["output"], 2)
        regions = boxes(shape["boxes"], height, width)
        for precision, dtype in (("f32", torch.float32), ("f16", torch.float16)):
            maps = {
                str(i): torch.randn(1, shape["channels"], height // s, width // s, device="cuda", dtype=dtype)
                for i, s in enumerate((4, 8, 16, 32))
            }
            rois = regions.to(dtype)

            def call(pooler=pooler, maps=maps, rois=rois, height=height, width=width):
                return pooler(maps, [rois], [(height, width)])

            yield "roiAlign", shape["name"], precision, call
    for shape in shapes["nms"]:
        found = boxes(shape["boxes"], 800, 1344)
        scores = torch.rand(shape["boxes"], device="cuda")
        groups = torch.randint(shape["groups"], (shape["boxes"],), device="cuda")

        def call(found=found, scores=scores, groups=groups, shape=shape):
            return torchvision.ops.batched_nms(found, scores, groups, shape["iouThreshold"])

        yield "nms", shape["name"], "f32", call
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    for shape in shapes["pasteMasks"]:
        masks = torch.rand(shape["boxes"], 1, 28, 28, device="cuda")
        found = boxes(shape["boxes"], *shape["image"])

        def call(masks=masks, found=found, shape=shape):
            return paste_masks_in_image(masks, found, shape["image"]) > 0.5

        yield "pasteMasks", shape["name"], "f32", call


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", required=True)
    parser.add_argument("--runs", type=int, default=30)
    arguments = parser.parse_args()
    torch.backends.cudnn.benchmark = True
    with open(os.path.join(HERE, "..", "shapes", "gpu.json")) as file:
        shapes = json.load(file)
    rows = []
    with torch.inference_mode():
        for op, name, precision, call in cases(shapes):
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
            hot, fastest = measure(call, arguments.runs, False)
            cold, _ = measure(call, arguments.runs, True)
            replay = graphed(call)
            row = {"op": op, "name": name, "precision": precision, "hotMs": hot, "hotMinMs": fastest, "coldMs": cold}
            if replay:
                row["graphMs"] = measure(replay, arguments.runs, False)[0]
            rows.append(row)
            print(f"{op:14} {name:38} {precision:5} {hot:.4f} ms hot  {cold:.4f} ms cold  "
                  f"graph {row.get('graphMs', float('nan')):.4f}", flush=True)
    info = {"torch": torch.__version__, "torchvision": torchvision.__version__, "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(), "gpu": torch.cuda.get_device_name(), "rows": rows}
    with open(arguments.json, "w") as file:
        json.dump(info, file, indent=1)


if __name__ == "__main__":
    main()
