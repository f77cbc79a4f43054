"""A3C: actor-learners that learn a policy and a critic."""

from __future__ import annotations

from paddle_ac.algorithms.a3c_worker import A3CWorker
from paddle_ac.algorithms.actor_learners import ActorLearners


class A3C(ActorLearners):
    """Asynchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783, algorithm S3)."""

    worker_class = A3CWorker
