"""The checks of notebook 17: right answers pass, typical slips fail with a line that names them."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch
from exercise_checks import other_style_passes, slip_is_named, solution_passes_and_blank_fails
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


def diagnose(net, image, mean=1e-3, ratio=None, skip_test=True, relu_test=True):
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
    raw = seen["down.1.1"][0].inputs[0][0] * norm.weight[:, None, None] + norm.bias[:, None, None]
    flat = (normed.std((1, 2)) / norm.weight.abs()).median() < ratio if ratio else torch.equal(normed, raw)
    if flat:
        return "missing normalisation"
    return "healthy"


def diagnose_in_eval(net, image):
    net.eval()
    return diagnose(net, image)


SOLUTIONS = {"17.1": record, "17.2": unit_window, "17.3": mute(zero), "17.4": lambda: guilty(CASE), "17.5": diagnose}


def by_class(model, images, names):
    """A recorder with an object of its own for each hook."""
    class Keep:
        def __call__(self, module, inputs, output):
            self.maps = output.detach().numpy().copy()

    keeps = {name: Keep() for name in names}
    with ExitStack() as stack:
        for name, module in model.named_modules():
            if name in keeps:
                stack.callback(module.register_forward_hook(keeps[name]).remove)
        model(images)
    return {name: keep.maps for name, keep in keeps.items()}


def without_grad(model, images, names):
    seen, hooks = {}, []

    def keep(name):
        def hook(module, inputs, output):
            seen[name] = output.clone()
        return hook
    try:
        hooks += [model.get_submodule(name).register_forward_hook(keep(name)) for name in names]
        with torch.no_grad():
            model(images)
        return seen
    finally:
        [hook.remove() for hook in hooks]


def flat_names(model, images, names):
    return record(nn.Sequential(*model.children()), images, [n.split(".")[0] for n in names])


def only_leaves(model, images, names):
    leaves = [n for n, m in model.named_modules() if not list(m.children())]
    return record(model, images, [n for n in names if n in leaves])


def clears_all_hooks(model, images, names):
    seen = record(model, images, names)
    for module in model.modules():
        module._forward_hooks.clear()
    return seen


def once_a_name(model, images, names):
    return {name: record(model, images, [name])[name] for name in names}


def grad_off_for_good(model, images, names):
    torch.set_grad_enabled(False)
    return record(model, images, names)


def freezes(model, images, names):
    model.requires_grad_(False)
    return record(model, images, names)


def replaces(model, images, names):
    seen, modules = {}, dict(model.named_modules())
    hooks = [modules[n].register_forward_hook(lambda m, i, o, n=n: seen.setdefault(n, o.detach().clone()) * 0)
             for n in names]
    try:
        model(images)
    finally:
        [hook.remove() for hook in hooks]
    return seen


def by_mask(model, images, name, channel):
    """Right in another style: a product with a mask, and a context manager that takes the hook away."""
    def hook(module, inputs, output):
        mask = torch.ones(1, output.shape[1], 1, 1)
        mask[0, channel] = 0
        return output * mask
    with ExitStack() as stack:
        stack.callback(dict(model.named_modules())[name].register_forward_hook(hook).remove)
        return model(images)


def by_index_fill(model, images, name, channel):
    hooks = [m.register_forward_hook(lambda m, i, o: o.index_fill(1, torch.tensor([channel]), 0.0))
             for n, m in model.named_modules() if n == name]
    with torch.no_grad():
        try:
            return model(images)
        finally:
            for hook in hooks:
                hook.remove()


def mutes_the_type(model, images, name, channel):
    kind = type(model.get_submodule(name))
    hooks = [m.register_forward_hook(lambda m, i, o: zero(o, min(channel, o.shape[1] - 1)))
             for m in model.modules() if type(m) is kind]
    try:
        return model(images)
    finally:
        [hook.remove() for hook in hooks]


def mutes_the_first_run(model, images, name, channel):
    runs = []

    def hook(module, inputs, output):
        runs.append(True)
        return zero(output, channel) if len(runs) == 1 else output
    handle = model.get_submodule(name).register_forward_hook(hook)
    try:
        return model(images)
    finally:
        handle.remove()


def by_trial(net, image):
    """Right in another style: each fault is a prediction about the maps."""
    with torch.no_grad(), recording(net, ["down.0", "down.1.1", "joins.1", "head"]) as seen:
        net(image[None])
    skip, joined, logit = (seen[n][0].output for n in ("down.0", "joins.1", "head"))
    (raw,), normed = seen["down.1.1"][0]
    norm, count = net.down[1][1], skip.shape[1]
    plain = raw * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)
    batch = torch.nn.functional.batch_norm(raw, None, None, norm.weight, norm.bias, True)
    tests = {"no skip": bool((joined[:, :count] == 0).all()),
             "crossed channels": torch.equal(joined[:, -count:], skip) and not torch.equal(joined[:, :count], skip),
             "ReLU before the sigmoid": bool((logit >= 0).all()),
             "missing normalisation": torch.allclose(normed, plain, atol=1e-6),
             "wrong mode at test": torch.allclose(normed, batch, atol=1e-5)}
    return next((fault for fault, found in tests.items() if found), "healthy")


def wipes_the_picture(net, image):
    found = diagnose(net, image)
    image.zero_()
    return found


def leaves_eval(net, image):
    found = diagnose(net, image)
    net.eval()
    return found


def accuse(**changes):
    return lambda: guilty(CASE) | changes


def swapped(a, b):
    """The verdict with two charges exchanged."""
    letter = {fault: letter for letter, fault in guilty(CASE).items()}
    return accuse(**{letter[a]: b, letter[b]: a})


OTHERS = [
    ("17.1", by_class), ("17.1", without_grad),
    ("17.1", lambda m, x, names: dict(reversed(record(m, x, names).items()))),
    ("17.2", lambda u, s, t, o: torch.tensor([o + u * t - (s - 1) / 2, o + u * t + (s - 1) / 2])),
    ("17.2", lambda u, s, t, o: [int(o + u * t - (s - 1) / 2 + 1000.5) - 1000, int(o + u * t + (s - 1) / 2 + 0.5)]),
    ("17.2", lambda u, s, t, o: np.array(unit_window(u, s, t, o), np.float32)),
    ("17.3", by_mask), ("17.3", by_index_fill), ("17.3", lambda *a: mute(zero)(*a).detach().numpy()),
    ("17.4", lambda: dict(sorted(guilty(CASE).items(), reverse=True))),
    ("17.4", lambda: {letter: str(fault) for letter, fault in guilty(CASE).items()}),
    ("17.4", lambda: dict(zip("ABCDEF", (guilty(CASE)[x] for x in "ABCDEF")))),
    ("17.5", by_trial), ("17.5", lambda n, i: diagnose(n, i.clone())), ("17.5", lambda n, i: str(by_trial(n, i))),
]
MUTANTS = [
    ("17.1", flat_names, "your code stopped with KeyError"),
    ("17.1", only_leaves, "modules that hold others"),
    ("17.2", lambda u, s, t, o: (int(o + u * t - (s - 1) // 2), int(o + u * t + s // 2)), "unit 0 sees -1 to 2"),
    ("17.1", clears_all_hooks, "removes a hook that somebody else"),
    ("17.1", once_a_name, "it ran 3 times"),
    ("17.1", grad_off_for_good, "leaves gradients switched off"),
    ("17.1", freezes, "`requires_grad`"),
    ("17.1", lambda *a: [torch.manual_seed(0), record(*a)][1], "seeds PyTorch's global generator"),
    ("17.1", replaces, "*replaces* the output"),
    ("17.2", lambda u, s, t, o: unit_window(u, s, t, int(o)), "the field has 4"),
    ("17.2", lambda u, s, t, o: unit_window(u, s, int(t), o), "px off"),
    ("17.3", mutes_the_type, "only this module"),
    ("17.3", mutes_the_first_run, "only its first run"),
    ("17.3", lambda model, *a: mute(zero)(model.eval(), *a) if model.train() else 0, "another mode"),
    ("17.5", wipes_the_picture, "it changes `image`"),
    ("17.5", leaves_eval, "another mode"),
    ("17.5", lambda n, i: diagnose(n, i, ratio=0.5), "compare exactly"),
    ("17.5", lambda n, i: diagnose(n, i, mean=0.3), "negative control"),
    ("17.1", lambda *a: record(*a, keep=lambda o: o.detach()), "store a clone"),
    ("17.1", lambda *a: record(*a, keep=lambda o: o.clone()), "detach it"),
    ("17.1", lambda *a: record(*a, remove=False), "it leaves a hook behind"),
    ("17.1", lambda *a: record(*a, bind=False), "each hook has to bind its own"),
    ("17.1", lambda *a: list(record(*a).values()), "you return list"),
    ("17.1", lambda *a: record(*a, keep=lambda o: o.detach().clone()[0]), "does the hook bind"),
    ("17.1", record_unsafe, "put the removal into `finally`"),
    ("17.1", record_swallows, "without except"),
    ("17.1", record_in_eval, "another mode"),
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
    ("17.5", lambda n, i: diagnose(n, i, ratio=0.01), "its input times norm.weight"),
    ("17.5", lambda n, i: diagnose(n, i, ratio=2), "negative control"),
    ("17.5", diagnose_in_eval, "you have cured it"),
    ("17.5", lambda n, i: "no skip", "you return 'no skip'"),
]


@pytest.mark.parametrize("id", SOLUTIONS)
def test_the_solution_passes_and_the_stub_does_not(id, capsys):
    solution_passes_and_blank_fails(id, SOLUTIONS[id], capsys)


@pytest.mark.parametrize("id, answer", OTHERS)
def test_a_right_answer_in_another_style_passes(id, answer, capsys):
    other_style_passes(id, answer, capsys)


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
