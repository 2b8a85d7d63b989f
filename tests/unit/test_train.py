"""Training: same seed same run, resume equals never having stopped, and nothing is lost."""

import os
import signal

import pytest
import torch
from torch import nn
from torch.nn import functional as F

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


@pytest.mark.parametrize("stop_at", [1, 5, 11])
def test_an_interrupted_run_resumes_to_the_same_history_and_weights(tmp_path, stop_at, capsys):
    whole, expected = run(validate=accuracy, validate_every=3)
    calls = iter(range(1, 100))

    def pressed(generator):
        if next(calls) == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return batch(generator)

    path = tmp_path / "run.safetensors"
    arguments = {"steps": 12, "checkpoint": path, "validate": accuracy, "validate_every": 3}
    history = fit(make_model(), pressed, loss, **arguments)
    assert history.interrupted and history.steps == stop_at
    assert "call fit again to go on from run.safetensors" in capsys.readouterr().out
    fresh = make_model()
    history = fit(fresh, batch, loss, **arguments)
    assert not history.interrupted
    assert history.loss == expected.loss and history.validation == expected.validation
    assert same(fresh, whole)


def test_the_stop_button_works_again_after_fit():
    before = signal.getsignal(signal.SIGINT)
    run(2)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_killed_run_goes_on_from_the_last_checkpoint(tmp_path):
    _, expected = run()
    path = tmp_path / "run.safetensors"
    calls = iter(range(100))

    def killed(generator):
        if next(calls) == 9:
            raise RuntimeError("the machine went away")
        return batch(generator)

    with pytest.raises(RuntimeError, match="went away"):
        fit(make_model(), killed, loss, steps=12, checkpoint=path, checkpoint_every=4)
    assert fit(make_model(), batch, loss, steps=12, checkpoint=path).loss == expected.loss
    assert not list(tmp_path.glob(".*"))


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

    monkeypatch.setattr("seglab.train.os.replace", crash)
    with pytest.raises(OSError, match="no space"):
        run(6, checkpoint=path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["run.safetensors"]
