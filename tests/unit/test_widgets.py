"""Every widget of the register: all states draw, the same state draws the same, each control shows, and fast."""

import json
import statistics
import time

import ipywidgets
import numpy as np
import pytest
from widget_states import STORED, every_value, states, summaries, summary, values

from seglab.viz import CORRECT, FALSE, LABEL_COLORS, MISSED
from seglab.widgets import REGISTER, Panel

LIMIT = 0.150       # s from a slider's move to the new PNG, on two cores


@pytest.fixture(scope="module", params=REGISTER)
def widget(request):
    return request.param, REGISTER[request.param].build()


def test_every_state_draws_and_draws_the_same_again(widget):
    name, panel = widget
    drawn = {}
    for state in states(panel):
        picture = panel.draw(**state)
        assert isinstance(picture, np.ndarray) and picture.dtype == np.uint8, (name, state)
        assert picture.ndim == 3 and picture.shape[2] == 3 and picture.std() > 1, (name, state)
        drawn[tuple(state.items())] = picture.tobytes()
    for state in reversed(list(states(panel))):           # in another order: nothing is remembered from state to state
        assert panel.draw(**state).tobytes() == drawn[tuple(state.items())], (name, state)
    first = {c: control.value for c, control in panel.controls.items()}
    for control in panel.controls:
        seen = {drawn[tuple(s.items())] for s in states(panel)
                if {k: v for k, v in s.items() if k != control} == {k: v for k, v in first.items() if k != control}}
        assert len(seen) > 1, f"{name}: no value of {control} changes the picture"


def test_pictures_are_as_summarised(widget):
    name, panel = widget
    stored, now = json.loads(STORED.read_text())[name], summaries(panel)
    assert stored.keys() == now.keys(), f"{name}: other controls or ranges; look at it, then run widget_states.py"
    for state, numbers in now.items():
        worst = max(abs(a - b) for a, b in zip(numbers, stored[state], strict=True))
        assert worst <= 4, f"{name} at {state}: a block of the picture changed by {worst} grey levels"


def test_a_move_repaints_fast_and_once(widget):
    name, panel = widget
    frames = []
    panel.image.observe(lambda change: frames.append(change.new), "value")
    for key, control in panel.controls.items():
        first, times = control.value, []
        for value in [v for v in values(control) if v != first][:3]:
            for target in (value, first):
                frames.clear()
                start = time.perf_counter()
                control.value = target
                times.append(time.perf_counter() - start)
                assert len(frames) <= 1, f"{name}: {key} repaints {len(frames)} times a move, which flickers"
        # the least disturbed of each kind of move: this machine may be busy; `make bench` publishes medians
        assert min(times) < LIMIT, f"{name}: {key} repaints in {statistics.median(times) * 1e3:.0f} ms"
    panel.image.unobserve_all()
    assert panel.error.value == ""


def test_controls_are_labelled_and_can_be_reached_with_the_keyboard(widget):
    name, panel = widget
    labels = [control.description for control in panel.controls.values()]
    assert all(labels) and len(set(labels)) == len(labels), (name, labels)
    for control in panel.controls.values():
        assert control.tabbable is not False and not control.disabled, (name, control.description)


def test_a_still_picture_and_a_way_back_are_on_the_page(widget):
    name, panel = widget
    bundle, metadata = panel._repr_mimebundle_()
    assert len(bundle["image/png"]) > 500 and metadata["image/png"]["width"] == panel.width
    assert "kernel was restarted" in panel.children[-1].value


def test_summary_tells_pictures_apart_and_every_value_has_both_ends():
    picture = np.zeros((30, 60, 3), np.uint8)
    other = picture.copy()
    other[:10, :10] = 9
    assert summary(picture) == [0] * 18 and summary(other)[0] == 9
    slider = ipywidgets.FloatSlider(min=0.1, max=0.9, step=0.2, description="x")
    assert every_value(slider) == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert every_value(ipywidgets.IntSlider(min=2, max=7, step=2)) == [2, 4, 6]
    assert values(ipywidgets.IntSlider(min=0, max=100)) == [0, 25, 50, 75, 100]


def test_a_control_without_a_description_is_refused():
    with pytest.raises(ValueError, match="description, got none for level"):
        Panel(lambda level: np.zeros((4, 4, 3), np.uint8), level=ipywidgets.IntSlider())


# Machado, Oliveira and Fernandes (2009), severity 1.0: linear RGB of a normal eye -> as seen with the deficiency
SEEN_AS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab_as_seen(colors, kind):
    from skimage.color import rgb2lab

    srgb = np.asarray(colors, float) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(SEEN_AS[kind]).T, 0, 1)
    return rgb2lab(np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)[None])[0]


def least_difference(colors, kind):
    lab = lab_as_seen(colors, kind)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return apart[~np.eye(len(lab), dtype=bool)].min()


@pytest.mark.parametrize("kind", SEEN_AS)
def test_colours_stay_apart_for_the_colour_blind(kind):
    assert least_difference([(0, 0, 0), CORRECT, MISSED, FALSE, (255, 255, 255)], kind) > 15
    assert least_difference(LABEL_COLORS[:5], kind) > 15          # background and the first four labels
    assert least_difference([(0, 160, 0), (190, 90, 0)], "deuteranopia") < 15   # a green and a brown that do not
