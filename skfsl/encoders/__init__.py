"""Encoders turn samples into embeddings."""

from skfsl.encoders._conv_net import Conv4, ConvNet
from skfsl.encoders._koch_net import KochNet
from skfsl.encoders._mlp import MLP

__all__ = ["ENCODERS", "MLP", "Conv4", "ConvNet", "KochNet"]

# name -> "module:Class"; what an encoder may be called by.
ENCODERS = {
    "conv4": "skfsl.encoders._conv_net:Conv4",
    "conv_net": "skfsl.encoders._conv_net:ConvNet",
    "koch_net": "skfsl.encoders._koch_net:KochNet",
    "mlp": "skfsl.encoders._mlp:MLP",
}
