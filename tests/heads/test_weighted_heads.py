"""Heads with weights: equations by slow loops, gradients, what they fold to."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from skfsl.heads import (
    HEADS,
    CosineHead,
    DenseSigmoidHead,
    EuclideanHead,
    LearnedNormsHead,
    MahalanobisHead,
    MixedNormsHead,
    _first_batch,
)
from skfsl.heads._blocks import all_pairs

PARTS = {
    "mahalanobis": MahalanobisHead(),
    "low rank": MahalanobisHead(2),
    "dense_sigmoid": DenseSigmoidHead(),
    "signed": DenseSigmoidHead(non_negative=False),
    "learned_norms": LearnedNormsHead(),
    "manhattan": LearnedNormsHead(p_max=1.0),
    "squares": LearnedNormsHead(p_min=2.0),
    "mixed_norms": MixedNormsHead(hidden=3),
    "other norms": MixedNormsHead(("softmax", "cosine"), hidden=3),
    "scaled": CosineHead(7.0),
    "learned scale": CosineHead("learned"),
}
FOLDING = [
    "mahalanobis", "low rank", "dense_sigmoid", "manhattan", "squares", "scaled",
    "learned scale",
]  # fmt: skip


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def trained(part, embedding_dim=5, seed=0):
    """Build a head whose weights are no longer those of the start."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        head = part.build(embedding_dim)
        if isinstance(head, nn.Module):
            with torch.no_grad():
                for weight in head.parameters():
                    if weight.requires_grad:
                        weight += 0.7 * torch.randn(weight.shape)
            head.eval()
    return head


each = pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)


def softplus(x):
    return math.log1p(math.exp(x))


def slow_score(head, a, b):
    """Score one pair from the equation, number by number."""
    weights = {
        name: value.double().numpy()
        for name, value in getattr(head, "state_dict", dict)().items()
    }
    d = range(len(a))
    kind = type(head).__name__
    if kind == "_Mahalanobis":
        L = weights["weight"]
        return -sum(sum(row[j] * (a[j] - b[j]) for j in d) ** 2 for row in L)
    if kind in ("CosineHead", "_LearnedScale"):
        scale = math.exp(weights["log_scale"]) if weights else head.scale
        return scale * sum(a * b) / math.sqrt(sum(a * a) * sum(b * b))
    if kind == "_DenseSigmoid":
        alpha = [-softplus(w) if head.non_negative else -w for w in weights["weight"]]
        return weights["bias"][0] + sum(alpha[j] * abs(a[j] - b[j]) for j in d)
    if kind == "_LearnedNorms":
        total = weights["bias"][0]
        for j in d:
            share = 1 / (1 + math.exp(-weights["exponent"][j]))
            p = head.p_min + (head.p_max - head.p_min) * share
            total -= softplus(weights["weight"][j]) * abs(a[j] - b[j]) ** p
        return total
    return slow_mixed_norms(head, weights, a, b)


def slow_mixed_norms(head, weights, a, b):
    d = range(len(a))
    length = [math.sqrt(sum(v * v)) for v in (a, b)]
    exps = [math.exp(abs(a[j] - b[j])) for j in d]
    total = weights["dense.bias"][0]
    for j in d:
        x, y = a[j], b[j]
        of = {
            "product": x * y, "sum": x + y, "absolute": abs(x - y),
            "squared": (x - y) ** 2, "softmax": exps[j] / sum(exps),
            "cosine": 1 - x / length[0] * y / length[1],
        }  # fmt: skip
        values = [of[norm] for norm in head.norms]
        one = weights["one.bias"][0]
        for k in range(len(weights["mix.bias"])):
            unit = weights["mix.bias"][k]
            unit += sum(w * v for w, v in zip(weights["mix.weight"][k], values))  # noqa: B905
            one += weights["one.weight"][0][k] * max(unit, 0)
        total += weights["dense.weight"][0][j] * one
    return total


@each
def test_scores_equal_slow_loops(part):
    head = trained(part)
    a, b = draw(0, 6, 5).double(), draw(1, 4, 5).double()
    slow = [[slow_score(head, x.numpy(), y.numpy()) for y in b] for x in a]
    with torch.no_grad():
        scores = head.scores(a, b)
    torch.testing.assert_close(
        scores, torch.tensor(slow).double(), rtol=1e-6, atol=1e-5
    )


@each
def test_paired_is_the_diagonal_of_scores(part):
    head = trained(part)
    a, b = draw(0, 7, 5), draw(1, 7, 5)
    torch.testing.assert_close(
        head.paired(a, b), head.scores(a, b).diagonal(), rtol=1e-4, atol=1e-4
    )


class TestByHand:
    A, B = torch.tensor([[1.0, 2.0]]), torch.tensor([[4.0, 0.0]])

    def score(self, head, **weights):
        state = {name: torch.tensor(value) for name, value in weights.items()}
        head.load_state_dict({k.replace("__", "."): v for k, v in state.items()})
        return head.scores(self.A, self.B).item()

    def test_mahalanobis(self):
        head = MahalanobisHead(1).build(2)
        # -(1 · (1 - 4) + 0.5 · (2 - 0))²
        assert self.score(head, weight=[[1.0, 0.5]]) == -4.0

    def test_dense_sigmoid(self):
        head = DenseSigmoidHead(non_negative=False).build(2)
        # 0.5 - (1 · 3 - 2 · 2)
        assert self.score(head, weight=[1.0, -2.0], bias=[0.5]) == 1.5

    def test_learned_norms(self):
        head = LearnedNormsHead(p_min=1, p_max=3).build(2)
        weight = math.log(math.e - 1)  # the softplus is 1
        # -(3² + 2²) with exponents halfway between 1 and 3
        score = self.score(head, weight=[weight] * 2, exponent=[0.0] * 2, bias=[0.0])
        assert score == pytest.approx(-13.0)

    def test_mixed_norms(self):
        head = MixedNormsHead(hidden=2).build(2)
        # Norms (4, 5, 3, 9) and (0, 2, 2, 4). Units |x - y| - 1 and -(x + y):
        # relu gives (2, 0) and (1, 0). One: 10 · first + 1 = 21 and 11.
        score = self.score(
            head,
            mix__weight=[[0.0, 0, 1, 0], [0, -1, 0, 0]],
            mix__bias=[-1.0, 0.0],
            one__weight=[[10.0, 5.0]],
            one__bias=[1.0],
            dense__weight=[[1.0, -2.0]],
            dense__bias=[0.25],
        )
        assert score == 21 - 22 + 0.25

    def test_cosine(self):
        assert CosineHead(5.0).scores(self.A, self.B).item() == pytest.approx(5**0.5)


@each
@pytest.mark.parametrize("how", ["scores", "paired"])
def test_gradients_are_right(part, how, monkeypatch):
    # Blocks of one row and two columns.
    monkeypatch.setattr("skfsl.heads._blocks._FLOATS", {"other": 2 * 4 * 3})
    head = trained(part, 4)
    weights = []
    if isinstance(head, nn.Module):
        weights = [w for w in head.double().parameters() if w.requires_grad]
    a, b = (draw(seed, 3, 4).double().requires_grad_() for seed in (0, 1))
    compute = getattr(head, how)
    assert torch.autograd.gradcheck(
        lambda a, b, *weights: compute(a, b), (a, b, *weights)
    )


@each
def test_gradients_are_finite_at_coinciding_and_zero_points(part):
    head = trained(part, 3)
    a = torch.tensor([[0.0, 0, 0], [1, 2, 3], [1, 2, 3]], requires_grad=True)
    (head.scores(a, a).sum() + head.paired(a, a).sum()).backward()
    weights = head.parameters() if isinstance(head, nn.Module) else ()
    for tensor in (a, *weights):
        if tensor.requires_grad:
            assert torch.isfinite(tensor.grad).all()


@each
def test_scores_keep_full_precision_under_autocast(part):
    head = trained(part)
    a, b = draw(0, 20, 5), draw(1, 20, 5)
    plain = head.scores(a, b), head.paired(a, b)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = head.scores(a, b), head.paired(a, b)
    torch.testing.assert_close(inside, plain, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["signed", "learned_norms", "mixed_norms"])
def test_blocks_are_computed_anew_in_full_precision_under_autocast(name):
    head, b = trained(PARTS[name]), draw(1, 20, 5)
    gradients = []
    for enabled in (False, True):
        a = draw(0, 20, 5).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            head.scores(a, b).sum().backward()
        gradients.append(a.grad)
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


@each
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_half_precision(part, dtype):
    head = trained(part)
    a, b = draw(0, 20, 5).to(dtype), draw(1, 20, 5).to(dtype)
    for score in (head.scores, head.paired):
        low, wide = score(a, b), score(a.float(), b.float())
        assert low.dtype == dtype
        size = wide.abs().max().item()
        torch.testing.assert_close(low.float(), wide, rtol=0, atol=0.02 * size)


def test_zero_embeddings_have_gradients_of_the_size_of_others():
    head = trained(MixedNormsHead(("cosine",)))
    a = torch.tensor([[0.0] * 5, [1.0] * 5], requires_grad=True)
    (
        head.scores(a, draw(0, 4, 5)).sum() + head.paired(a, draw(1, 2, 5)).sum()
    ).backward()
    assert a.grad.abs().max() < 100


@each
def test_scores_are_symmetric(part):
    head, x = trained(part), draw(0, 9, 5)
    scores = head.scores(x, x)
    torch.testing.assert_close(scores, scores.T, rtol=1e-4, atol=1e-4)


@each
def test_inference_and_no_rows(part):
    head = trained(part)
    with torch.inference_mode():
        scores = head.scores(draw(0, 3, 5), draw(1, 2, 5))
        assert head.scores(draw(0, 0, 5), draw(1, 2, 5)).shape == (0, 2)
    torch.testing.assert_close(scores, head.scores(draw(0, 3, 5), draw(1, 2, 5)))


@each
def test_copies_score_alike(part):
    head = trained(part)
    a, b = draw(0, 3, 5), draw(1, 2, 5)
    for twin in (pickle.loads(pickle.dumps(head)), copy.deepcopy(head)):
        torch.testing.assert_close(twin.scores(a, b), head.scores(a, b), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mahalanobis", "dense_sigmoid"])
def test_digits_are_kept_under_an_offset(name):
    head = trained(PARTS[name])
    # Multiples of 1/64 stay exact under the offset.
    a, b = ((draw(seed, 9, 5) * 64).round() / 64 for seed in (0, 1))
    moved = head.scores(a + 1e4, b + 1e4)
    torch.testing.assert_close(moved, head.scores(a, b), rtol=1e-3, atol=1e-2)


points = arrays(np.float64, (6, 3), elements=st.integers(-50, 50).map(float))


@pytest.mark.parametrize("name", FOLDING)
@settings(deadline=None, max_examples=30)
@given(points=points, seed=st.integers(0, 9))
def test_plain_metric_on_folded_embeddings_ranks_as_the_head(name, points, seed):
    x = torch.from_numpy(points)[torch.from_numpy(np.abs(points).sum(1) > 0)]
    if len(x) < 3:
        return
    head = trained(PARTS[name], 3, seed)
    with torch.no_grad():
        folded, scores = head.fold(x), head.scores(x[:1], x[1:])[0]
    p = {"euclidean": 2, "manhattan": 1}[head.metric]
    distances = torch.cdist(folded[:1], folded[1:], p=p)[0]
    slack = 1e-9 * scores.abs().max()
    for i in range(len(scores)):
        closer = scores[i] > scores + slack
        assert (distances[i] < distances[closer]).all()


def test_what_does_not_fold_leaves_embeddings_alone():
    x = draw(0, 4, 5)
    for name in PARTS.keys() - FOLDING:
        head = trained(PARTS[name])
        assert head.metric is None
        assert head.fold(x) is x


class TestMahalanobis:
    def test_full_rank_starts_as_euclidean(self):
        a, b = draw(0, 7, 5), draw(1, 4, 5)
        torch.testing.assert_close(
            MahalanobisHead().build(5).scores(a, b), EuclideanHead().scores(a, b)
        )

    def test_low_rank_keeps_squared_distances_in_the_mean(self):
        a, b = draw(0, 200, 64), draw(1, 200, 64)
        scores = MahalanobisHead(16).build(64).scores(a, b)
        assert scores.mean().item() == pytest.approx(-2 * 64, rel=0.05)
        assert MahalanobisHead(16).build(64).fold(a).shape == (200, 16)

    def test_rank_above_the_width_is_named(self):
        with pytest.raises(ValueError, match=r"rank=9 .* embedding_dim=8"):
            MahalanobisHead(9).build(8)


class TestDenseSigmoid:
    def test_both_ways_to_compute_all_pairs_agree(self):
        head = trained(DenseSigmoidHead(), 6)
        a, b = draw(0, 9, 6), draw(1, 8, 6)
        weights = head._weights(a)[0].detach()
        signed = trained(DenseSigmoidHead(non_negative=False), 6)
        signed.load_state_dict({"weight": weights, "bias": head.bias.detach()})
        torch.testing.assert_close(signed.scores(a, b), head.scores(a, b))

    @pytest.mark.parametrize("embedding_dim", [2, 64, 4096])
    def test_the_start_ranks_by_the_manhattan_distance(self, embedding_dim):
        head = DenseSigmoidHead().build(embedding_dim).eval()
        a, b = draw(0, 5, embedding_dim), draw(1, 4, embedding_dim)
        expected = -4 * torch.cdist(a, b, p=1) / embedding_dim
        torch.testing.assert_close(
            head.scores(a, b) - head.bias, expected, rtol=1e-4, atol=1e-4
        )

    def test_the_papers_start(self):
        head = DenseSigmoidHead(non_negative=False).build(10_000)
        assert head.weight.mean().item() == pytest.approx(0, abs=0.01)
        assert head.weight.std().item() == pytest.approx(0.2, rel=0.05)
        assert head.bias.item() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("spread", [0.1, 1.0, 1e6])
@pytest.mark.parametrize("part", [DenseSigmoidHead(), LearnedNormsHead()], ids=repr)
class TestTheFirstBatch:
    def test_its_average_pair_is_at_one_half(self, part, spread):
        head = part.build(50)
        a = spread * draw(0, 40, 50)
        scores = head.scores(a, a).detach()
        others = ~torch.eye(40, dtype=torch.bool)
        assert scores[others].mean().item() == pytest.approx(0, abs=0.01)
        assert scores.diagonal().mean().item() == pytest.approx(4, abs=0.01)

    def test_given_pairs_do_it_too(self, part, spread):
        head, a, b = part.build(50), spread * draw(0, 40, 50), spread * draw(1, 40, 50)
        assert head.paired(a, b).mean().item() == pytest.approx(0, abs=0.3)

    def test_it_is_the_first_one_in_training_only(self, part, spread):
        head, a = part.build(50), spread * draw(0, 40, 50)
        start = head.weight.detach().clone()
        head.eval().scores(a, a)
        assert torch.equal(head.weight, start)
        head.train().scores(a, a)
        assert not torch.equal(head.weight, start)
        scaled = head.weight.detach().clone()
        head.scores(2 * a, a)
        assert torch.equal(head.weight, scaled)
        # What was trained goes on as it is, in a copy and in another process.
        other = part.build(50)
        other.load_state_dict(head.state_dict())
        other.scores(7 * a, a)
        assert torch.equal(other.weight, scaled)

    def test_a_start_that_is_put_back_is_scaled_again(self, part, spread):
        head, a = part.build(50), spread * draw(0, 40, 50)
        start = copy.deepcopy(head.state_dict())
        head.scores(a, a)
        scaled = head.weight.detach().clone()
        head.load_state_dict(start)
        head.scores(a, a)
        assert torch.equal(head.weight, scaled)


NON_NEGATIVE = ("dense_sigmoid", "learned_norms", "manhattan", "squares")


@pytest.mark.parametrize("name", NON_NEGATIVE)
class TestOddFirstBatches:
    def test_without_differences_weights_stay(self, name):
        head = PARTS[name].build(50)
        start = head.weight.detach().clone()
        one = torch.ones(4, 50)
        torch.testing.assert_close(head.scores(one, one), torch.full((4, 4), 4.0))
        assert torch.equal(head.weight, start)

    @pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 200])
    def test_of_any_size(self, name, n):
        head, a, b = PARTS[name].build(5), draw(0, n, 5), draw(1, n, 5)
        start = head.weight.detach().clone()
        assert torch.isfinite(head.paired(a, b)).all()
        assert torch.equal(head.weight, start) == (n == 0)

    def test_no_more_than_64_samples_are_compared(self, name, monkeypatch):
        # Of 5,000 given pairs all would be 25 million.
        sizes = []

        def spy(compare, a, b, *args, **kwargs):
            sizes.extend([len(a), len(b)])
            return all_pairs(compare, a, b, *args, **kwargs)

        monkeypatch.setattr(_first_batch, "all_pairs", spy)
        PARTS[name].build(5).paired(draw(0, 5000, 5), draw(1, 5000, 5))
        assert len(sizes) == 2
        assert 32 <= min(sizes) <= max(sizes) <= 64

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
    def test_of_another_dtype(self, name, dtype):
        head, other, a = PARTS[name].build(5), PARTS[name].build(5), draw(0, 9, 5)
        a = a.bfloat16().half().float()  # the same numbers in all
        head.scores(a, a)
        assert other.scores(a.to(dtype), a.to(dtype)).dtype == dtype
        torch.testing.assert_close(other.weight, head.weight)

    def test_a_start_of_another_dtype_is_known_again(self, name):
        head, a = PARTS[name].build(5).double(), draw(0, 9, 5).double()
        head.load_state_dict(PARTS[name].build(5).state_dict())
        head.scores(a, a)
        assert not torch.equal(head.weight.float(), PARTS[name].build(5).weight)

    @pytest.mark.parametrize("n_shot", [3, 60, 100])
    def test_grouped_by_class(self, name, n_shot):
        # The first samples alone would be of one class.
        head = PARTS[name].build(50)
        centres = draw(0, 10, 1, 50)
        a = (centres + 0.1 * draw(1, 10, n_shot, 50)).flatten(0, 1)
        assert head.scores(a, a).mean().item() == pytest.approx(0, abs=0.4)

    @pytest.mark.parametrize("value", [1e-30, 1e38, math.inf, math.nan])
    def test_what_has_no_bounded_mean_does_not_spoil_the_weights(self, name, value):
        head, a = PARTS[name].build(50), draw(0, 4, 50)
        a = a * value if value < 1 else a.index_fill(0, torch.tensor([1]), value)
        head.scores(a, a)
        assert torch.isfinite(head.weight).all()
        assert (head._weights(a)[0] > 0).all()


def test_heads_pickled_before_there_was_a_first_batch_stay_as_they_are():
    head, a = DenseSigmoidHead().build(5), draw(0, 4, 5)
    del head._is_fresh
    weight = head.weight.detach().clone()
    head.scores(a, a)
    assert torch.equal(head.weight, weight)


def test_weights_of_the_paper_are_not_scaled():
    head, a = DenseSigmoidHead(non_negative=False).build(50), draw(0, 40, 50)
    weight = head.weight.detach().clone()
    head.scores(a, a)
    assert torch.equal(head.weight, weight)


@pytest.mark.parametrize("part", [DenseSigmoidHead(), LearnedNormsHead()], ids=repr)
def test_no_weight_begins_above_30(part):
    head = part.build(50)
    head.scores(1e-6 * draw(0, 40, 50), 1e-6 * draw(1, 40, 50))
    torch.testing.assert_close(
        nn.functional.softplus(head.weight.detach()), torch.full((50,), 30.0)
    )


class TestLearnedNorms:
    def test_exponents_stay_in_their_range(self):
        head = LearnedNormsHead(p_min=1.5, p_max=4).build(3)
        with torch.no_grad():
            head.exponent.copy_(torch.tensor([-50.0, 0.0, 50.0]))
        _, exponents = head._weights(draw(0, 1, 3))
        torch.testing.assert_close(exponents.detach(), torch.tensor([1.5, 2.75, 4.0]))

    def test_range_upside_down_is_named(self):
        with pytest.raises(ValueError, match=r"'p_max'.*p_min=1.5. Got 1.2 instead"):
            LearnedNormsHead(p_min=1.5, p_max=1.2).build(3)


def distance(a, b):
    return (a - b).norm(dim=-1, keepdim=True)


class TestMixedNorms:
    def test_functions_give_a_number_a_component_or_one_for_all(self):
        a, b = draw(0, 4, 5), draw(1, 3, 5)
        by_name = trained(MixedNormsHead(("squared", "absolute")))
        for norms in (
            (lambda a, b: (a - b) ** 2, "absolute"),
            ["squared", lambda a, b: (a - b).abs()],
        ):
            head = trained(MixedNormsHead(norms))
            torch.testing.assert_close(head.scores(a, b), by_name.scores(a, b))
        head = trained(MixedNormsHead((distance,)))
        torch.testing.assert_close(
            head.paired(a[:3], b), head.scores(a[:3], b).diagonal()
        )

    def test_functions_may_leave_one_side_out(self):
        head = trained(MixedNormsHead((lambda a, b: a + 0 * b, "sum")))
        a = draw(0, 4, 5).requires_grad_()
        head.scores(a, draw(1, 3, 5)).sum().backward()
        assert torch.isfinite(a.grad).all()

    def test_a_wrong_shape_is_named(self):
        head = MixedNormsHead((lambda a, b: (a - b).norm(dim=-1),)).build(5)
        with pytest.raises(ValueError, match=r"returned shape \(4, 3\)"):
            head.scores(draw(0, 4, 5), draw(1, 3, 5))

    @pytest.mark.parametrize("norms", [(), ("absolut",), (3,)])
    def test_unknown_norms_are_named(self, norms):
        with pytest.raises(ValueError, match=r"'norms' parameter .* \['absolute', "):
            MixedNormsHead(norms).build(5)


class TestCosine:
    def test_a_scale_makes_logits(self):
        assert CosineHead().score_type == "cosine"
        assert CosineHead(2.0).score_type == "logit"
        assert CosineHead("learned").build(3).score_type == "logit"

    def test_a_learned_scale_starts_at_ten_and_is_trained(self):
        head, a = CosineHead("learned").build(3), draw(0, 4, 3)
        torch.testing.assert_close(head.scores(a, a), 10 * CosineHead().scores(a, a))
        head.scores(a, a).sum().backward()
        assert head.log_scale.grad != 0

    def test_a_learned_scale_asks_to_be_built(self):
        with pytest.raises(ValueError, match=r"build\(embedding_dim\)"):
            CosineHead("learned").scores(draw(0, 4, 3), draw(1, 4, 3))


def test_every_head_is_tested_here():
    tested = {type(part) for part in PARTS.values()}
    assert {cls.rpartition(":")[2] for cls in HEADS.values()} == {
        *(cls.__name__ for cls in tested),
        "EuclideanHead",
    }
