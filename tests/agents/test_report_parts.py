"""The pieces of a report: markup that holds, curves over all rounds, charts, M's reliability, paired differences."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from agents.reports import charts, pictures, released, scores, words
from agents.reports.curves import MOST, Point, curves, thinned
from agents.reports.markup import Markup, joined, table, tag
from agents.reports.reading import episodes_of, number, numbers, read_run, within
from agents.reports.reliability import falls
from agents.reports.studio import EDGES, calibration, wilson, worst_of
from rollouts.errors import UserError
from rollouts.runs.files import write_json, write_json_lines
from rollouts.runs.layout import Run
from rollouts.runs.stage import MADE_BY


def test_what_is_no_markup_is_escaped():
    assert (
        tag("p", "a < b & c", title='"x"', hidden=True, lang=None)
        == '<p title="&quot;x&quot;" hidden>a &lt; b &amp; c</p>'
    )
    assert tag("p", tag("b", 1), ["<i>", None, Markup("<br>")]) == "<p><b>1</b>&lt;i&gt;<br></p>"
    assert joined(tag("img", src="x", aria_label="'")) == '<img src="x" aria-label="&#x27;">'


def test_columns_of_numbers_stand_on_the_right():
    shown = table(("name", "count"), [("<b>", "1,234"), ("x", "–")], "things", sortable=True)
    assert shown.count('<td class="number">') == 2
    assert "&lt;b&gt;" in shown
    assert shown.count("<button") == 2


@pytest.mark.parametrize(("value", "known"), [(3, 3.0), (0.5, 0.5), (True, None), ("3", None), (float("nan"), None)])
def test_only_finite_numbers_are_numbers(value: Any, known: float | None):
    assert number(value) == known


def test_lists_with_anything_else_hold_no_numbers():
    assert numbers([1, 2.5]) == [1.0, 2.5]
    assert numbers([1, "x"]) == numbers("12") == numbers(None) == []
    assert within({"a": {"b": 2}}, "a", "b") == 2
    assert within({"a": 3}, "a", "b") is None
    assert episodes_of({"episodes": [{"seed": 1, "return": 2, "length": 3}, {"seed": 1}, 5]}) == [(1, 2.0, 3)]
    assert episodes_of({"episodes": "none"}) == []


def stage(run: Run, name: str, config: dict[str, Any], log: list[dict[str, Any]], complete: bool = True) -> None:
    own = getattr(run, name)
    own.path.mkdir(parents=True)
    write_json(own.manifest_file, {"format": 1, "stage": name, "complete": complete, "seconds": 60.0})
    write_json(own.config_file, config)
    write_json_lines(own.history if name == "controller" else own.metrics, log)


def test_curves_of_rounds_follow_each_other_and_clocks_that_began_anew_add_up(tmp_path: Path):
    run = Run(tmp_path / "car")
    log = [{"step": 10, "kl": 1.0, "seconds": 36.0}, {"step": 20, "kl": 2.0, "seconds": 18.0}]
    for round_ in (run, run.round(1)):
        stage(round_, "vae", {"batch_size": 8}, log)
        write_json_lines(round_.vae.held_out, [{"step": 20, "kl": 9.0}])
    curve = curves(read_run(run.path), "vae")["kl"]
    assert [(p.step, p.frames, p.hours, p.value) for p in curve.points] == [
        (10, 80, 0.01, 1.0),
        (20, 160, 0.015, 2.0),
        (30, 240, pytest.approx(0.025), 1.0),
        (40, 320, pytest.approx(0.03), 2.0),
    ]
    assert [(p.step, p.value) for p in curve.held_out] == [(20, 9.0), (40, 9.0)]
    assert [(p.round, p.step) for p in curve.starts] == [(1, 20)]


def test_generations_count_steps_of_the_world_and_of_the_dream(tmp_path: Path):
    log = [
        {"generation": 0, "fitness": [1.0, 3.0], "steps": 100, "seconds": 3.6, "initial_validation_steps": 5},
        {"generation": 1, "fitness": [2.0, 6.0], "steps": 100, "seconds": 3.6, "validation": 4.0, "validation_sd": 1.0,
         "validation_steps": 50, "validation_seconds": 3.6, "sigma": 0.5},
    ]  # fmt: skip
    run = Run(tmp_path / "dreamer")
    stage(run, "controller", {"world": "dream"}, log)
    known = curves(read_run(run.path), "controller")
    assert [(p.value, p.low, p.high) for p in known["fitness"].points] == [(2.0, 1.0, 3.0), (4.0, 2.0, 6.0)]
    assert [p.frames for p in known["fitness"].points] == [105, 255]
    (score,) = known["validation"].points
    assert (score.step, score.low, score.high, score.hours) == (2, 3.0, 5.0, pytest.approx(0.003))
    assert set(known) == {"fitness", "validation", "sigma"}


def test_long_curves_are_averages_over_neighbours():
    points = [Point(0, i, i, i, float(i), i - 1.0, i + 1.0) for i in range(10 * MOST)]
    thin = thinned(points)
    assert len(thin) == MOST
    assert (thin[0].value, thin[0].low, thin[0].high) == (4.5, -1.0, 10.0)
    assert thinned(points[:MOST]) == points[:MOST]


@pytest.mark.parametrize(
    ("low", "high", "ticks"), [(0, 10, [0, 2.5, 5, 7.5, 10]), (0.1, 0.32, [0.1, 0.2, 0.3]), (-3, 3, [-2, 0, 2])]
)
def test_ticks_are_round_numbers_within_the_range(low: float, high: float, ticks: list[float]):
    axis = charts.linear(low, high, 0, 100)
    assert list(axis.ticks) == pytest.approx(ticks)
    assert (axis(low), axis(high)) == (0, 100)


def test_a_range_without_width_and_no_values_are_drawn():
    assert "<svg" in charts.lines("flat", [charts.Line("x", [1, 1], [5, 5])], "step")
    assert "Nothing was logged" in charts.lines("none", [charts.Line("x", [], [])], "step")
    assert "<svg" in charts.histogram("one", [3.0], "return", 3.0, (3.0, 3.0))


def test_many_powers_of_ten_are_logarithmic_and_negative_values_never():
    steep = charts.lines("loss", [charts.Line("x", [1, 2, 3], [1, 10, 100])], "step")
    assert "heights are logarithmic" in steep
    heights = [float(place.split(",")[1]) for place in steep.split('d="M')[1].split('"')[0].split()]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.2)
    assert "logarithmic" not in charts.lines("loss", [charts.Line("x", [1, 2], [-1, 100])], "step", log=True)


def test_values_under_the_pointer_are_those_of_the_curve():
    drawn = charts.lines("loss", [charts.Line("<x>", [1, 2], [3.14159265, 4])], "step")
    held = drawn.split('data-chart="')[1].split('"')[0].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">")
    assert json.loads(held)["lines"] == [["<x>", 0, [1, 2], [3.1416, 4]]]


def test_a_calibrated_forecast_lies_on_the_line():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 1, 200_000) ** 4
    points = calibration(p, rng.uniform(0, 1, len(p)) < p)
    assert sum(count for *_, count in points) == len(p)
    assert len(points) == len(EDGES) - 1
    for predicted, frequency, low, high, count in points:
        assert abs(predicted - frequency) < 5 * (predicted / count) ** 0.5
        assert low <= frequency <= high
    assert calibration([1.0, 0.0], [True, False]) == [
        (0.0, 0.0, 0.0, pytest.approx(0.7935, abs=1e-4), 1),
        (1.0, 1.0, pytest.approx(0.2065, abs=1e-4), 1.0, 1),
    ]


@pytest.mark.parametrize(
    ("hits", "count", "interval"), [(0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634)), (10, 10, (0.7225, 1.0))]
)
def test_intervals_of_shares_are_wilsons(hits: int, count: int, interval: tuple[float, float]):
    assert wilson(hits, count) == pytest.approx(interval, abs=1e-4)  # as in textbooks


def test_the_worst_pictures_and_patches_are_found_and_lie_apart():
    frames, copies = np.zeros((2, 60, 64, 64, 3), np.uint8)
    frames[20] = 100
    frames[21] = 90  # beside it: the same moment
    frames[50, 40:56, 16:32] = 255
    worst = worst_of(frames, copies, count=3)
    assert worst.frames[0].max() == 100
    assert (worst.frames[1] == frames[50]).all()
    assert worst.errors[0] == pytest.approx(64 * 64 * 3 * (100 / 255) ** 2, rel=1e-4)
    assert 90 not in worst.frames
    assert (worst.patches[0] == 255).all()
    assert worst.typical == 0


def test_differences_are_of_the_same_seeds():
    one, other = (
        {"episodes": [{"seed": s, "return": value, "length": 9} for s, value in pairs]}
        for pairs in ([(0, 1.0), (1, 2.0), (2, 9.0)], [(2, 10.0), (0, 5.0), (7, 0.0)])
    )
    assert scores.paired(one, other) == [1.0, 4.0]


def test_rows_of_frames_have_clear_gaps():
    strip = pictures.strip(np.full((3, 4, 5, 3), 7, np.uint8))
    assert strip.shape == (4, 3 * 5 + 2 * pictures.GAP, 4)
    assert strip[..., 3].sum() == 255 * 3 * 4 * 5


def test_only_pictures_are_taken_over(tmp_path: Path):
    file = tmp_path / "dream.png"
    assert pictures.stored(file, "a dream") is None
    file.write_bytes(b"<svg onload=alert(1)>")
    assert pictures.stored(file, "a dream") is None
    content = io.BytesIO()
    Image.new("RGB", (4, 3)).save(content, "JPEG")
    file.write_bytes(content.getvalue())
    assert pictures.stored(file, "a dream") is None
    Image.new("RGB", (4, 3)).save(file)
    assert 'alt="&quot;&gt;"' in (pictures.stored(file, '">') or "")


def test_the_card_of_a_release_tells_its_making():
    run = read_run("pretrained/carracing")
    rows = released.card_rows(run)
    assert released.is_release(run)
    assert sum(row.environment_steps for row in rows) == 7_138_216  # as its card adds up
    assert sum(row.seconds for row in rows) == pytest.approx(45 * 60, abs=30)
    assert any("--preset laptop" in line for line in released.card_commands(run))


def test_every_stage_has_a_name():
    assert words.STAGES.keys() == MADE_BY.keys()


def test_no_run_is_said_so(tmp_path: Path):
    with pytest.raises(UserError, match="There is no run at"):
        read_run(tmp_path / "nowhere")


def test_falls_of_a_watched_variable_are_drawn_where_m_foresees_them():
    curve = [
        {"from": 0.0, "to": 0.001, "steps": 900, "foreseen": 0.0004, "happened": 0.0},
        {"from": 0.1, "to": 0.2, "steps": 20, "foreseen": 0.15, "happened": 0.2},
    ]
    drawn = str(falls({"calibration": {"fall": {"expected": 3.36, "happened": 4, "curve": curve}}}))
    assert "it expected 3.4 falls, and 4 happened" in drawn
    assert drawn.count("<circle") == 2
    assert "probability of a fall" in drawn
    assert falls({"calibration": {"end": {"curve": curve}}}) is None
    assert falls({}) is None
