"""Encoders turn samples into embeddings."""

from skfsl.encoders._conv_net import Conv4, ConvNet
from skfsl.encoders._darknet import Darknet
from skfsl.encoders._koch_net import KochNet
from skfsl.encoders._mlp import MLP
from skfsl.encoders._res_net import ResNet, ResNet12
from skfsl.encoders._state_dict import load_weights as load_weights
from skfsl.encoders._torchvision import TorchvisionBackbone

__all__ = [
    "ENCODERS",
    "MLP",
    "Conv4",
    "ConvNet",
    "Darknet",
    "KochNet",
    "ResNet",
    "ResNet12",
    "TorchvisionBackbone",
]

# name -> "module:Class"; what an encoder may be called by.
ENCODERS = {
    "conv4": "skfsl.encoders._conv_net:Conv4",
    "conv_net": "skfsl.encoders._conv_net:ConvNet",
    "darknet": "skfsl.encoders._darknet:Darknet",
    "koch_net": "skfsl.encoders._koch_net:KochNet",
    "mlp": "skfsl.encoders._mlp:MLP",
    "res_net": "skfsl.encoders._res_net:ResNet",
    "res_net12": "skfsl.encoders._res_net:ResNet12",
}
