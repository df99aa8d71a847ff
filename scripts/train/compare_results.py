"""COCO's mask AP of results files, with pycocotools: of PyTorch's run and of instaseg's, for example.

    python3 compare_results.py instances.json RESULTS.json [OTHER_RESULTS.json]

With two files it also says by how much the twelve figures differ.
"""
import json
import sys

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def evaluate(dataset, results, image_ids=None):
    """The twelve figures of a data set and results as parsed from COCO's JSON; prints them, and the AP of each class."""
    truth = COCO()
    truth.dataset = dataset
    truth.createIndex()
    evaluation = COCOeval(truth, truth.loadRes([dict(result) for result in results]), 'segm')
    if image_ids is not None:
        evaluation.params.imgIds = image_ids
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    for k, category in enumerate(evaluation.params.catIds):
        precision = evaluation.eval['precision'][:, :, k, 0, -1]
        precision = precision[precision > -1]
        print(f"{truth.cats[category]['name']:>16} {precision.mean() if precision.size else float('nan'):.3f}")
    return evaluation.stats


def main():
    dataset, *files = (json.load(open(path, encoding='utf-8')) for path in sys.argv[1:])
    stats = [evaluate(dataset, results) for results in files]
    if len(stats) == 2:
        first, second = stats
        print('largest difference', max(abs(first - second)))
        print(f'AP {first[0]:.4f} and {second[0]:.4f}, AP50 {first[1]:.4f} and {second[1]:.4f}')


if __name__ == '__main__':
    main()
