"""The policy-gradient loss."""

from __future__ import annotations

import numpy as np


def policy_gradient(log_probs: np.ndarray, advantages: np.ndarray) -> tuple[float, np.ndarray]:
    """Loss ``sum(-log pi(a|s) * A)`` with the advantages held constant (Mnih et al. 2016, arXiv:1602.01783, section 4).

    Args:
        log_probs: ``[B]`` float32, of the actions that were taken, in nats.
        advantages: ``[B]`` float32.

    Returns:
        the sum over the batch, and its gradient with respect to ``log_probs``, ``[B]``.
    """
    return -float(np.sum(log_probs * advantages)), -advantages
