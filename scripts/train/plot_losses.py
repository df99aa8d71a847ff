"""Loss curves of a training as an SVG picture, on a logarithmic scale.

    python3 plot_losses.py RUN_FOLDER/losses.csv OUT.svg conf box mask semantic maskiou
"""
import csv
import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 56, 96, 24, 44
COLOURS = ['#1f6fb4', '#d1495b', '#2f8f4e', '#8a5cc2', '#c77c11', '#444444']
POINTS = 240
"""Of a curve; each is the mean of the lines of the log between it and the one before."""


def means(values, count):
    step = max(1, len(values) // count)
    return [sum(values[i:i + step]) / len(values[i:i + step]) for i in range(0, len(values), step)]


def main():
    source, output, *names = sys.argv[1:]
    with open(source, encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    x = means([float(row['iteration']) for row in rows], POINTS)
    curves = {name: means([float(row[name]) for row in rows], POINTS) for name in names}
    smallest, largest = (pick(min(c), max(c)) for pick, c in ((min, sum(curves.values(), [])), (max, sum(curves.values(), []))))
    low, high = math.floor(math.log10(smallest) * 3) / 3, math.ceil(math.log10(largest) * 3) / 3
    at_x = lambda value: LEFT + (WIDTH - LEFT - RIGHT) * value / x[-1]
    at_y = lambda value: TOP + (HEIGHT - TOP - BOTTOM) * (high - math.log10(value)) / (high - low)

    text = lambda x, y, words, anchor='middle', colour='#333': f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{words}</text>'
    line = lambda x1, y1, x2, y2: f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="#ddd"/>'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="none">',
             f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    for exponent in range(math.floor(low), math.ceil(high) + 1):
        for digit in (1, 2, 5):
            value = digit * 10.0 ** exponent
            if low <= math.log10(value) <= high:
                y = at_y(value)
                parts += [line(LEFT, y, WIDTH - RIGHT, y), text(LEFT - 8, y + 4, f'{value:g}', 'end')]
    step = 10 ** math.floor(math.log10(x[-1]))
    step = next(s for s in (step / 5, step / 2, step, 2 * step) if x[-1] / s <= 8)
    for i in range(int(x[-1] / step) + 1):
        parts += [line(at_x(i * step), TOP, at_x(i * step), HEIGHT - BOTTOM), text(at_x(i * step), HEIGHT - BOTTOM + 18, f'{i * step:g}')]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, 'iteration'))
    ends = sorted((at_y(curve[-1]), name) for name, curve in curves.items())
    below = -math.inf
    for y, name in ends:
        colour, curve = COLOURS[names.index(name) % len(COLOURS)], curves[name]
        points = 'L'.join(f'{at_x(a):.1f} {at_y(b):.1f}' for a, b in zip(x, curve))
        below = max(y, below + 14)
        parts += [f'<path d="M{points}" stroke="{colour}" stroke-width="1.5"/>', text(WIDTH - RIGHT + 8, below + 4, name, 'start', colour)]
    with open(output, 'w', encoding='utf-8') as file:
        file.write('\n'.join(parts + ['</svg>', '']))


if __name__ == '__main__':
    main()
