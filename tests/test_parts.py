"""Every registered part keeps the contract of parts."""

import inspect
import pickle
import re

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skfsl import augmentation
from skfsl.encoders import ENCODERS
from skfsl.heads import HEADS
from skfsl.losses import LOSSES
from skfsl.samplers import SAMPLERS
from skfsl.utils._parts import Part, part_from_name, snake_case

REGISTRIES = {
    "encoder": ENCODERS,
    "head": HEADS,
    "loss": LOSSES,
    "sampler": SAMPLERS,
}
NAMED = [(kind, name) for kind, names in REGISTRIES.items() for name in names]

# A setting other than the default for each part that has settings.
CHANGED = {
    "ArcFaceLoss": {"margin": 0.3, "scale": 16, "n_centers": 3},
    "BalancedPairsSampler": {"kind": "all", "n_pairs": 32},
    "BinaryCrossEntropyLoss": {"reduction": "focal", "balanced": False, "gamma": 1.0},
    "ClassConsistencyLoss": {"weight": 0.5, "temperature": 2.0},
    "ClassBalancedSampler": {"n_way": 3, "class_weight": "uniform"},
    "CosFaceLoss": {"margin": 0.2, "scale": 16},
    "NormalizedSoftmaxLoss": {"temperature": 0.1},
    "ProxyAnchorLoss": {"margin": 0.2, "scale": 16},
    "ColorJitter": {"hue": 0.1},
    "ContrastiveLoss": {"margin": 0.5},
    "Conv4": {"width": 8},
    "ConvNet": {"depth": 2},
    "CosineHead": {"scale": "learned"},
    "Darknet": {"n_units": (1, 2, 1)},
    "DenseSigmoidHead": {"non_negative": False},
    "EpisodeSampler": {"n_query": 5},
    "EuclideanHead": {},
    "HardPairsSampler": {"refresh": 2, "noise": 10.0},
    "KochNet": {"embedding_dim": 16},
    "LearnedNormsHead": {"p_min": 1.5, "p_max": 3.0},
    "MLP": {"hidden_layer_sizes": (16, 8)},
    "MahalanobisHead": {"rank": 3},
    "MixedNormsHead": {"norms": ("absolute", "cosine"), "hidden": 4},
    "MeanScoreLoss": {"temperature": 2.0},
    "MultiSimilarityLoss": {"alpha": 1.0, "epsilon": None},
    "NCALoss": {"temperature": 2.0},
    "NPairLoss": {"temperature": 2.0},
    "ProductPairsSampler": {"n_samples": 8},
    "PrototypicalLoss": {"folding": False, "n_shot": 1, "temperature": 2.0},
    "RandomAffine": {"degrees": 20},
    "RandomCrop": {"padding": 4},
    "RandomErasing": {"fill": 0},
    "RandomFlip": {"vertical": 0.5},
    "RandomPairsSampler": {"all_pairs": True},
    "SupConLoss": {"temperature": 2.0},
    "TripletLoss": {"margin": "soft", "mining": "batch_hard"},
    "ResNet": {"widths": (8, 16), "stem": None},
    "ResNet12": {"drop_rate": 0.1},
}

# Settings that make a part cheap to build.
SMALL = {
    "KochNet": {"embedding_dim": 4, "channels": (2, 2), "kernel_sizes": (3, 3)},
    "ResNet12": {"widths": (2, 2, 4, 4)},
}


def make(kind, name):
    part = part_from_name(name, REGISTRIES[kind], kind)
    return part.set_params(**SMALL.get(type(part).__name__, {}))


def build(kind, part):
    if kind == "encoder":
        shape = (5,) if type(part).__name__ == "MLP" else (1, 12, 12)
        return part.build(shape)
    if kind == "head":
        return part.build(8)
    if kind == "loss":
        return part.build(8, 3)
    return part.build(np.repeat(np.arange(4), 6))


@pytest.fixture(params=NAMED, ids=lambda named: "-".join(named))
def named(request):
    kind, name = request.param
    return kind, name, make(kind, name)


def test_name_is_the_class_without_suffix_in_snake_case(named):
    kind, name, part = named
    suffix = "" if kind == "encoder" else kind.capitalize()
    cls = type(part).__name__
    assert cls.endswith(suffix)
    assert snake_case(cls.removesuffix(suffix)) == name


def test_registry_is_sorted_and_its_classes_are_public():
    for kind, registry in REGISTRIES.items():
        assert list(registry) == sorted(registry)
        for name, where in registry.items():
            module, cls = where.split(":")
            room = inspect.importlib.import_module(module.rpartition(".")[0])
            assert cls in room.__all__, (kind, name)


def test_html_links_to_our_own_pages(named):
    part = named[2]
    page = f"{type(part).__module__.split('._')[0]}.{type(part).__name__}.html"
    link = f"https://skfsl.readthedocs.io/en/stable/generated/{page}"
    assert part._get_doc_link() == link


def test_part_is_no_module(named):
    assert isinstance(named[2], Part)
    assert not isinstance(named[2], nn.Module)


def test_clone_params_and_repr_round_trip(named):
    part = named[2]
    changed = CHANGED[type(part).__name__]
    other = clone(part).set_params(**changed)
    assert other.get_params() == {**part.get_params(), **changed}
    assert clone(other).get_params() == other.get_params()
    made = eval(repr(other), {type(part).__name__: type(part)})
    assert made.get_params() == other.get_params()
    assert pickle.loads(pickle.dumps(other)).get_params() == other.get_params()


def test_constructor_is_keyword_only_after_the_first(named):
    parameters = list(inspect.signature(type(named[2])).parameters.values())
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[1:])
    assert all(p.default is not p.empty for p in parameters)


def test_constraints_cover_the_parameters(named):
    part = named[2]
    assert set(part._parameter_constraints) == set(part.get_params())


def test_build_validates(named):
    kind, _, part = named
    for param in part.get_params():
        bad = clone(part).set_params(**{param: object()})
        with pytest.raises(ValueError, match=f"'{param}' parameter"):
            build(kind, bad)


def test_build_leaves_the_parameters_alone(named):
    kind, _, part = named
    before = part.get_params()
    build(kind, part)
    assert part.get_params() == before
    assert set(vars(part)) == set(before)


def test_builds_are_independent(named):
    kind, _, part = named
    first, second = build(kind, part), build(kind, part)
    if not isinstance(first, nn.Module):
        return
    assert not isinstance(first, Part)
    pointers = {p.data_ptr() for p in first.parameters()}
    assert pointers.isdisjoint(p.data_ptr() for p in second.parameters())


def test_build_follows_the_global_generator(named):
    kind, _, part = named
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        built = build(kind, part)
        if not isinstance(built, nn.Module):
            return
        states.append(built.state_dict())
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=0, atol=0)


def test_built_head_answers_for_itself():
    for name in HEADS:
        head = part_from_name(name, HEADS, "head").build(8)
        assert head.score_type in ("neg_sq_distance", "cosine", "logit")
        assert head.metric in ("euclidean", "manhattan", None)


def test_losses_accept_known_score_types():
    for name in LOSSES:
        accepts = part_from_name(name, LOSSES, "loss").accepts
        assert accepts
        assert set(accepts) <= {"neg_sq_distance", "cosine", "logit"}


@pytest.mark.parametrize("cls", [*CHANGED])
def test_docstrings_are_whole(cls):
    named = {type(part_from_name(n, REGISTRIES[k], k)) for k, n in NAMED}
    part = next(
        (c for c in named if c.__name__ == cls), getattr(augmentation, cls, None)
    )
    doc = inspect.getdoc(part)
    assert "Examples\n---" in doc
    for name in inspect.signature(part).parameters:
        assert re.search(rf"^{name} : ", doc, re.MULTILINE), name
    for name, method in inspect.getmembers(part, inspect.isfunction):
        if not name.startswith("_") and name in vars(part):
            assert inspect.getdoc(method), name


def test_unknown_name_lists_the_known():
    with pytest.raises(ValueError, match=r"Unknown head='euclid'. Expected one of"):
        part_from_name("euclid", HEADS, "head")
