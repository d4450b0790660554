"""Make what server.py serves: a metric, and the classes that it starts with.

    python make_model.py FOLDER --enrol door/ --learn others/
    python make_model.py FOLDER --enrol door/ --learn others/ --encoder resnet18
    python make_model.py FOLDER --enrol door/ --metric metric.skfsl

Photos lie in one folder a class. The metric is learned on other classes than those that
are enrolled: it brings its own training photos closer together than it ever will new
ones, and a threshold that was found on these would let everybody in.

A metric that was made elsewhere and saved by skfsl.save is given by --metric: a
SiameseTransformer, or a FewShotPipeline that begins with one.
"""

import argparse
from pathlib import Path

from service import begin
from sklearn.pipeline import Pipeline

import skfsl
from skfsl.datasets import load_image_folder


def photos(folder):
    """Return paths and names of the classes."""
    found = load_image_folder(folder)
    return found.data, found.target_names[found.target]


def learn(folder, encoder, image_size, max_epochs):
    """Learn a metric on the photos of a folder."""
    settings = {} if max_epochs is None else {"max_epochs": max_epochs}
    metric = skfsl.SiameseTransformer(
        encoder, image_size=image_size, augment="photos", random_state=0, verbose=1,
        **settings,
    )  # fmt: skip
    return metric.fit(*photos(folder))


def main():
    """Make the folder that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where the server keeps all it has")
    parser.add_argument(
        "--enrol", type=Path, required=True, help="photos to begin with"
    )
    metric = parser.add_mutually_exclusive_group(required=True)
    metric.add_argument("--learn", type=Path, help="photos of other classes")
    metric.add_argument("--metric", type=Path, help="a file of skfsl.save")
    parser.add_argument(
        "--reject", default="auto", type=lambda r: r if r == "auto" else float(r),
        help="share of known queries that may be refused, such as 0.2; default: auto",
    )  # fmt: skip
    parser.add_argument("--encoder", default="auto", help="name; see the user guide")
    parser.add_argument("--image-size", type=int)
    parser.add_argument("--max-epochs", type=int)
    args = parser.parse_args()
    if args.metric:
        model = skfsl.load(args.metric)
        model = model.steps[0][1] if isinstance(model, Pipeline) else model
    else:
        model = learn(args.learn, args.encoder, args.image_size, args.max_epochs)
    begin(args.folder, model, *photos(args.enrol), reject=args.reject)
    print(f"Now: python {Path(__file__).with_name('server.py')} {args.folder}")


if __name__ == "__main__":
    main()
