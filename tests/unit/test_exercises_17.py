"""The checks of notebook 17: right answers pass, typical slips fail with a line that names them."""

import pytest
import torch
from exercise_checks import slip_is_named, solution_passes_and_blank_fails
from torch import nn

from seglab.check import check
from seglab.exercises import find
from seglab.exercises.nb17 import CASE
from seglab.exercises.suspects import FAULTS, Port, guilty, port, suspects
from seglab.viz.features import recording


def record(model, images, names, keep=lambda o: o.detach().clone(), remove=True, bind=True):
    seen, modules = {}, dict(model.named_modules())
    hooks = [modules[name].register_forward_hook(
        lambda m, i, o, n=name if bind else names[-1]: seen.__setitem__(n, keep(o))) for name in names]
    try:
        model(images)
    finally:
        for hook in hooks if remove else []:
            hook.remove()
    return seen


def record_unsafe(model, images, names):
    seen, modules = {}, dict(model.named_modules())
    hooks = [modules[n].register_forward_hook(lambda m, i, o, n=n: seen.__setitem__(n, o.detach().clone()))
             for n in names]
    model(images)
    for hook in hooks:
        hook.remove()
    return seen


def record_swallows(model, images, names):
    try:
        return record(model, images, names)
    except ArithmeticError:
        return {}


def record_in_eval(model, images, names):
    model.eval()
    return record(model, images, names)


def unit_window(unit, size, stride, offset):
    first = offset + unit * stride - (size - 1) / 2
    return round(first), round(first + size - 1)


def mute(change, remove="finally", returns=True):
    def muted(model, images, module, channel):
        def hook(m, i, output):
            output = change(output, channel)
            return output if returns else None
        handle = model.get_submodule(module).register_forward_hook(hook)
        try:
            result = model(images)
        finally:
            if remove == "finally":
                handle.remove()
        if remove == "end":
            handle.remove()
        return result
    return muted


def zero(output, channel):
    output = output.clone()
    output[:, channel] = 0
    return output


def zero_all(output, channel):
    return torch.zeros_like(output)


def zero_item(output, channel):
    output = output.clone()
    output[channel] = 0
    return output


def zero_in_place(output, channel):
    output.data[:, channel] = 0
    return output


def diagnose(net, image, mean=1e-3, ratio=0.5, skip_test=True, relu_test=True):
    with torch.no_grad(), recording(net, ["down.0", "down.1.1", "joins.1", "sigmoid"]) as seen:
        net(image[None])
    skip, normed, joined, out = (seen[n][0].output[0] for n in ("down.0", "down.1.1", "joins.1", "sigmoid"))
    front, norm = joined[:len(skip)], net.down[1][1]
    if not front.any() and skip_test:
        return "no skip"
    if not torch.equal(front, skip):
        return "crossed channels"
    if out.min() >= 0.5 and relu_test:
        return "ReLU before the sigmoid"
    if (normed.mean((1, 2)) - norm.bias).abs().max() < mean:
        return "wrong mode at test"
    if (normed.std((1, 2)) / norm.weight.abs()).median() < ratio:
        return "missing normalisation"
    return "healthy"


def diagnose_in_eval(net, image):
    net.eval()
    return diagnose(net, image)


SOLUTIONS = {"17.1": record, "17.2": unit_window, "17.3": mute(zero), "17.4": lambda: guilty(CASE), "17.5": diagnose}


def accuse(**changes):
    return lambda: guilty(CASE) | changes


def swapped(a, b):
    """The verdict with two charges exchanged."""
    letter = {fault: letter for letter, fault in guilty(CASE).items()}
    return accuse(**{letter[a]: b, letter[b]: a})


MUTANTS = [
    ("17.1", lambda *a: record(*a, keep=lambda o: o.detach()), "store a clone"),
    ("17.1", lambda *a: record(*a, keep=lambda o: o.clone()), "detach it"),
    ("17.1", lambda *a: record(*a, remove=False), "hooks are still there"),
    ("17.1", lambda *a: record(*a, bind=False), "you return ['0']"),
    ("17.1", lambda *a: list(record(*a).values()), "you return list"),
    ("17.1", lambda *a: record(*a, keep=lambda o: o.detach().clone()[0]), "does the hook bind"),
    ("17.1", record_unsafe, "put the removal into `finally`"),
    ("17.1", record_swallows, "without except"),
    ("17.1", record_in_eval, "cures"),
    ("17.2", lambda u, s, t, o: (unit_window(u, s, t, o)[0], unit_window(u, s, t, o)[1] + 1), "one past the end"),
    ("17.2", lambda u, s, t, o: unit_window(u, s, t, 0), "px off"),
    ("17.2", lambda u, s, t, o: unit_window(u, s, 1, o), "offset + unit * stride"),
    ("17.2", lambda u, s, t, o: tuple(max(0, p) for p in unit_window(u, s, t, o)), "do not clip"),
    ("17.2", lambda u, s, t, o: (round(o + u * t - s / 2), round(o + u * t + s / 2)), "the field has 3"),
    ("17.2", lambda u, s, t, o: round(o + u * t), "two numbers"),
    ("17.3", mute(zero, returns=False), "*return*"),
    ("17.3", mute(zero_all), "all channels were muted"),
    ("17.3", mute(zero_item), "second axis"),
    ("17.3", mute(zero, remove=None), "still there"),
    ("17.3", mute(zero, remove="end"), "finally"),
    ("17.3", mute(zero_in_place), "clone it first"),
    ("17.4", lambda: {"A": "healthy"}, "a dict with an entry"),
    ("17.4", accuse(A="no biscuits"), "choose from"),
    ("17.4", swapped("healthy", "no skip"), "front channels of joins.1 reach"),
    ("17.4", swapped("healthy", "ReLU before the sigmoid"), "nothing is below 0.5"),
    ("17.4", swapped("healthy", "wrong mode at test"), "miss the biases"),
    ("17.4", swapped("healthy", "missing normalisation"), "times the weight, about the 1"),
    ("17.4", swapped("healthy", "crossed channels"), "what comes from below in front"),
    ("17.4", lambda: dict.fromkeys("ABCDEF", "healthy"), "but something is wrong"),
    ("17.5", lambda n, i: diagnose(n, i, skip_test=False), "zero everywhere"),
    ("17.5", lambda n, i: diagnose(n, i, relu_test=False), "never below 0.5"),
    ("17.5", lambda n, i: diagnose(n, i, mean=0), "statistics of this very picture"),
    ("17.5", lambda n, i: diagnose(n, i, ratio=0.01), "vary far less"),
    ("17.5", lambda n, i: diagnose(n, i, ratio=2), "negative control"),
    ("17.5", diagnose_in_eval, "you have cured it"),
    ("17.5", lambda n, i: "no skip", "you return 'no skip'"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize("id, mutant, says", MUTANTS)
def test_every_slip_is_named(id, mutant, says, capsys):
    slip_is_named(id, mutant, says, capsys)


@pytest.mark.parametrize("id", SOLUTIONS)
def test_hints_escalate(id):
    assert len(find(id).hints) >= 3 and len(find(id).hints[0]) > 20


def test_no_defence_names_the_truth(capsys):
    """A wrong charge is answered with evidence, never with the answer."""
    for fault in FAULTS:
        check("17.4", lambda fault=fault: dict.fromkeys("ABCDEF", fault))
        for line in capsys.readouterr().out.splitlines():
            if line.startswith("✘ suspect"):
                assert not any(other in line for other in FAULTS if other != fault)


def test_the_suspects_look_alike_and_are_what_the_verdict_says():
    assert sorted(guilty(CASE).values()) == sorted(FAULTS)
    ports = suspects(CASE)
    assert len({repr(net) for net in ports.values()}) == 1
    states = [net.state_dict() for net in ports.values()]
    assert all(torch.equal(a[k], b[k]) for a in states for b in states for k in a)
    healthy = next(ports[letter] for letter, fault in guilty(CASE).items() if fault == "healthy")
    assert torch.equal(healthy(torch.ones(1, 1, 32, 32)), port("healthy")(torch.ones(1, 1, 32, 32)))
    with pytest.raises(ValueError, match="fault must be one of"):
        Port("no idea")


def test_training_a_port_leaves_the_readers_seed_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    suspects(1)
    assert torch.equal(torch.rand(1), expected) and isinstance(port("no skip").joins[0], nn.Module)
