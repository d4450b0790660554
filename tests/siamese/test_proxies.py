"""Class proxies are kept from fit to fit, and grow with new classes."""

import pickle

import joblib
import numpy as np
import pytest
import torch
from pytorch_metric_learning import losses
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from skfsl import SiameseTransformer
from skfsl.losses import ArcFaceLoss, CosFaceLoss, ProxyAnchorLoss
from skfsl.siamese import _learn
from skfsl.siamese._net import SiameseNet

RNG = np.random.RandomState(0)
N_CLASSES, N_SHOT = 12, 6
CODES = np.repeat(np.arange(N_CLASSES), N_SHOT)
NAMES = np.array([f"c{i:02d}" for i in range(N_CLASSES)])
Y = NAMES[CODES]
X = (RNG.randn(N_CLASSES, 6)[CODES] + 0.3 * RNG.randn(len(Y), 6)).astype(np.float32)
# Of the second fit: four classes known, four new ones, of which one sorts first.
FIRST = (CODES >= 1) & (CODES < 9)
SECOND = (CODES >= 5) | (CODES == 0)
FIRST_NAMES = NAMES[1:9].tolist()


def make(loss="arc_face", **params):
    params = {"max_epochs": 2, "random_state": 0, "head": "cosine"} | params
    return SiameseTransformer(loss=loss, **params)


def proxies_of(siamese):
    """Return label -> proxies, (n_centers, d)."""
    net = siamese.net_
    values = net.loss.proxies.detach().clone()
    assert len(values) == len(net.loss_labels)
    return dict(zip(net.loss_labels, values, strict=True))


@pytest.fixture
def at_start(monkeypatch):
    """Collect the proxies of every training at its start."""
    seen = []

    def partial_fit(self, *args, **kwargs):
        values = self.loss.proxies.detach().clone()
        seen.append(dict(zip(self.loss_labels, values, strict=True)))
        return original(self, *args, **kwargs)

    original = SiameseNet.partial_fit
    monkeypatch.setattr(SiameseNet, "partial_fit", partial_fit)
    return seen


def test_there_is_a_proxy_for_each_class_trained_on():
    siamese = make().fit(X[FIRST], Y[FIRST])
    assert list(proxies_of(siamese)) == FIRST_NAMES


def test_validation_classes_have_none():
    n = 60
    y = np.repeat([f"v{i}" for i in range(n)], 2)
    X = RNG.randn(2 * n, 4)
    siamese = make(validation_fraction=0.2, max_epochs=1).fit(X, y)
    held_out = siamese.validation_classes_
    assert len(held_out) == 12
    assert set(proxies_of(siamese)) == set(siamese.classes_) - set(held_out)


@pytest.mark.parametrize(
    "loss",
    ["arc_face", "cos_face", "normalized_softmax", "proxy_anchor",
     ArcFaceLoss(n_centers=3)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("how", ["partial_fit", "warm_start"])
def test_known_classes_keep_their_proxies_and_new_ones_are_added(loss, how, at_start):
    siamese = make(loss, warm_start=how == "warm_start").fit(X[FIRST], Y[FIRST])
    before = proxies_of(siamese)
    go_on = siamese.partial_fit if how == "partial_fit" else siamese.fit
    go_on(X[SECOND], Y[SECOND])
    start = at_start[-1]
    for label, value in before.items():
        assert torch.equal(start[label], value)
    assert list(start) == [*FIRST_NAMES, "c00", "c09", "c10", "c11"]
    after = proxies_of(siamese)
    assert list(after) == list(start)
    # Each is trained, those of classes that are not in y as what to keep away from.
    assert not any(torch.equal(after[label], start[label]) for label in start)


@pytest.mark.parametrize("n_centers", [1, 3])
def test_new_proxies_begin_at_the_mean_directions_of_their_classes(n_centers, at_start):
    siamese = make(ArcFaceLoss(n_centers=n_centers)).fit(X[FIRST], Y[FIRST])
    embeddings = siamese.transform(X)  # of length 1
    siamese.partial_fit(X[SECOND], Y[SECOND])
    for code in (0, 9, 10, 11):
        mine = embeddings[CODES == code]
        for i, proxy in enumerate(at_start[-1][NAMES[code]]):
            mean = mine[i::n_centers].mean(axis=0)
            expected = mean / np.linalg.norm(mean)
            np.testing.assert_allclose(proxy, expected, atol=1e-5)


def test_a_center_without_a_sample_is_drawn(at_start):
    siamese = make(ArcFaceLoss(n_centers=3)).fit(X[FIRST], Y[FIRST])
    few = [*np.flatnonzero(SECOND & (CODES != 11)), len(Y) - 1]
    siamese.partial_fit(X[few], Y[few])
    lengths = at_start[-1]["c11"].norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(3))


def test_growth_helps_new_classes():
    siamese = make("cos_face", max_epochs=8).fit(X[FIRST], Y[FIRST])
    siamese.partial_fit(X[SECOND], Y[SECOND])
    proxies = proxies_of(siamese)
    centers = torch.stack([proxies[label][0] for label in NAMES]).numpy()
    nearest = (siamese.transform(X[SECOND]) @ centers.T).argmax(axis=1)
    assert (NAMES[nearest] == Y[SECOND]).mean() > 0.95


def test_a_loss_of_another_margin_takes_the_proxies_over(at_start):
    siamese = make("normalized_softmax").fit(X[FIRST], Y[FIRST])
    before = proxies_of(siamese)
    siamese.set_params(loss=CosFaceLoss(0.2)).partial_fit(X[SECOND], Y[SECOND])
    assert all(torch.equal(at_start[-1][label], v) for label, v in before.items())


@pytest.mark.parametrize("between", ["sup_con", ArcFaceLoss(n_centers=2)], ids=str)
def test_with_another_kind_of_loss_they_begin_anew(between):
    siamese = make().fit(X[FIRST], Y[FIRST])
    siamese.set_params(loss=between).partial_fit(X[SECOND], Y[SECOND])
    new = [NAMES[0], *NAMES[5:]]
    assert siamese.net_.loss_labels == new
    siamese.set_params(loss="arc_face").partial_fit(X[FIRST], Y[FIRST])
    assert list(proxies_of(siamese)) == FIRST_NAMES


def test_without_epochs_proxies_are_left_alone():
    siamese = make().fit(X[FIRST], Y[FIRST])
    before = proxies_of(siamese)
    siamese.set_params(max_epochs=0).partial_fit(X[SECOND], Y[SECOND])
    after = proxies_of(siamese)
    assert list(after) == list(before)
    assert all(torch.equal(after[label], before[label]) for label in before)
    assert set(siamese.validation_classes_) == {"c00", "c09", "c10", "c11"}
    siamese.set_params(max_epochs=1).partial_fit(X[SECOND], Y[SECOND])
    assert "c11" in proxies_of(siamese)


def test_numbers_as_labels(at_start):
    siamese = make().fit(X[FIRST], 10 * CODES[FIRST])
    siamese.partial_fit(X[SECOND], 10 * CODES[SECOND])
    assert list(at_start[-1]) == [*range(10, 90, 10), 0, 90, 100, 110]


@pytest.mark.parametrize("dump", ["pickle", "joblib"])
def test_a_pickle_goes_on_where_the_original_does(dump, tmp_path):
    siamese = make().fit(X[FIRST], Y[FIRST])
    if dump == "pickle":
        other = pickle.loads(pickle.dumps(siamese))
    else:
        joblib.dump(siamese, tmp_path / "siamese.joblib")
        other = joblib.load(tmp_path / "siamese.joblib")
    for each in (siamese, other):
        each.partial_fit(X[SECOND], Y[SECOND])
    ours, theirs = proxies_of(siamese), proxies_of(other)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[label], theirs[label]) for label in ours)
    np.testing.assert_array_equal(siamese.transform(X), other.transform(X))


def test_clone_and_a_cold_fit_forget():
    siamese = make().fit(X[FIRST], Y[FIRST])
    fresh = clone(siamese).fit(X[SECOND], Y[SECOND])
    siamese.fit(X[SECOND], Y[SECOND])
    assert siamese.net_.loss_labels == fresh.net_.loss_labels == [NAMES[0], *NAMES[5:]]
    assert torch.equal(siamese.net_.loss.proxies, fresh.net_.loss.proxies)


def test_a_failing_partial_fit_leaves_proxies_alone(monkeypatch):
    siamese = make().fit(X[FIRST], Y[FIRST])
    before, loss = proxies_of(siamese), siamese.net_.loss

    def fail(*args):
        raise RuntimeError("no more")

    monkeypatch.setattr(_learn, "_digest", fail)
    with pytest.raises(RuntimeError, match="no more"):
        siamese.partial_fit(X[SECOND], Y[SECOND])
    assert siamese.net_.loss is loss
    after = proxies_of(siamese)
    assert list(after) == list(before)
    assert all(torch.equal(after[label], before[label]) for label in before)


def test_fit_id_does_not_depend_on_proxies():
    siamese = make().fit(X[FIRST], Y[FIRST])
    fit_id = siamese.fit_id_
    with torch.no_grad():
        siamese.net_.loss.proxies.add_(1)
    assert _learn._digest(siamese.net_.module_) == fit_id


def test_proxies_are_not_decayed_and_learn_faster():
    siamese = make(lr=1e-3).fit(X[FIRST], Y[FIRST])
    *others, group = siamese.net_.optimizer_.param_groups
    assert [p is siamese.net_.loss.proxies for p in group["params"]] == [True]
    assert group["weight_decay"] == 0
    assert group["lr"] == pytest.approx(10 * others[0]["lr"])
    assert siamese.history_[0]["lr"] <= 1e-3


def test_the_best_epoch_has_its_proxies_back(monkeypatch):
    n = 60
    y = np.repeat(np.arange(n), 4)
    X = RNG.randn(n, 6)[y] + 0.3 * RNG.randn(len(y), 6)
    after = []

    def score(*args):
        return 0.5 if after else 1.0

    original = SiameseNet.on_epoch_end

    def on_epoch_end(self, net, **kwargs):
        self.validation.score = score
        original(self, net, **kwargs)
        after.append(self.loss.proxies.detach().clone())

    monkeypatch.setattr(SiameseNet, "on_epoch_end", on_epoch_end)
    siamese = make(max_epochs=3).fit(X, y)
    assert torch.equal(siamese.net_.loss.proxies, after[0])
    assert not torch.equal(after[0], after[-1])


def test_losses_and_their_margins_in_a_search():
    pipe = make_pipeline(make(max_epochs=1), KNeighborsClassifier(1))
    grid = [
        {
            "siamesetransformer__loss": ["arc_face", "cos_face"],
            "siamesetransformer__loss__margin": [0.1, 0.3],
        },
        {"siamesetransformer__loss": [ProxyAnchorLoss()]},
    ]
    search = GridSearchCV(pipe, grid, cv=2, error_score="raise").fit(X, Y)
    assert len(search.cv_results_["params"]) == 5
    assert search.best_score_ > 0.8


def test_pairs_are_refused_by_name():
    siamese = make(sampler="balanced_pairs")
    with pytest.raises(ValueError, match="ArcFaceLoss does not take given pairs"):
        siamese.fit(X, Y)


# Losses of other libraries: as many classes as they were made for.


class Silent(torch.nn.Module):
    """Does not say how many classes it is made for."""

    def __init__(self, n_classes):
        super().__init__()
        self.rows = torch.nn.Parameter(torch.randn(n_classes, 64))

    def forward(self, embeddings, labels):
        return torch.nn.functional.cross_entropy(embeddings @ self.rows.T, labels)


FOREIGN = {
    "says so": lambda n: losses.ArcFaceLoss(num_classes=n, embedding_size=64),
    "proxies": lambda n: losses.ProxyAnchorLoss(num_classes=n, embedding_size=64),
    "softmax": lambda n: losses.NormalizedSoftmaxLoss(num_classes=n, embedding_size=64),
    "silent": Silent,
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_too_few_classes_are_told_before_training(kind, monkeypatch):
    def train(*args, **kwargs):
        pytest.fail("it was trained")

    monkeypatch.setattr(SiameseNet, "partial_fit", train)
    message = r"was made for 5 classes and is to be trained on 8\. Make it for 8"
    with pytest.raises(ValueError, match=message):
        make(FOREIGN[kind](5)).fit(X[FIRST], Y[FIRST])


@pytest.mark.parametrize("kind", FOREIGN)
def test_it_goes_on_with_known_classes_and_has_room_or_says_so(kind):
    siamese = make(FOREIGN[kind](10)).fit(X[FIRST], Y[FIRST])
    assert siamese.net_.loss_labels == FIRST_NAMES
    known = FIRST & SECOND
    siamese.partial_fit(X[known], Y[known])
    assert siamese.net_.loss_labels == FIRST_NAMES
    two = known | (CODES == 0) | (CODES == 9)
    siamese.partial_fit(X[two], Y[two])
    assert siamese.net_.loss_labels == [*FIRST_NAMES, "c00", "c09"]
    before = siamese.transform(X)
    message = r"was made for 10 classes and is to be trained on 12, 10 of them from"
    with pytest.raises(ValueError, match=message):
        siamese.partial_fit(X[SECOND], Y[SECOND])
    np.testing.assert_array_equal(siamese.transform(X), before)


def test_a_loss_that_fails_for_another_reason_says_it_itself():
    class Fails(Silent):
        def forward(self, embeddings, labels):
            raise RuntimeError("not today")

    with pytest.raises(RuntimeError, match="not today"):
        make(Fails(3)).fit(X[FIRST], Y[FIRST])


def test_its_weights_are_kept(monkeypatch):
    siamese = make(losses.ProxyAnchorLoss(12, 64)).fit(X[FIRST], Y[FIRST])
    before = siamese.net_.loss.loss.proxies.detach().clone()
    start = []
    original = SiameseNet.partial_fit

    def partial_fit(self, *args, **kwargs):
        start.append(self.loss.loss.proxies.detach().clone())
        return original(self, *args, **kwargs)

    monkeypatch.setattr(SiameseNet, "partial_fit", partial_fit)
    siamese.partial_fit(X[SECOND], Y[SECOND])
    assert torch.equal(start[0], before)


def test_a_frozen_encoder_is_refused_whatever_weights_the_loss_has():
    with pytest.raises(ValueError, match="no weights that can be trained"):
        make(encoder=torch.nn.Identity()).fit(X, Y)
