"""The headline: completions to reach the reference's level, by interpolation, with an interval that says what is not known."""

import json

import numpy as np
import pytest
from scipy.optimize import isotonic_regression

from iapo_core.bench.cells import COVERAGE
from iapo_core.bench.reach import _monotone, reach_table, reaches
from iapo_core.bench.summary import summarise
from iapo_core.cli import main
from iapo_core.outputs.budgets import budget_curves, draw_budget_curves, regret_curves, round_ticks, screening_curves
from iapo_core.outputs.reach import draw_reached, reached

BUDGETS = (100, 1_000, 10_000)


def rows(curves, *, n_runs=40, noise=0.0, name="env", is_simulated=False):
    """Rows of a sweep with the given mean ACR per algorithm and budget; noise is shared by the algorithms of a run."""
    rng = np.random.default_rng(0)
    shifts = rng.normal(0, noise, n_runs) if noise else np.zeros(n_runs)
    return [
        {
            "environment": name, "algorithm": label, "budget": budget, "run": run, "spent": budget * (label != "oracle"),
            "acr": acr + shifts[run] + (rng.normal(0, noise) if noise else 0.0), "limit": 0.9 + shifts[run], "is_simulated": is_simulated,
            "wall_s": 0.01, **dict.fromkeys(COVERAGE, 0),
        }
        for label, means in curves.items() for budget, acr in zip(BUDGETS, means, strict=True) for run in range(n_runs)
    ]  # fmt: skip


def test_the_level_is_interpolated_in_the_logarithm():
    (one,) = reaches(rows({"psst": (0.5, 0.6, 0.7), "fast": (0.6, 0.8, 0.8)}), "psst")
    # 0.7 is half way from 0.6 to 0.8: half way from log 100 to log 1000
    assert one.completions == pytest.approx(10**2.5)
    assert one.ratio == pytest.approx(10**1.5)
    assert (one.low, one.high) == pytest.approx((10**2.5, 10**2.5))  # runs that all agree leave no doubt
    assert "31.6 x fewer" in one.words


@pytest.mark.parametrize(
    ("curve", "words"),
    [
        ((0.7, 0.8, 0.8), "at most 100 [100, 100] (at least 100.0 x fewer)"),
        ((0.5, 0.6, 0.69), "not within 10,000"),
        ((0.5, 0.6, 0.7), "10,000 [10,000, 10,000] (1.0 x fewer)"),
    ],
)
def test_what_lies_outside_of_the_budgets_is_not_guessed(curve, words):
    (one,) = reaches(rows({"psst": (0.5, 0.6, 0.7), "other": curve}), "psst")
    assert one.words == words
    assert words in "\n".join(reach_table([one]))


def test_noise_between_budgets_does_not_decide():
    """A dip pools with its neighbour: 0.72 and 0.66 count as 0.69, so the level 0.7 is not reached at 100."""
    (one,) = reaches(rows({"psst": (0.5, 0.6, 0.7), "bumpy": (0.72, 0.66, 0.8)}), "psst")
    assert one.completions > 1_000
    rng = np.random.default_rng(0)
    for _ in range(100):
        values = rng.normal(size=rng.integers(1, 9))
        assert _monotone(values) == pytest.approx(isotonic_regression(values).x)


def test_the_interval_covers_and_widens_with_noise():
    truth = 10**2.5
    found = [
        reaches(rows({"psst": (0.5, 0.6, 0.7), "fast": (0.6, 0.8, 0.85)}, noise=noise, n_runs=60), "psst")[0]
        for noise in (0.02, 0.08)
    ]
    assert all(one.low <= one.completions <= one.high for one in found)
    assert found[0].low <= truth <= found[0].high
    assert found[1].high / found[1].low > found[0].high / found[0].low


def test_only_runs_that_both_have_are_compared():
    made = rows({"psst": (0.5, 0.6, 0.7), "fast": (0.6, 0.8, 0.8)}, noise=0.05)
    (whole,) = reaches([row for row in made if row["run"] < 10], "psst")
    (part,) = reaches([row for row in made if row["algorithm"] == "psst" or row["run"] < 10], "psst")
    assert part == whole
    assert part.n_runs == 10
    assert reaches([row for row in made if (row["run"] < 10) == (row["algorithm"] == "psst")], "psst") == []


def test_what_spends_nothing_has_no_place():
    assert reaches(rows({"psst": (0.5, 0.6, 0.7), "oracle": (0.8, 0.8, 0.8)}), "psst") == []
    assert reach_table([]) == []


def test_figures_say_what_was_found():
    made = rows(
        {"psst": (0.5, 0.6, 0.8), "psst-topk[k=4]": (0.6, 0.65, 0.7), "oracle": (0.9, 0.9, 0.9)}, noise=0.002, is_simulated=True
    )
    (record,) = budget_curves(summarise(made, "psst"), "psst")
    assert record.title == "psst leads at 10,000 completions"
    screened = screening_curves(record)
    assert screened.title == "The best Top-K is ahead of psst at 100 completions, behind it at 10,000"
    assert "regret of" in regret_curves(record).title
    headline = reached(reaches(made, "psst"))["env"]
    assert headline.title == "No other algorithm reaches what psst has with 10,000 completions"
    for theme in ("light", "dark"):
        for shown in (record, screened, regret_curves(record)):
            figure = draw_budget_curves(shown, theme)
            assert "SIMULATED" in figure.layout.title.subtitle.text
            assert len(figure.data) == 2
            assert all((np.asarray(trace.error_y.array) > 0).all() for trace in figure.data)
        assert "SIMULATED" in draw_reached(headline, theme).layout.title.subtitle.text
    frame = record.table()
    assert {"± SEM", "regret", "completions spent", "Wilcoxon p against psst", "median ms"} <= set(frame.columns)
    assert screening_curves(budget_curves(summarise(rows({"psst": (1, 1, 1)}), "psst"), "psst")[0]) is None


def test_significance_is_marked():
    made = rows({"psst": (0.5, 0.6, 0.7), "same": (0.5, 0.6, 0.7), "less": (0.4, 0.5, 0.6)}, noise=0.01)
    for row in made:  # the same but for a little noise without direction
        if row["algorithm"] == "same":
            row["acr"] = (
                next(r["acr"] for r in made if (r["algorithm"], r["budget"], r["run"]) == ("psst", row["budget"], row["run"]))
                + 1e-3 * (-1) ** row["run"]
            )
    (record,) = budget_curves(summarise(made, "psst"), "psst")
    symbols = {trace.name: set(trace.marker.symbol) for trace in draw_budget_curves(record, "light").data}
    assert all(symbol.endswith("-open") for symbol in symbols["same"])
    assert not any(symbol.endswith("-open") for symbol in symbols["less"] | symbols["psst"])


def test_ticks_are_round():
    assert round_ticks([480.0, 20_000.0]) == [500, 1_000, 2_000, 5_000, 10_000, 20_000]
    assert round_ticks([]) == []


def test_the_command_prints_the_headline_and_writes_a_page(tmp_path, capsys):
    small = "synth-bernoulli:1:prompts=4,queries=20,n_max=4"
    command = ["bench", small, "--algorithms", "psst,psst-topk[k=1],psst-eb", "--budgets", "40,90", "--runs", "4"]
    command += ["--executor", "local:1", "--out", str(tmp_path / "x.parquet"), "--html", str(tmp_path / "x.html")]
    assert main(command) == 0
    assert "completions to reach ACR" in capsys.readouterr().out
    page = (tmp_path / "x.html").read_text(encoding="utf-8")
    assert page.count('role="img"') == 4  # headline, Figures 4 and 5, regret
    assert '"light"' in page
    assert '"dark"' in page
    assert "SIMULATED" in page
    assert main([*command, "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["algorithm"] for line in found if line["kind"] == "reach"] == ["psst-topk[k=1]", "psst-eb"]
    assert all(line["reference"] == "psst" for line in found if line["kind"] == "reach")
