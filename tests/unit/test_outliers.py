"""Outlying losses: the running statistics against those of weighted samples, and what counts as an outlier."""

from __future__ import annotations

import numpy as np
import pytest

from paddle_ac.learning import outliers
from paddle_ac.learning.outliers import LossOutliers


@pytest.mark.parametrize("window", [1000, 20])
def test_outliers_exceed_the_weighted_mean_and_deviation_of_the_earlier_losses(monkeypatch, window):
    monkeypatch.setattr(outliers, "WINDOW", window)
    monkeypatch.setattr(outliers, "WARM_UP", 10)
    losses = np.random.default_rng(0).lognormal(sigma=1.0, size=300) * np.linspace(1, 3, 300)
    expected, weights = [], np.zeros(0)
    for number, loss in enumerate(losses):  # the newest of n losses weighs 1 / n, or 1 / window
        earlier = losses[:number]
        mean = weights @ earlier
        deviation = np.sqrt(weights @ (earlier - mean) ** 2)
        expected.append(bool(number >= 10 and loss > mean + 2 * deviation))
        rate = 1 / min(number + 1, window)
        weights = np.append(weights * (1 - rate), rate)
    filtering = LossOutliers(2.0)
    assert [filtering.is_outlier(loss) for loss in losses] == expected
    assert 5 < sum(expected) < 100


def test_loss_that_stays_large_is_an_outlier_for_a_while_only():
    filtering = LossOutliers(3.0)
    generator = np.random.default_rng(1)
    assert not any(filtering.is_outlier(loss) for loss in generator.uniform(1, 2, 500))
    found = [filtering.is_outlier(loss) for loss in generator.uniform(100, 101, 500)]
    assert found[0] and sum(found) < 60 and not any(found[60:])


def test_nothing_is_an_outlier_before_there_are_enough_losses():
    filtering = LossOutliers(1.0)
    assert not any(filtering.is_outlier(10.0**power) for power in range(outliers.WARM_UP))
    assert filtering.is_outlier(10.0**outliers.WARM_UP)
