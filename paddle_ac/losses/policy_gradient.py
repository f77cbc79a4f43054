"""The policy-gradient loss."""

from __future__ import annotations

import numpy as np


def policy_gradient(
    log_probs: np.ndarray, advantages: np.ndarray, log_epsilon: float = 0.0
) -> tuple[float, np.ndarray]:
    """Loss ``sum(-log pi(a|s) * A)`` with the advantages held constant (Mnih et al. 2016, arXiv:1602.01783, section 4).

    With an epsilon it is ``sum(-log(pi(a|s) + epsilon) * A)`` (Babaeizadeh et al. 2017, arXiv:1611.06256, section 5.2).
    An action that a newer policy almost never takes then has almost no gradient, rather than one that grows with its
    improbability.

    Args:
        log_probs: ``[B]`` float32, of the actions that were taken, in nats.
        advantages: ``[B]`` float32.
        log_epsilon: epsilon, a probability.

    Returns:
        the sum over the batch, and its gradient with respect to ``log_probs``, ``[B]``.
    """
    if log_epsilon:
        probabilities = np.exp(log_probs)
        raised = probabilities + np.float32(log_epsilon)
        return -float((np.log(raised) * advantages).sum()), -advantages * (probabilities / raised)
    return -float((log_probs * advantages).sum()), -advantages
