"""A learned head that scores a shortlist of examples against one that scores all.

    python benchmarks/shortlist.py --data omniglot.npz

A metric learns 300 background characters. Eighteen examples of each evaluation
character are enrolled, of the other two some are asked. Seconds are of the processor.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from _report import machine
from sklearn.frozen import FrozenEstimator

from skfsl import SiameseClassifier, SiameseTransformer
from skfsl.datasets import load_omniglot

METRICS = (("learned_norms", "prototypical", 5), ("mixed_norms", "mean_score", 6))


def scored(clf, queries):
    start = time.process_time()
    scores = clf.decision_function(queries)
    return scores.argmax(axis=1), time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="omniglot.npz")
    parser.add_argument("--queries", type=int, default=400)
    parser.add_argument("--shortlist", type=int, nargs="+", default=[10, 50, 200])
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    print(machine())
    base = load_omniglot(args.data, image_size=28)
    new = load_omniglot(args.data, subset="evaluation", image_size=28)
    some = np.random.default_rng(0).permutation(len(base.target_names))[:300]
    learnt = np.isin(base.target, some)
    asked = np.arange(len(new.target)) % 20 >= 18
    queries, true = (part[asked][: args.queries] for part in (new.data, new.target))
    for head, loss, max_epochs in METRICS:
        siamese = SiameseTransformer(
            head=head, loss=loss, max_epochs=max_epochs, random_state=0
        ).fit(base.data[learnt], base.target[learnt])
        clf = SiameseClassifier(FrozenEstimator(siamese), aggregation="max")
        clf.fit(new.data[~asked], new.target[~asked])
        every, seconds = scored(clf, queries)
        right = np.mean(clf.classes_[every] == true)
        print(f"{head}: {np.count_nonzero(~asked)} examples, {len(queries)} queries")
        print(f"  all:  {seconds:6.2f} s, accuracy {right:.3f}")
        for n in args.shortlist:
            found, seconds = scored(clf.set_params(shortlist=n), queries)
            right = np.mean(clf.classes_[found] == true)
            print(
                f"  {n:4d}: {seconds:6.2f} s, accuracy {right:.3f}, answers as of all "
                f"{np.mean(found == every):.3f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
