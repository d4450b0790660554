import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from skfsl.encoders import MLP


@pytest.fixture
def table(rng):
    return (rng.normal(size=(200, 9)) * np.logspace(-3, 3, 9) + 50).astype(np.float32)


def test_adapt_standardises_as_standard_scaler_does(table):
    module = MLP().build((9,))
    module.adapt(torch.from_numpy(table))
    scaler = StandardScaler().fit(table.astype(np.float64))
    np.testing.assert_allclose(module.mean, scaler.mean_, rtol=1e-6)
    np.testing.assert_allclose(module.scale, scaler.scale_, rtol=1e-5)


def test_statistics_are_exact_under_an_offset():
    X = torch.tensor([[16777215.0, 0.1], [16777216.0, 0.1]])
    module = MLP().build((2,))
    module.adapt(X)
    assert module.scale.tolist() == [0.5, 1.0]


def test_constant_columns_get_scale_1_and_say_nothing():
    X = torch.full((7, 3), 0.1)
    X[:, 1] = torch.arange(7)
    module = MLP(hidden_layer_sizes=()).build((3,))
    module.adapt(X)
    assert module.scale[0] == module.scale[2] == 1
    torch.testing.assert_close(module.mean[0], X[0, 0], rtol=0, atol=0)


def test_statistics_are_saved_but_not_trained():
    module = MLP().build((4,))
    assert {"mean", "scale"} <= set(module.state_dict())
    assert {"mean", "scale"}.isdisjoint(dict(module.named_parameters()))


@pytest.mark.parametrize("hidden", [(), (32,), (32, 16)])
def test_metric_starts_as_the_standardised_euclidean(table, hidden):
    module = MLP(hidden, n_outputs=16).build((9,)).eval()
    X = torch.from_numpy(table)
    module.adapt(X)
    embedded = torch.cdist(module(X), module(X)).detach()
    Z = torch.from_numpy(StandardScaler().fit_transform(table))
    standardised = torch.cdist(Z, Z)
    torch.testing.assert_close(embedded, standardised, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("hidden", [(), (32,)])
def test_starts_as_principal_components_with_fewer_outputs_than_columns(hidden, rng):
    X = rng.normal(size=(300, 5)) @ rng.normal(size=(5, 30))
    X = (X + 0.3 * rng.normal(size=(300, 30)) + 7).astype(np.float32)
    module = MLP(hidden, n_outputs=5).build((30,)).eval()
    module.adapt(torch.from_numpy(X))
    embedded = module(torch.from_numpy(X)).detach()
    components = PCA(5).fit_transform(StandardScaler().fit_transform(X))
    torch.testing.assert_close(
        torch.cdist(embedded, embedded),
        torch.cdist(*2 * (torch.from_numpy(components).float(),)),
        rtol=1e-2, atol=1e-2,
    )  # fmt: skip


@pytest.mark.parametrize(("n", "n_outputs"), [(4, 8), (4, 3), (1, 8)])
def test_adapts_to_few_rows(n, n_outputs):
    module = MLP(n_outputs=n_outputs).build((20,))
    module.adapt(torch.rand(n, 20))
    assert torch.isfinite(module(torch.rand(6, 20))).all()


def test_all_weights_get_gradients_after_a_step():
    module = MLP((8, 8)).build((4,))
    opt = torch.optim.SGD(module.parameters(), lr=0.1)
    for _ in range(2):
        opt.zero_grad()
        module(torch.rand(16, 4)).square().sum().backward()
        opt.step()
    assert all(p.grad.abs().sum() > 0 for p in module.parameters())


def test_dropout_acts_in_training_only():
    module = MLP(dropout=0.5).build((4,))
    for p in module.parameters():
        torch.nn.init.normal_(p)
    X = torch.rand(5, 4)
    assert not torch.equal(module.train()(X), module(X))
    assert torch.equal(module.eval()(X), module(X))


def test_images_raise():
    with pytest.raises(ValueError, match=r"MLP takes rows .*shape \(1, 8, 8\)"):
        MLP().build((1, 8, 8))


@pytest.mark.parametrize(
    "bad",
    [{"hidden_layer_sizes": (8, 0)}, {"hidden_layer_sizes": 8}, {"n_outputs": 0},
     {"dropout": 1.0}],
)  # fmt: skip
def test_bad_parameters_raise(bad):
    with pytest.raises(ValueError, match=f"'{next(iter(bad))}' parameter of MLP"):
        MLP(**bad).build((4,))
