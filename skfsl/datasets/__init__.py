"""Readers of few-shot data that is on this machine already. Nothing downloads."""

from skfsl.datasets._omniglot import load_omniglot

__all__ = ["load_omniglot"]
