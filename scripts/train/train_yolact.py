"""Trains the compact YOLACT++ on generated scenes, on one core.

    python3 train_yolact.py SCENES/train RUN_FOLDER [--iterations 4453] [--minutes 90] [--seed 30] [--resume]

RUN_FOLDER gets losses.csv and checkpoint.pt, which is written every few minutes and when the training is stopped
(Ctrl-C or SIGTERM). The learning rate falls along a cosine to zero at the given number of iterations, or at the given
time if that comes first.
"""
import argparse
import csv
import math
import os
import signal
import time
from dataclasses import asdict

import numpy as np
import torch

from yolact_data import Scenes, TrainingScenes
from yolact_losses import losses
from yolact_model import Yolact, YolactConfig

WARM_UP = 300
LEARNING_RATE = 2e-3
OFFSET_RATE = 0.1
"""Of the convolutions that predict offsets, relative to the others."""

WEIGHT_DECAY = 0.02
CLIP = 10.0
EARLY_SIZE, EARLY_PART = 192, 0.5
"""The training begins with smaller images, at little more than half the cost; anchors are relative to the image."""

LOGGED_EVERY = 20
SAVED_EVERY = 180.0
"""Seconds."""

COLUMNS = ['iteration', 'minutes', 'learning_rate', 'conf', 'box', 'mask', 'semantic', 'maskiou', 'total']


def parameter_groups(model):
    """Weights with decay, the others without; predictors of offsets learn more slowly."""
    groups = {}
    for name, parameter in model.named_parameters():
        key = (parameter.ndim > 1, 'conv_offset_mask' in name)
        groups.setdefault(key, []).append(parameter)
    return [dict(params=parameters, weight_decay=WEIGHT_DECAY if decays else 0.0, rate=OFFSET_RATE if offset else 1.0)
            for (decays, offset), parameters in groups.items()]


def schedule(iteration, progress):
    return min(1, (iteration + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * min(1, progress)))


@torch.no_grad()
def average(averaged, model, iteration):
    """Moves the exponential moving average of the weights, and of the running statistics, towards the model's."""
    share = 1 - min(0.998, (1 + iteration) / (10 + iteration))
    for name, value in model.state_dict().items():
        if value.dtype.is_floating_point:
            averaged[name].lerp_(value, share)
        else:
            averaged[name].copy_(value)


class Stopped:
    """Becomes true when the process is asked to stop."""

    def __init__(self):
        self.asked = False
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self.ask)

    def ask(self, *_):
        self.asked = True

    def __bool__(self):
        return self.asked


def save(path, **state):
    torch.save(state, path + '.part')
    os.replace(path + '.part', path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('scenes')
    parser.add_argument('run')
    parser.add_argument('--minutes', type=float, default=math.inf)
    parser.add_argument('--iterations', type=int, default=4453)
    parser.add_argument('--batch', type=int, default=16)
    parser.add_argument('--seed', type=int, default=30)
    parser.add_argument('--limit', type=int, help='use only so many scenes')
    parser.add_argument('--resume', action='store_true')
    args = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    random = np.random.default_rng(args.seed)
    generator = torch.Generator().manual_seed(args.seed)
    scenes = Scenes(args.scenes, args.limit)
    config = YolactConfig(class_names=scenes.class_names)
    data = TrainingScenes(scenes)
    model = Yolact(config).to(memory_format=torch.channels_last).train()
    averaged = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=LEARNING_RATE)
    os.makedirs(args.run, exist_ok=True)
    checkpoint = os.path.join(args.run, 'checkpoint.pt')
    iteration, before = 0, 0.0
    if args.resume:
        state = torch.load(checkpoint, weights_only=False)
        model.load_state_dict(state['model'])
        averaged = state['averaged']
        optimizer.load_state_dict(state['optimizer'])
        iteration, before = state['iteration'], state['seconds']
        random = np.random.default_rng([args.seed, iteration])

    stopped = Stopped()
    begin = saved = time.monotonic()
    elapsed = lambda: before + time.monotonic() - begin
    waiting, sums, summed = [], {}, 0

    def save_all():
        save(checkpoint, config=asdict(config), model=model.state_dict(), averaged=averaged,
             optimizer=optimizer.state_dict(), iteration=iteration, seconds=elapsed(), seed=args.seed, batch=args.batch)

    with open(os.path.join(args.run, 'losses.csv'), 'a' if args.resume else 'w', newline='', encoding='utf-8') as file:
        log = csv.writer(file)
        if not args.resume:
            log.writerow(COLUMNS)
        while not stopped:
            progress = max(iteration / args.iterations, elapsed() / (60 * args.minutes))
            if progress >= 1:
                break
            if len(waiting) < args.batch:
                waiting = random.permutation(len(scenes)).tolist()
            indices, waiting = waiting[:args.batch], waiting[args.batch:]
            size = EARLY_SIZE if progress < EARLY_PART else config.size
            images, objects = data.batch(indices, size, random)
            for group in optimizer.param_groups:
                group['lr'] = LEARNING_RATE * group['rate'] * schedule(iteration, progress)
            with torch.autocast('cpu', torch.bfloat16):
                outputs = model(images.to(memory_format=torch.channels_last))
            parts = losses(model, outputs, objects, generator)
            total = sum(parts.values())
            optimizer.zero_grad()
            total.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            average(averaged, model, iteration)
            iteration += 1

            for name, value in dict(parts, total=total).items():
                sums[name] = sums.get(name, 0) + value.item()
            summed += 1
            if iteration % LOGGED_EVERY == 0:
                rate = optimizer.param_groups[0]['lr']
                log.writerow([iteration, f'{elapsed() / 60:.2f}', f'{rate:.6f}'] + [f'{sums[name] / summed:.4f}' for name in COLUMNS[3:]])
                file.flush()
                sums, summed = {}, 0
            if time.monotonic() - saved > SAVED_EVERY:
                save_all()
                saved = time.monotonic()
    save_all()
    print(f'{iteration} iterations of {args.batch} images in {elapsed() / 60:.1f} minutes')


if __name__ == '__main__':
    main()
