"""The rules of the diagnosis, on numbers made up for them; on real training see tests/shared/recur/callbacks."""

import math

import pandas as pd
import pytest

from recur.gradients.diagnosis import diagnose
from recur.gradients.records import Record, table

pytestmark = pytest.mark.slow

STEPS = range(1, 402, 20)


def numbers(layer, kind, quantity, value):
    """A row a step: the number, or what a function gives for the step."""
    return [Record(s, layer, kind, quantity, None, value(s) if callable(value) else value) for s in STEPS]


def recurrent(rate, gated, steps=50, lags=32):
    """What a recurrent layer shows through which a gradient is carried at some rate a step."""
    rows = [Record(s, "rnn", "state", "carried", k, rate**k) for s in STEPS for k in range(lags)]
    rows += numbers("rnn", "state", "steps", steps) + numbers("rnn", "activations", "saturated", 0.1)
    return rows + (numbers("rnn", "gates", "saturated", 0.1) if gated else [])


def names(rows):
    return [finding.name for finding in diagnose(table(rows))]


HEALTHY = [
    *recurrent(0.9, gated=False),
    *numbers("dense", "kernel", "update_ratio", lambda step: 0.03 / step**0.5),
    *numbers("dense", "kernel", "weight_norm", lambda step: 1 + step / 100),
    *numbers("dense", "kernel", "dead_units", 0.2),
    *numbers("dense", "bias", "dead_units", 0.0),
    *numbers("", "model", "gradient_norm", lambda step: 100 / step),
    *numbers("", "model", "learning_rate", 1e-3),
]
PLANTED = [
    ("vanishing gradient", "rnn", recurrent(0.5, gated=False)),
    ("vanishing gradient", "rnn", recurrent(0.2, gated=True)),
    ("exploding gradient", "rnn", recurrent(1.2, gated=True)),
    ("exploding gradient", "rnn",
     [*recurrent(0.9, False), Record(1, "rnn", "recurrent_kernel", "spectral_radius", 0, 1.6)]),
    ("exploding gradient", "", numbers("", "model", "gradient_norm", lambda step: 1e6 if step > 100 else 1)),
    ("saturated gates", "rnn", numbers("rnn", "gates", "saturated", 0.9)),
    ("dead units", "dense", numbers("dense", "kernel", "dead_units", 0.6)),
    ("learning rate too high", "", numbers("dense", "kernel", "update_ratio", 0.2)
     + numbers("dense", "kernel", "weight_norm", 1)),
    ("learning rate too high", "", numbers("dense", "kernel", "update_ratio", 0.02)
     + numbers("dense", "kernel", "weight_norm", lambda step: 1 + step)),
    ("learning rate too low", "", numbers("dense", "kernel", "update_ratio", 1e-6)
     + numbers("dense", "kernel", "weight_norm", 1)),
    ("non-finite gradient", "",
     [Record(21, "", "model", "not_finite", None, 1), Record(21, "dense", "kernel", "not_finite", None, 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "layer", "rows"), PLANTED)
def test_each_fault_is_named_once_with_its_evidence(name, layer, rows):
    (finding,) = diagnose(table(rows))
    assert (finding.name, finding.layer) == (name, layer)
    assert finding.step <= 121
    assert any(character.isdigit() for character in finding.evidence)
    assert finding.remedy.endswith(".")
    assert str(finding).count("\n") == 0


@pytest.mark.parametrize(("name", "layer", "rows"), PLANTED)
def test_a_finished_run_says_what_was_said_while_it_trained(name, layer, rows):
    whole, said = diagnose(table(rows)), []
    for end in STEPS:
        now = diagnose(table([row for row in rows if row.step <= end]))
        said += [finding for finding in now if finding not in said]
    assert said == whole


def test_a_healthy_run_is_silent():
    assert names(HEALTHY) == []
    assert names(HEALTHY[:1]) == []
    assert diagnose(table([])) == []


def test_initialised_gated_cells_are_no_fault():
    assert names(recurrent(0.73, gated=True, steps=400)) == []
    assert names(recurrent(0.5, gated=True, steps=400)) == []


def test_a_short_sequence_has_nothing_to_vanish_over():
    assert names(recurrent(0.5, gated=False, steps=8, lags=8)) == []
    assert names(recurrent(0.5, gated=False, steps=2, lags=2)) == []


def test_what_underflows_has_vanished():
    rows = recurrent(0.01, gated=False)
    rows = [row._replace(value=0.0) if row.quantity == "carried" and row.index > 9 else row for row in rows]
    assert names(rows) == ["vanishing gradient"]


def test_numbers_that_are_not_finite_are_no_other_fault():
    broken = [row._replace(value=math.nan) if row.step > 1 and row.index != 0 else row for row in HEALTHY]
    assert names(broken) == []


def test_the_layer_that_is_dead_is_named_and_not_those_behind_it():
    shares = {"a": 1, "b": 1, "c": 0.5, "d": 0}
    rows = [row for layer, share in shares.items() for row in numbers(layer, "bias", "dead_units", share)]
    assert [finding.layer for finding in diagnose(table(rows))] == ["b", "c"]


def test_a_rate_that_falls_at_the_end_is_not_too_low():
    rows = numbers("dense", "kernel", "update_ratio", lambda step: 1e-3 if step < 250 else 1e-7)
    assert names(rows + numbers("dense", "kernel", "weight_norm", 1)) == []


def test_steps_that_become_small_after_learning_are_not_too_small():
    converged = numbers("dense", "kernel", "update_ratio", lambda step: 1e-2 if step < 60 else 1e-6)
    at_once = numbers("dense", "kernel", "update_ratio", lambda step: 1e-2 if step < 20 else 1e-6)
    faded = numbers("", "model", "gradient_norm", lambda step: 1 if step < 20 else 1e-4)
    norm = numbers("dense", "kernel", "weight_norm", 1)
    assert names(converged + norm) == []
    assert names(at_once + norm + faded) == []
    assert names(at_once + norm) == ["learning rate too low"]


def test_a_kernel_that_begins_at_zero_may_grow():
    rows = numbers("dense", "kernel", "update_ratio", lambda step: 1 if step == 1 else 0.01)
    rows += numbers("dense", "kernel", "weight_norm", lambda step: 0.01 * step)
    assert names(rows) == ["learning rate too high"]
    rows.append(Record(1, "dense", "kernel", "usual_norm", None, 2.0))
    assert names(rows) == []
    rows += numbers("dense", "kernel", "weight_norm", lambda step: 0.01 + 0.5 * step)
    assert names(rows) == ["learning rate too high"]


def test_kernels_that_are_zero_at_every_step_have_not_grown():
    rows = [*numbers("dense", "kernel", "update_ratio", 1e-3), *numbers("dense", "kernel", "weight_norm", 0.0)]
    assert names(rows) == []


@pytest.mark.parametrize("later", [0.0, 1e-7])
def test_one_gradient_after_convergence_is_no_explosion(later):
    rows = numbers("", "model", "gradient_norm", lambda step: 1 if step < 20 else 0.1 if step == 381 else later)
    assert names(rows) == []


def test_it_takes_a_table_read_from_a_file():
    frame = table(HEALTHY)
    assert diagnose(frame.sample(frac=1, random_state=0).sort_values("step", kind="stable")) == []
    assert isinstance(frame, pd.DataFrame)
