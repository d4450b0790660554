"""What class-disjointness is worth, and what the two intervals cover.

    python benchmarks/honest_evaluation.py --data omniglot.npz           # about 15 min
    python benchmarks/honest_evaluation.py --data omniglot.npz --quick   # about 1 min
    python benchmarks/honest_evaluation.py --data omniglot.npz --faces orl_faces.npz

The same drawings are scored by the same episodes, under metrics that were trained on as
many drawings of as many characters with the same budget. All that differs is how near
the training characters are to those that are scored: the scored drawings themselves,
other drawings of the same characters, other characters of the same alphabets, other
alphabets. Each seed draws anew which alphabets and characters are which.

Then few characters are drawn from the evaluation alphabets again and again, as if there
were no more, to see how often the intervals of the score contain the mean over all.
"""

import argparse
import io
import itertools
import time
import warnings

import numpy as np
from _report import machine

from skfsl import PrototypeClassifier, SiameseTransformer
from skfsl.datasets import load_omniglot
from skfsl.exceptions import SeenSamplesWarning
from skfsl.model_selection import make_episodic_scorer

# In an alphabet of so many characters one half is scored and the other may be trained.
LARGE, HALF = 40, 20
N_ALPHABETS = 8
N_REST = 340
N_TRAINED, N_SCORED = 14, 6
WAYS = (5, 20)


def table(header, rows):
    """Print a simple table of reStructuredText."""
    cells = [header, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    line = "  ".join("=" * width for width in widths)
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    ]
    print("\n".join(["", line, shown[0].rstrip(), line]))
    print("\n".join([*(row.rstrip() for row in shown[1:]), line, ""]), flush=True)


def mean_and_spread(values):
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"


def difference(values):
    return f"{np.mean(values):+.1f} ± {np.std(values, ddof=1):.1f}"


def fit(X, y, epochs, seed):
    """Learn a metric on all of the classes."""
    siamese = SiameseTransformer(
        max_epochs=epochs, validation_fraction=0, random_state=seed
    )
    return siamese.fit(X, y)


def scored(siamese, X, y, tasks, seed):
    """Score a metric; tell also whether the scorer warns that it knows the samples.

    `tasks` are tuples of n_way, n_query, n_episodes, and labels of parts of the samples
    whose scores are averaged, or None for all at once.
    """
    E, accuracies = siamese.transform(X), []
    for n_way, n_query, n_episodes, parts in tasks:
        scorer = make_episodic_scorer(
            n_way, n_query=n_query, n_episodes=n_episodes, random_state=seed
        )
        parts = np.zeros(len(y)) if parts is None else parts
        each = [
            scorer(PrototypeClassifier(), E[parts == p], y[parts == p])
            for p in np.unique(parts)
        ]
        accuracies.append(100 * np.mean(each))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make_episodic_scorer(n_episodes=1, n_query=1)(siamese, X, y)
    warned = any(issubclass(w.category, SeenSamplesWarning) for w in caught)
    return accuracies, warned


def deal_characters(alphabet_of, rng):
    """Draw which characters are scored, which may be trained, and which always are."""
    sizes = np.bincount(alphabet_of)
    large = rng.permutation(np.flatnonzero(sizes >= LARGE))[: 2 * N_ALPHABETS]

    def halves(alphabets):
        drawn = [rng.permutation(np.flatnonzero(alphabet_of == a)) for a in alphabets]
        return (
            np.concatenate([rows[:HALF] for rows in drawn]),
            np.concatenate([rows[HALF : 2 * HALF] for rows in drawn]),
        )

    target, kin = halves(large[:N_ALPHABETS])
    strangers, _ = halves(large[N_ALPHABETS:])
    rest = rng.permutation(np.flatnonzero(sizes[alphabet_of] < LARGE))[:N_REST]
    return target, kin, strangers, rest


def on_characters(omniglot, epochs, n_episodes, seed):
    """Return the accuracies and warnings of one seed, by what was trained on."""
    rng = np.random.default_rng(seed)
    y = omniglot.target
    first = np.unique(y, return_index=True)[1]
    target, kin, strangers, rest = deal_characters(omniglot.alphabet[first], rng)
    early = omniglot.drawers <= N_TRAINED
    late = omniglot.drawers > 20 - N_SCORED
    known = omniglot.drawers > N_SCORED
    is_target = np.isin(y, target)
    fills = {
        "scored": is_target & known,
        "same classes": is_target & early,
        "same groups": np.isin(y, kin) & early,
        "other": np.isin(y, strangers) & early,
    }
    test = is_target & late
    alphabet = omniglot.alphabet[test]
    n_query = N_SCORED - 1
    tasks = [(n_way, n_query, n_episodes, None) for n_way in WAYS]
    tasks += [
        (n_way, n_query, max(1, n_episodes // N_ALPHABETS), alphabet) for n_way in WAYS
    ]
    always = np.isin(y, rest) & early
    found = {}
    for name, fill in fills.items():
        train = fill | always
        siamese = fit(omniglot.data[train], y[train], epochs, seed)
        found[name] = scored(siamese, omniglot.data[test], y[test], tasks, seed)
    return found


def read_faces(path):
    """Return 40 persons x 10 faces of 28 x 28 pixels, and who they are."""
    from PIL import Image

    with np.load(path) as arrays:
        blob, offsets, y = arrays["blob"], arrays["offsets"], arrays["y"]
    files = [
        io.BytesIO(blob[start:stop].tobytes())
        for start, stop in itertools.pairwise(offsets)
    ]
    size = (28, 28)
    return np.stack(
        [np.asarray(Image.open(f).convert("L").resize(size)) for f in files]
    ), y


def on_faces(X, y, epochs, n_episodes, seed):
    """Return the accuracies and warnings of one seed, by what was trained on."""
    rng = np.random.default_rng(seed)
    target, strangers, rest = np.split(rng.permutation(40), [10, 20])
    # Which faces of each person are scored.
    order = np.argsort(rng.random((40, 10)), axis=1)
    late = np.empty(len(y), dtype=bool)
    for person in range(40):
        late[y == person] = order[person] >= 5
    is_target = np.isin(y, target)
    fills = {
        "scored": is_target & late,
        "same classes": is_target & ~late,
        "other": np.isin(y, strangers) & ~late,
    }
    test = is_target & late
    tasks = [(n_way, 4, n_episodes, None) for n_way in (5, 10)]
    found = {}
    for name, fill in fills.items():
        train = fill | (np.isin(y, rest) & ~late)
        siamese = fit(X[train], y[train], epochs, seed)
        found[name] = scored(siamese, X[test], y[test], tasks, seed)
    return found


def report(found, titles, header):
    """Print accuracies, and by how much each is above that on strangers."""
    rows, above = [], []
    base = np.array([accuracies for accuracies, _ in (f["other"] for f in found)])
    for name in titles:
        accuracies = np.array([f[name][0] for f in found])
        warned = "yes" if found[0][name][1] else "no"
        rows.append([titles[name], *map(mean_and_spread, accuracies.T), warned])
        if name != "other":
            above.append([titles[name], *map(difference, (accuracies - base).T)])
    table([*header, "scorer warns"], rows)
    print("above the last row, the same episodes, seed by seed:")
    table(header, above)


def coverage(E, y, n_way, sizes, n_draws, n_episodes, seed):
    """Return for each number of classes the widths and coverages of both intervals."""
    rng = np.random.default_rng(seed)
    classes = np.unique(y)
    ready = PrototypeClassifier()
    true = make_episodic_scorer(n_way, n_query=15, n_episodes=40 * n_episodes)(
        ready, E, y
    )
    rows = {}
    for size in sizes:
        if size < n_way:
            continue
        # Of a finite number of classes a sample is nearer to the mean of all.
        shrunk = np.sqrt(1 - size / len(classes))
        stats = []
        for draw in range(n_draws):
            own = np.isin(y, rng.permutation(classes)[:size])
            scorer = make_episodic_scorer(
                n_way, n_query=15, n_episodes=n_episodes, return_stats=True,
                random_state=draw,
            )  # fmt: skip
            stats.append(scorer(ready, E[own], y[own]))
        score = np.array([s["score"] for s in stats])
        aim = score - (score - true) / shrunk
        rows[size] = [np.std(aim - score, ddof=1)]
        for kind in ("episodes", "classes"):
            low, high = (
                np.array([s[f"{kind}_{end}"] for s in stats]) for end in ("low", "high")
            )
            rows[size] += [np.mean(high - low), np.mean((low <= aim) & (aim <= high))]
    return true, rows


def report_coverage(spaces, y, sizes, n_draws, n_episodes, seed):
    rows = []
    for name, E in spaces.items():
        for n_way in WAYS:
            true, found = coverage(E, y, n_way, sizes, n_draws, n_episodes, seed)
            for size, (sd, *numbers) in found.items():
                shown = [f"{100 * number:.1f}" for number in (true, sd)]
                for width, share in zip(numbers[::2], numbers[1::2], strict=True):
                    shown += [f"± {50 * width:.1f}", f"{100 * share:.0f} %"]
                rows.append([name, f"{n_way}-way", str(size), *shown])
    header = ["embedding", "1-shot", "classes", "mean of all", "off by"]
    table([*header, "over episodes", "covers", "over classes", "covers"], rows)


def characters_part(omniglot, args):
    print(
        f"\nOmniglot: {N_REST + N_ALPHABETS * HALF} characters x {N_TRAINED} drawings "
        f"trained for {args.epochs} epochs; {N_ALPHABETS} alphabets x {HALF} "
        f"characters x {N_SCORED} drawings scored; 1-shot accuracy in per cent, "
        f"mean ± standard deviation over {args.seeds} seeds"
    )
    found = [
        on_characters(omniglot, args.epochs, args.n_episodes, seed)
        for seed in range(args.seeds)
    ]
    titles = {
        "scored": "the scored drawings",
        "same classes": "other drawings of the same characters",
        "same groups": "other characters of the same alphabets",
        "other": "other alphabets",
    }
    header = ["trained on", *(f"{n_way}-way" for n_way in WAYS)]
    header += [f"{n_way}-way, one alphabet" for n_way in WAYS]
    report(found, titles, header)


def faces_part(args):
    X, y = read_faces(args.faces)
    # They are few, and so are more seeds cheap.
    seeds = range(2 * args.seeds)
    print(
        f"\nORL faces: 30 persons x 5 photos trained for {args.epochs} epochs; 10 "
        f"persons x 5 photos scored; {len(seeds)} seeds"
    )
    found = [on_faces(X, y, args.epochs, args.n_episodes, seed) for seed in seeds]
    titles = {
        "scored": "the scored photos",
        "same classes": "other photos of the same persons",
        "other": "other persons",
    }
    report(found, titles, ["trained on", "5-way", "10-way"])


def intervals_part(args):
    background = load_omniglot(args.data, image_size=28)
    evaluation = load_omniglot(args.data, subset="evaluation", image_size=28)
    epochs = max(1, args.epochs // 5)
    siamese = fit(background.data, background.target, epochs, 0)
    # Coarser ones do better without learning, being less particular about place.
    coarse = load_omniglot(args.data, subset="evaluation", image_size=14).data
    spaces = {
        "learned": siamese.transform(evaluation.data),
        "pixels": coarse.reshape(len(coarse), -1).astype(np.float32) / 255,
    }
    print(
        f"\n{args.n_draws} draws of so many of 659 characters, 600 episodes each: half "
        f"widths of the 95 % intervals, and how often they contain the mean over all "
        f"(as if these were drawn from infinitely many)"
    )
    sizes = (10, 20, 50, 100)
    report_coverage(spaces, evaluation.target, sizes, args.n_draws, 600, 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--data", required=True, help="omniglot.npz, or torchvision's root folder"
    )
    parser.add_argument("--faces", help="orl_faces.npz: the first part on faces, too")
    parser.add_argument("--epochs", type=int, default=15, help="of each training")
    parser.add_argument("--n-episodes", type=int, default=4000, help="of each score")
    parser.add_argument("--n-draws", type=int, default=200, help="of classes")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="little of all")
    args = parser.parse_args()
    if args.quick:
        args.epochs, args.n_episodes, args.n_draws, args.seeds = 1, 500, 20, 2
    start = time.perf_counter()
    print(machine(), flush=True)
    omniglot = load_omniglot(args.data, subset="all", image_size=28)
    characters_part(omniglot, args)
    if args.faces:
        faces_part(args)
    intervals_part(args)
    print(f"({(time.perf_counter() - start) / 60:.1f} min)")


if __name__ == "__main__":
    main()
