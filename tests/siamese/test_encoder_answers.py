"""Encoders that answer objects, as the models of transformers do."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from skfsl import PrototypeClassifier, SiameseTransformer, make_few_shot_pipeline

RNG = np.random.default_rng(0)
Y = np.repeat(np.arange(4), 4)
IMAGES = RNG.random((16, 3, 6, 6)).astype(np.float32)


class Model(nn.Module):
    """Answer `fields` of tokens (n, t, d), of maps (n, d, h, w) or of a vector."""

    def __init__(self, kind, *fields):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.kind, self.fields = kind, fields

    def forward(self, x):
        maps = self.conv(x)
        answers = {
            "tokens": maps.flatten(2).transpose(1, 2),
            "maps": maps,
            "pooled maps": maps.mean(dim=(2, 3), keepdim=True),
            "vector": maps.mean(dim=(2, 3)),
        }
        found = {"pooler_output": None, "last_hidden_state": maps * 7}
        return SimpleNamespace(
            **{**found, **dict.fromkeys(self.fields, answers[self.kind])}
        )


def siamese(encoder, **params):
    params = {"max_epochs": 0, "device": "cpu", "random_state": 0, **params}
    return SiameseTransformer(encoder, **params)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("vector", "image_embeds"),
        ("vector", "pooler_output"),
        ("pooled maps", "pooler_output"),
        ("tokens", "last_hidden_state"),
        ("maps", "last_hidden_state"),
    ],
)
def test_the_embedding_is_what_is_pooled_or_a_mean(kind, field):
    model = Model(kind, field)
    with torch.no_grad():
        expected = model.conv(torch.from_numpy(IMAGES)).mean(dim=(2, 3)).numpy()
    fitted = siamese(model).fit(IMAGES, Y)
    np.testing.assert_allclose(fitted.transform(IMAGES), expected, rtol=1e-4, atol=1e-5)


def test_such_an_encoder_is_trained_and_enrolled():
    model = nn.Sequential(nn.Identity(), Model("tokens", "last_hidden_state"))
    pipe = make_few_shot_pipeline(siamese(model, max_epochs=1), PrototypeClassifier())
    pipe.fit(IMAGES, Y).partial_fit(IMAGES[:2] + 1, [7, 7])
    assert 7 in pipe.classes_
    assert pipe.predict(IMAGES).shape == (16,)


def test_other_answers_are_refused():
    class Logits(nn.Module):
        def forward(self, x):
            return SimpleNamespace(logits=x.mean(dim=(2, 3)))

    with pytest.raises(ValueError, match=r"one row a sample.*SimpleNamespace"):
        siamese(Logits()).fit(IMAGES, Y)


@pytest.mark.slow
def test_a_model_of_transformers():
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        image_size=6, patch_size=3,
    )  # fmt: skip
    for pooled in (True, False):
        torch.manual_seed(0)
        model = transformers.ViTModel(config, add_pooling_layer=pooled).eval()
        with torch.no_grad():
            answer = model(torch.from_numpy(IMAGES))
        expected = answer.pooler_output if pooled else answer[0].mean(dim=1)
        fitted = siamese(model).fit(IMAGES, Y)
        np.testing.assert_allclose(
            fitted.transform(IMAGES), expected.numpy(), rtol=1e-3, atol=1e-4
        )
