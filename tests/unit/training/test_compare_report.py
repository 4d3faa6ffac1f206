"""Statistics and tables of a comparison, without running one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ncm_lib.training.compare_plan import ComparePlan
from ncm_lib.training.compare_report import table, write_report
from ncm_lib.training.provenance import commit, source_hash
from ncm_lib.training.statistics import holm, paired_difference


def result(row: str, seed: int, accuracy: float | None, **fields) -> dict:
    state = "failed" if accuracy is None else "done"
    line = {
        "row": row, "shots": "10", "seed": seed, "state": state, "error": None, "accuracy": accuracy, "folder": "none",
        "synthetic": [], "train_images": 8, "synthetic_images": 0, "version": "0.1", "commit": "f" * 40,
        "source": "e" * 64, "command": "ncm compare",
    }  # fmt: skip
    return line | fields


def plan(*rows: str, seeds=(0, 1, 2)) -> ComparePlan:
    return ComparePlan.model_validate(
        {
            "data": {"train": "a", "test": "b"}, "shots": [10], "seeds": list(seeds), "baseline": rows[0],
            "rows": [{"name": row} for row in rows],
        }
    )  # fmt: skip


def test_the_interval_and_p_are_those_of_the_paired_t_test():
    rng = np.random.default_rng(0)
    one, other = rng.normal(0.7, 0.02, 6).tolist(), rng.normal(0.68, 0.02, 6).tolist()
    found, theirs = paired_difference(one, other), stats.ttest_rel(one, other)
    interval = theirs.confidence_interval()
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, theirs.pvalue))


def test_a_single_pair_and_equal_pairs_say_what_they_can():
    assert paired_difference([0.7], [0.6]).p == 1
    assert paired_difference([0.7, 0.7], [0.6, 0.6]).p == 0
    assert paired_difference([0.7, 0.7], [0.7, 0.7]).p == 1


def test_holm_never_orders_p_values_anew_and_stays_below_one():
    assert holm({"a": 0.2, "b": 0.001, "c": 0.6}) == pytest.approx({"a": 0.4, "b": 0.003, "c": 0.6})
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}


def test_pairs_are_of_the_same_seed_and_failed_cells_leave_theirs_out():
    results = [
        result("original", 0, 0.5), result("original", 1, None), result("original", 2, 0.7),
        result("cutmix", 0, 0.6), result("cutmix", 1, 0.1), result("cutmix", 2, 0.75),
    ]  # fmt: skip
    first, second = table(plan("original", "cutmix"), results, "10")
    assert (first.values, first.failed, first.difference) == ((0.5, 0.7), 1, None)
    assert second.difference.pairs == 2
    assert second.difference.mean == pytest.approx(0.075)


def test_a_row_that_failed_everywhere_is_called_failed(tmp_path):
    results = [result("original", 0, 0.5), result("cut<mix", 0, None, error="it | broke")]
    write_report(tmp_path, plan("original", "cut<mix", seeds=[0]), results)
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    assert "| cut<mix | failed | 0, 1 failed |" in text
    assert r"failed: it \| broke" in text
    assert "cut&lt;mix" in page
    assert "cut<mix" not in page


def test_the_commit_is_read_from_any_kind_of_checkout(tmp_path):
    git, value = tmp_path / ".git", "a" * 40
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n")
    (git / "packed-refs").write_text(f"# pack-refs\n{'b' * 40} refs/heads/main2\n{value} refs/heads/main\n")
    assert commit.__wrapped__(tmp_path) == value
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "refs" / "heads" / "main").write_text("c" * 40)
    assert commit.__wrapped__(tmp_path) == "c" * 40
    (git / "HEAD").write_text(value)
    assert commit.__wrapped__(tmp_path) == value
    assert commit.__wrapped__(tmp_path / "nowhere") is None


def test_a_changed_module_is_another_source(tmp_path):
    (tmp_path / "a.py").write_text("x = 1")
    first = source_hash.__wrapped__(tmp_path)
    (tmp_path / "a.py").write_text("x = 2")
    assert source_hash.__wrapped__(tmp_path) != first
