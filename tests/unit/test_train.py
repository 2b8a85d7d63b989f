"""Training: same seed same run, resume equals never having stopped, and the last good state is never lost."""

import json
import os
import signal
import subprocess
import sys
from functools import partial

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from seglab.checkpoint import load_run
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
    with pytest.raises(KeyboardInterrupt, match=f"after step {stop_at + 1} of 12; call fit again to go on from run.sa"):
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
    arguments = {"model": model, "batch": batch, "loss": loss, "steps": 12}
    arguments["checkpoint"] = path if checkpointed else None
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
import os, resource, signal, sys
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


@pytest.mark.parametrize("at, value", [(at, value) for at in (30, 50, 60) for value in (torch.nan, torch.inf, 1e30)
                                       if (at, value) != (60, 1e30)])     # no later loss shows that 1e30 is too much
def test_a_state_that_has_blown_up_is_never_kept(tmp_path, at, value):
    """Between two checkpoints, at one, and at the last step."""
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
    with pytest.raises(FloatingPointError, match="than 0.1; if none helps, run.safetensors was too far gone"):
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


# --- a resumed run obeys its arguments ------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, partial(torch.optim.SGD, momentum=0.9)])
def test_the_rate_of_the_call_wins_over_the_file_s(tmp_path, kind):
    path = tmp_path / "run.safetensors"
    fit(make_model(), batch, loss, steps=2, lr=0.01, optimizer=kind, checkpoint=path)
    for schedule in (None, lambda done: 1.0):
        model = make_model()
        fit(model, batch, loss, steps=2, lr=0.0, optimizer=kind, checkpoint=path)
        before = [p.detach().clone() for p in model.parameters()]
        path_of_copy = tmp_path / "copy.safetensors"
        path_of_copy.write_bytes(path.read_bytes())
        fit(model, batch, loss, steps=5, lr=0.0, optimizer=kind, checkpoint=path_of_copy, schedule=schedule)
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_weight_decay_and_momentum_are_those_of_the_call(tmp_path):
    seen = []

    class Watched(torch.optim.SGD):
        def step(self, *args, **kwargs):
            seen.append({name: self.param_groups[0][name] for name in ("lr", "weight_decay", "momentum")})
            return super().step(*args, **kwargs)

    path = tmp_path / "run.safetensors"
    fit(make_model(), batch, loss, steps=1, optimizer=partial(Watched, momentum=0.9, weight_decay=0.1), checkpoint=path)
    fit(make_model(), batch, loss, steps=2, lr=0.5, optimizer=partial(Watched, momentum=0.8), checkpoint=path)
    assert seen == [{"lr": 1e-3, "weight_decay": 0.1, "momentum": 0.9}, {"lr": 0.5, "weight_decay": 0, "momentum": 0.8}]


def two_groups(parameters, lr):
    parameters = list(parameters)
    return torch.optim.SGD([{"params": parameters[:2], "lr": 10 * lr}, {"params": parameters[2:]}], lr=lr)


def test_another_optimizer_than_the_file_s_is_refused_and_changes_nothing(tmp_path):
    path = tmp_path / "run.safetensors"
    run(2, checkpoint=path)
    before, model = path.read_bytes(), make_model()
    for kind, message in ((torch.optim.SGD, "was trained with the optimizer Adam, got SGD"),
                          (partial(torch.optim.Adam, amsgrad=True), r"other parameter groups .*'on': \[\].*amsgrad")):
        with pytest.raises(ValueError, match=message):
            fit(model, batch, loss, steps=5, optimizer=kind, checkpoint=path)
    assert same(model, make_model()) and path.read_bytes() == before
    path = tmp_path / "sgd.safetensors"
    run(2, checkpoint=path, optimizer=torch.optim.SGD)
    with pytest.raises(ValueError, match=r"was trained with other parameter groups of SGD: .*'parameters': 6"):
        fit(model, batch, loss, steps=5, optimizer=two_groups, checkpoint=path)
    assert same(model, make_model())


def test_the_schedule_scales_the_rate_of_every_group():
    seen = []

    class Watched(torch.optim.SGD):
        def step(self, *args, **kwargs):
            seen.append([group["lr"] for group in self.param_groups])
            return super().step(*args, **kwargs)

    def groups(parameters, lr):
        parameters = list(parameters)
        return Watched([{"params": parameters[:2], "lr": 10 * lr}, {"params": parameters[2:]}], lr=lr)

    run(2, lr=0.1, optimizer=groups, schedule=lambda done: 1 - done)
    assert seen == [[1.0, 0.1], [0.5, 0.05]]


# --- frozen parts ---------------------------------------------------------------------------------------------------

def modes(model):
    return [part.training for part in model.modules()]


def test_a_batch_norm_that_the_caller_froze_stays_frozen():
    model = make_model()
    model[1].eval().requires_grad_(False)
    before = {name: value.clone() for name, value in model[1].state_dict().items()}
    seen = []

    def watched(wrapped, x, y):
        seen.append(modes(model))
        return loss(wrapped, x, y)

    arguments = {"steps": 4, "validate": accuracy, "validate_every": 1}
    fit(model, batch, watched, **arguments)
    expected = [True, True, False, True, True, True]          # the whole, convolution, batch norm, ...
    assert seen == [expected] * 4 and modes(model) == [False] * 6
    fit(model, batch, watched, **arguments)                     # once more, from evaluation mode
    assert seen[4:] == [expected] * 4
    assert all(torch.equal(before[name], value) for name, value in model[1].state_dict().items())


def test_a_model_in_evaluation_mode_is_trained_as_a_whole():
    model = make_model().eval()
    other, _ = run()
    fit(model, batch, loss, steps=12)
    assert same(model, other)


@pytest.mark.parametrize("training", [True, False])
def test_modes_come_back_after_an_error(training):
    model = make_model().train(training)
    model[3].eval()
    before = modes(model)
    with pytest.raises(RuntimeError, match="went away"):
        fit(model, disturbed(2, boom), loss, steps=4, validate=accuracy, validate_every=1)
    assert modes(model) == before


# --- files ----------------------------------------------------------------------------------------------------------

class Tied(nn.Module):
    """One head for two levels, and a decoder that uses the encoder's weight."""

    def __init__(self):
        super().__init__()
        head = nn.Conv2d(1, 2, 1)
        self.heads = nn.ModuleList([head, head])
        self.other = nn.Conv2d(1, 2, 1)
        self.other.weight = head.weight
        self.register_buffer("first", head.bias.detach()[:1])    # a view of a part

    def forward(self, x):
        return self.heads[0](x) + self.heads[1](x) + self.other(x)


def test_tied_weights_are_saved_and_loaded_and_stay_tied(tmp_path):
    path = tmp_path / "run.safetensors"
    torch.manual_seed(0)
    model = Tied()
    fit(model, batch, loss, steps=3, checkpoint=path)
    other = Tied()
    assert fit(other, batch, loss, steps=3, checkpoint=path).steps == 3 and same(model, other)
    assert other.heads[0] is other.heads[1] and other.other.weight is other.heads[0].weight
    save_weights(tmp_path / "weights.safetensors", model)
    load_weights(tmp_path / "weights.safetensors", other)
    assert same(model, other)


def test_a_compiled_model_and_its_plain_one_share_their_files(tmp_path):
    path, run_path = tmp_path / "weights.safetensors", tmp_path / "run.safetensors"
    part_of = lambda: nn.Sequential(torch.compile(make_model(), backend="eager"))
    for first, second in ((lambda: torch.compile(make_model(), backend="eager"), make_model),
                          (part_of, lambda: nn.Sequential(make_model()))):
        for source, target in ((first(), second()), (second(), first())):
            for parameter in source.parameters():
                nn.init.normal_(parameter)
            save_weights(path, source)
            load_weights(path, target)
            assert same(source, target)
    _, expected = run(6)
    compiled = torch.compile(make_model(), backend="eager")
    fit(compiled, batch, loss, steps=3, checkpoint=run_path)
    assert fit(make_model(), batch, loss, steps=6, checkpoint=run_path).loss == pytest.approx(expected.loss)


def test_weights_of_another_model_change_nothing(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 3, 1)))
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="another model"):
        load_weights(path, model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_every_flipped_bit_is_found(tmp_path):
    """In the length, the header (names, shapes, losses, seed, checksum) and the weights: the file is named."""
    path = tmp_path / "run.safetensors"
    model = nn.Conv2d(1, 2, 1)
    fit(model, batch, loss, steps=2, checkpoint=path)
    good, optimizer = path.read_bytes(), torch.optim.Adam(model.parameters())
    assert len(load_run(path, model, optimizer, 0)["loss"]) == 2
    missed = []
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 1 << position % 8
        path.write_bytes(bad)
        try:
            load_run(path, model, optimizer, 0)
            missed.append(position)
        except ValueError as error:
            assert str(path) in str(error)
    assert not missed, good[missed[0] - 20:missed[0] + 20]


def test_files_without_a_checksum_are_still_read_as_weights(tmp_path):
    model = make_model()
    save_file(dict(model.state_dict()), tmp_path / "a.safetensors")
    assert load_weights(tmp_path / "a.safetensors", make_model()) == {}


# --- messages -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, message", [
    ({"checkpoint_every": 0}, "checkpoint_every must be an integer >= 1, got 0"),
    ({"validate_every": -1}, "validate_every must be an integer >= 0, got -1"),
    ({"seed": -1}, "seed must be an integer >= 0, got -1"),
    ({"steps": True}, "steps must be an integer >= 1, got True"),
    ({"devices": 0}, "devices must be an integer >= 1, got 0"),
    ({"lr": float("nan")}, "lr must be a finite number >= 0, got nan"),
    ({"lr": -1.0}, "lr must be a finite number >= 0, got -1.0"), ({"lr": "1"}, "lr must be a finite number"),
    ({"batch": lambda g: (torch.zeros(0, 1, 8, 8), torch.zeros(0, 8, 8).long())},
     r"inputs of a batch must hold at least one picture, got shape \(0, 1, 8, 8\)"),
    ({"batch": lambda g: ([], [])}, "must hold at least one picture, got an empty list"),
    ({"batch": lambda g: torch.zeros(2, 1, 8, 8)}, r"batch must return a tuple \(inputs, target, ...\), got Tensor"),
    ({"loss": lambda m, x, y: loss(m, x, y).item()}, "loss must return a tensor with one number, got float"),
    ({"loss": lambda m, x, y: m(x)}, r"loss must return a tensor with one number, got shape \(2, 2, 8, 8\)"),
])
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fit(**{"model": make_model(), "batch": batch, "loss": loss, "steps": 3} | arguments)


def test_a_folder_is_no_checkpoint(tmp_path):
    for call in (lambda: run(3, checkpoint=tmp_path), lambda: load_weights(tmp_path, make_model()),
                 lambda: save_weights(tmp_path, make_model())):
        with pytest.raises(ValueError, match=f"checkpoint must be a file, got the folder {tmp_path}"):
            call()


def test_several_processes_need_a_script(monkeypatch):
    monkeypatch.setattr(sys, "ps1", "In : ", raising=False)      # as in a kernel
    with pytest.raises(ValueError, match="devices must be 1 in a notebook or an interactive session, got 2; .* script"):
        run(3, devices=2)


def test_two_processes_stop_together_and_go_on(tmp_path):
    """One of two processes is interrupted, the other one is not: both end, and no step is half done."""
    path = tmp_path / "run.safetensors"
    file = tmp_path / "twice.py"
    file.write_text(SCRIPT.format(folder=os.path.dirname(__file__), body=f"""
only = lambda: press() if os.environ.get("LOCAL_RANK", "0") == "1" else None
try:
    fit(make_model(), disturbed(3, only), loss, steps=12, checkpoint={str(path)!r}, devices=2)
except KeyboardInterrupt as stop:
    print(stop)
"""))
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, timeout=300,
                          env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "SEGLAB_QUIET": "1"})
    assert done.stdout.count("after step 4 of 12; call fit again to go on from run.safetensors") == 2, done
    assert len(stored(path)[1]["loss"]) == 4
