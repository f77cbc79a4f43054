"""Formats of exported models, each with a mark that skips it where its packages are missing."""

from __future__ import annotations

import importlib.util

import pytest

from paddle_ac.training import export

needs_onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, export.ONNX_PACKAGES)),
    reason="the packages of ONNX are missing: there is no paddle2onnx for Python 3.13",
)
FORMATS = [pytest.param(name, marks=needs_onnx if name == "onnx" else ()) for name in export.FORMATS]
