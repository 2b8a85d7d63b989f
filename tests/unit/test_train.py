"""Training: same seed same run, resume equals never having stopped, and the last good state is never lost."""

import json
import os
import resource
import signal
import subprocess
import sys
from functools import partial

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from seglab.claims import replicate
from seglab.train import fit, load_weights, save_weights, step_seed


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(0.2),
                         nn.Conv2d(4, 2, 1))


def batch(generator):
    images = torch.rand(2, 1, 8, 8, generator=generator)
    return images, (images[:, 0] > 0.5).long()


def loss(model, images, target):
    return F.cross_entropy(model(images), target)


def run(steps=12, **kwargs):
    model = make_model()
    return model, fit(model, batch, loss, steps=steps, **kwargs)


def accuracy(model):
    images, target = batch(torch.Generator().manual_seed(99))
    return {"accuracy": (model(images).argmax(1) == target).float().mean()}


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_same_seed_same_run_and_other_seed_another():
    (a, first), (b, second), (_, third) = run(), run(), run(seed=1)
    assert first.loss == second.loss and same(a, b)
    assert first.loss != third.loss


def test_learns():
    _, history = run(300, lr=0.03)
    assert sum(history.loss[-10:]) < 0.5 * sum(history.loss[:10])


def test_validation_is_recorded_in_eval_mode_at_the_steps_asked_for():
    modes = []

    def validate(model):
        modes.append(model.training)
        return accuracy(model)

    model, history = run(10, validate=validate, validate_every=4)
    assert [v["step"] for v in history.validation] == [4, 8, 10]
    assert modes == [False] * 3 and not model.training


def press():
    os.kill(os.getpid(), signal.SIGINT)


def disturbed(at, what, draw=batch):
    """`batch` that does `what` before it draws its batch number `at` (from 0)."""
    calls = iter(range(1000))

    def drawn(generator):
        if next(calls) == at:
            what()
        return draw(generator)

    return drawn


def boom():
    raise RuntimeError("the machine went away")


def stored(path):
    """Weights, losses and the bare metadata of a checkpoint, read without the package."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["seglab"])
    return {name: value for name, value in load_file(path).items() if name.startswith("model.")}, facts["history"]


@pytest.mark.parametrize("stop_at", [0, 4, 10, 11])
def test_an_interrupted_run_resumes_to_the_same_history_and_weights(tmp_path, stop_at):
    whole, expected = run(validate=accuracy, validate_every=3)
    path = tmp_path / "run.safetensors"
    arguments = {"steps": 12, "checkpoint": path, "validate": accuracy, "validate_every": 3}
    with pytest.raises(KeyboardInterrupt, match=f"after step {stop_at + 1} of 12; call fit again to go on from run.saf"):
        fit(make_model(), disturbed(stop_at, press), loss, **arguments)
    assert len(stored(path)[1]["loss"]) == stop_at + 1
    fresh = make_model()
    history = fit(fresh, batch, loss, **arguments)
    assert history.loss == expected.loss and history.validation == expected.validation
    assert same(fresh, whole)


@pytest.mark.parametrize("kept", [True, False])
def test_no_experiment_ever_sees_a_net_that_is_trained_by_half(tmp_path, kept):
    finished = []

    def experiment(seed):
        checkpoint = tmp_path / f"{seed}.safetensors" if kept else None
        history = fit(make_model(), disturbed(3, press if seed == 1 else bool), loss, steps=6, checkpoint=checkpoint)
        finished.append(seed)
        return {"loss": history.loss[-1]}

    with pytest.raises(KeyboardInterrupt, match="call fit again" if kept else "pass checkpoint= to be able to go on"):
        replicate(experiment, range(3))
    assert finished == [0]


def test_one_press_finishes_the_step_and_a_second_does_not(tmp_path):
    def twice():
        press()
        press()
        pytest.fail("the second press was not obeyed")

    after, _ = run(4)
    path = tmp_path / "run.safetensors"
    model = make_model().train()
    with pytest.raises(KeyboardInterrupt):
        fit(model, disturbed(4, twice), loss, steps=12, checkpoint=path)
    assert same(model, after) and model.training and len(stored(path)[1]["loss"]) == 4


def test_not_even_two_presses_leave_half_an_update(tmp_path):
    class Pressed(torch.optim.SGD):
        def step(self, *args, **kwargs):
            press()
            press()
            return super().step(*args, **kwargs)

    after, _ = run(1, optimizer=torch.optim.SGD)
    model = make_model()
    with pytest.raises(KeyboardInterrupt, match="after step 1 of 12"):
        fit(model, batch, loss, steps=12, optimizer=Pressed)
    assert same(model, after)


def test_the_stop_button_works_again_after_fit():
    before = signal.getsignal(signal.SIGINT)
    run(2)
    assert signal.getsignal(signal.SIGINT) is before


class Failing(torch.optim.Adam):
    """Fails in its sixth step, after the weights have been changed."""

    def step(self, *args, **kwargs):
        self.calls = getattr(self, "calls", 0) + 1
        super().step(*args, **kwargs)
        if self.calls == 6:
            boom()


Failing.__name__ = "Adam"                                 # what its checkpoint goes on with


def failing_loss():
    calls = iter(range(100))

    def failing(model, images, target):
        value = loss(model, images, target)              # the running means have moved
        return boom() if next(calls) == 5 else value

    return failing


def failing_validation(model):
    return boom()


FAILURES = {"batch": {"batch": lambda: disturbed(5, boom)}, "loss": {"loss": failing_loss},
            "optimizer": {"optimizer": lambda: Failing},
            "validate": {"validate": lambda: failing_validation, "validate_every": lambda: 6}}


@pytest.mark.parametrize("checkpointed", [True, False])
@pytest.mark.parametrize("where", FAILURES)
def test_an_error_loses_no_more_than_the_step_under_way(tmp_path, where, checkpointed):
    after_five, _ = run(5)
    whole, expected = run()
    model, path = make_model(), tmp_path / "run.safetensors"
    arguments = {"model": model, "batch": batch, "loss": loss, "steps": 12, "checkpoint": path if checkpointed else None}
    with pytest.raises(RuntimeError, match="went away") as error:
        fit(**arguments | {name: make() for name, make in FAILURES[where].items()})
    assert same(model, after_five)
    if checkpointed:
        assert error.value.__notes__ == ["run.safetensors keeps the state after 5 of 12 steps; call fit again to go on"]
        fresh = make_model()
        assert fit(fresh, batch, loss, steps=12, checkpoint=path).loss == expected.loss and same(fresh, whole)
    assert not list(tmp_path.glob(".*"))


def test_an_error_before_the_first_step_of_a_resumed_run_leaves_its_file(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    run(5, checkpoint=path)
    before = path.read_bytes()
    monkeypatch.setattr("seglab.train.progress", lambda *args: boom())
    with pytest.raises(RuntimeError, match="went away"):
        run(12, checkpoint=path)
    assert path.read_bytes() == before


SCRIPT = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from test_train import *
{body}
"""


def script(body, **kwargs):
    folder = os.path.dirname(__file__)
    return subprocess.run([sys.executable, "-c", SCRIPT.format(folder=folder, body=body)], capture_output=True,
                          text=True, timeout=300, **kwargs)


def test_a_killed_process_loses_the_steps_since_the_last_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    done = script("fit(make_model(), disturbed(9, lambda: os.kill(os.getpid(), signal.SIGKILL)), loss, steps=12, "
                  f"checkpoint={str(path)!r}, checkpoint_every=4)")
    assert done.returncode == -signal.SIGKILL, done.stderr
    whole, expected = run()
    assert stored(path)[1]["loss"] == expected.loss[:8]
    fresh = make_model()
    assert fit(fresh, batch, loss, steps=12, checkpoint=path).loss == expected.loss and same(fresh, whole)


def test_a_full_disk_leaves_the_checkpoint_before_and_says_so(tmp_path):
    path = tmp_path / "run.safetensors"
    run(3, checkpoint=path)
    before = path.read_bytes()
    done = script(f"""
path = {str(path)!r}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)                # writing beyond the limit is an error then
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    fit(make_model(), batch, loss, steps=8, checkpoint=path, checkpoint_every=2)
except OSError as error:
    print(error, *error.__notes__, sep="|")
""")
    message = done.stdout.split("|")
    assert message[0].startswith(f"checkpoint {path} could not be written (") and "too large" in message[0], done
    assert message[-1].strip() == "run.safetensors keeps the state after 3 of 8 steps; call fit again to go on"
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]


# --- numbers that blow up -------------------------------------------------------------------------------------------

class Exploding(torch.optim.SGD):
    """Writes `value` into the first weight at its step number `at` (from 1)."""

    def __init__(self, parameters, lr, at, value):
        super().__init__(parameters, lr=lr)
        self.left, self.value = at, value

    def step(self, *args, **kwargs):
        super().step(*args, **kwargs)
        self.left -= 1
        if self.left == 0:
            self.param_groups[0]["params"][0].data[0] = self.value


def finite(tensors):
    return all(bool(value.isfinite().all()) for value in tensors.values())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("at", [30, 50, 60])               # between two checkpoints, at one, at the last step
def test_a_state_that_has_blown_up_is_never_kept(tmp_path, at, value):
    if at == 60 and value == 1e30:
        pytest.skip("finite, and no later loss to show that it is broken")
    path = tmp_path / "run.safetensors"
    model = make_model()[:1]
    draw = lambda generator: (batch(generator)[0], torch.zeros(2, 8, 8, dtype=torch.long))
    square = lambda model, x, y: model(x).square().mean()
    arguments = {"steps": 60, "lr": 1e-3, "checkpoint": path, "checkpoint_every": 50}
    with pytest.raises(FloatingPointError, match="try a smaller lr than 0.001") as error:
        fit(model, draw, square, optimizer=partial(Exploding, at=at, value=value), **arguments)
    reference = make_model()[:1]
    fit(reference, draw, square, steps=at - 1, lr=1e-3, optimizer=torch.optim.SGD)
    weights, history = stored(path)
    assert len(history["loss"]) == at - 1 and finite(weights) and finite(model.state_dict())
    assert same(model, reference)
    assert error.value.__notes__ == [f"run.safetensors keeps the state after {at - 1} of 60 steps"]
    history = fit(make_model()[:1], draw, square, optimizer=partial(Exploding, at=-1, value=0), **arguments)
    assert history.steps == 60 and all(map(torch.isfinite, torch.tensor(history.loss)))


def test_a_loss_that_is_not_finite_keeps_the_last_step_whose_loss_was(tmp_path):
    path = tmp_path / "run.safetensors"
    calls = iter(range(100))
    broken = lambda model, x, y: loss(model, x, y) * (float("nan") if next(calls) == 30 else 1)
    with pytest.raises(FloatingPointError, match="the loss became nan at step 30"):
        fit(make_model(), batch, broken, steps=60, checkpoint=path)
    assert len(stored(path)[1]["loss"]) == 29
    assert run(60, checkpoint=path)[1].loss == run(60)[1].loss


def test_running_means_that_blow_up_are_found_although_the_loss_is_finite(tmp_path):
    def huge(generator):
        images, target = batch(generator)
        return images * 1e25, target

    calls = iter(range(100))
    path, model = tmp_path / "run.safetensors", make_model()
    after, _ = run(3)
    with pytest.raises(FloatingPointError, match=r"inf in 1\.running_var at step 4"):
        fit(model, lambda g: (huge if next(calls) == 4 else batch)(g), loss, steps=9, checkpoint=path)
    assert finite(model.state_dict()) and same(model, after) and len(stored(path)[1]["loss"]) == 3


def test_a_buffer_may_be_infinite_by_design():
    model = make_model()
    model.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
    assert fit(model, batch, loss, steps=3).steps == 3


def test_parameters_that_are_not_finite_are_refused():
    model = make_model()
    model[0].bias.data[1] = torch.nan
    with pytest.raises(ValueError, match="model must have finite parameters, got nan in 0.bias"):
        fit(model, batch, loss, steps=3)


def test_no_advice_that_cannot_work(tmp_path):
    """Weights that have blown up while the loss was still finite: no smaller rate helps, and the message says so."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.ones_(model.weight)
    path = tmp_path / "run.safetensors"
    arguments = {"batch": lambda g: (torch.ones(1, 1),), "loss": lambda m, x: m(x).sum()**4, "steps": 20,
                 "optimizer": torch.optim.SGD, "checkpoint": path, "checkpoint_every": 1}
    with pytest.raises(FloatingPointError, match="the loss became inf at step 4; try a smaller lr than 1\n"):
        fit(model, lr=1.0, **arguments)
    assert finite(stored(path)[0]) and len(stored(path)[1]["loss"]) == 3
    with pytest.raises(FloatingPointError, match="than 0.1; if none helps, run.safetensors was too far gone: delete it"):
        fit(model, lr=0.1, **arguments)
    assert finite(stored(path)[0]) and len(stored(path)[1]["loss"]) == 3


def test_a_finished_checkpoint_is_not_trained_again_and_can_be_extended(tmp_path):
    path = tmp_path / "run.safetensors"
    first, _ = run(5, checkpoint=path)
    again, history = run(5, checkpoint=path)
    assert same(first, again) and history.steps == 5
    assert run(12, checkpoint=path)[1].loss == run(12)[1].loss


def test_clear_errors(tmp_path):
    path = tmp_path / "run.safetensors"
    run(5, checkpoint=path)
    with pytest.raises(ValueError, match="steps must be >= 5, the steps of checkpoint run.safetensors, got 3"):
        run(3, checkpoint=path)
    with pytest.raises(ValueError, match="trained with seed 0, got seed=1"):
        run(5, checkpoint=path, seed=1)
    with pytest.raises(ValueError, match="another model"):
        fit(nn.Conv2d(1, 2, 1), batch, loss, steps=9, checkpoint=path)
    with pytest.raises(ValueError, match="steps must be an integer >= 1, got 0"):
        run(0)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="corrupt"):
        run(5, checkpoint=path)
    save_weights(tmp_path / "weights.safetensors", make_model())
    with pytest.raises(ValueError, match="not written by fit"):
        run(5, checkpoint=tmp_path / "weights.safetensors")
    with pytest.raises(FloatingPointError, match="the loss became nan at step 0; try a smaller lr"):
        fit(make_model(), batch, lambda m, x, y: loss(m, x, y) * float("nan"), steps=3)


def test_weights_travel_with_their_facts(tmp_path):
    model = make_model()
    save_weights(tmp_path / "a.safetensors", model, recipe={"steps": 5}, dice=0.9)
    torch.manual_seed(1)
    other = nn.Sequential(*make_model().children())
    nn.init.zeros_(other[0].weight)
    assert load_weights(tmp_path / "a.safetensors", other) == {"recipe": {"steps": 5}, "dice": 0.9}
    assert same(model, other)
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_weights(tmp_path / "b.safetensors", other)


def test_the_schedule_scales_the_learning_rate_and_survives_a_resume(tmp_path):
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)

    arguments = {"lr": 0.1, "schedule": lambda done: 1 - done, "optimizer": Watched}
    _, whole = run(4, **arguments)
    assert rates == pytest.approx([0.1, 0.075, 0.05, 0.025])
    assert whole.loss != run(4, lr=0.1, optimizer=Watched)[1].loss


def test_every_step_has_a_batch_of_its_own_also_after_a_resume(tmp_path):
    drawn = []

    def watched(generator):
        drawn.append(generator.initial_seed())
        return batch(generator)

    for steps in (3, 7):
        fit(make_model(), watched, loss, steps=steps, seed=4, checkpoint=tmp_path / "run.safetensors")
    assert drawn == [step_seed(4, step) for step in range(7)] and len(set(drawn)) == 7


def test_a_crash_while_saving_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    run(3, checkpoint=path)
    before = path.read_bytes()

    def crash(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr("os.replace", crash)
    with pytest.raises(OSError, match="no space"):
        run(6, checkpoint=path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]
