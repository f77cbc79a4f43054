"""The short form of the fault campaign in benchmarks/faults.py."""

from __future__ import annotations

import pytest

from benchmarks import faults

SHORT = {
    "yaml": 60,
    "command lines": 60,
    "checkpoints": 60,
    "algorithms": 60,
    "summaries": 40,
    "tables": 40,
    "logs": 40,
    "environments": 12,
}


@pytest.mark.slow
def test_generated_cases_end_as_they_must():
    counts, failures = faults.run_campaign(seed=1, sizes=SHORT, algorithms=["a2c", "sac"])
    assert not failures, "\n".join(
        f"--part {failure.part!r} --case {failure.number}: {failure.told}" for failure in failures
    )
    assert {name: outcomes.total() for name, outcomes in counts.items()} == SHORT
    assert counts["yaml"]["rejected"] and counts["yaml"]["taken"]


def test_a_case_that_ends_otherwise_is_reported_with_its_number(tmp_path, monkeypatch):
    def broken(rng, bench, number):
        assert number != 2, "a traceback"
        return "taken"

    monkeypatch.setitem(faults.PARTS, "yaml", faults.Part(broken, 4))
    counts, failures = faults.run_part("yaml", [0, 1, 2, 3], 0, faults.Bench(tmp_path, {}), 1)
    assert counts == {"taken": 3}
    assert [(failure.part, failure.number) for failure in failures] == [("yaml", 2)]
    assert "| yaml | 4 | 1 | taken 3 |" in faults.report({"yaml": counts}, failures, 1.0)


@pytest.mark.parametrize("line", ["", "two\nlines", "x" * 4000])
def test_an_error_is_one_short_line(line):
    with pytest.raises(faults.FaultError):
        faults.check_line(line)
