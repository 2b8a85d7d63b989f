"""Checks of the exercises of notebook 17, feature maps."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from seglab.data import Cells
from seglab.exercises import Case, exercise
from seglab.exercises.suspects import FAULTS, Port, guilty, port, suspects
from seglab.ops import receptive_field, receptive_field_formula
from seglab.viz.features import recording

CASE = 17  # the seed of the six suspects that the notebook shows


class _Stops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ArithmeticError("planted")


@exercise("17.1", title="A recorder", hints=[
    "`register_forward_hook(f)` calls f(module, inputs, output) after each run and returns a handle with `remove()`.",
    "Two traps: a lambda in a loop sees the last value of the loop variable, unless you bind it (`name=name`); and a "
    "ReLU(inplace=True) behind the layer overwrites the very tensor that the hook was given.",
    "seen = {}; hooks = [dict(model.named_modules())[n].register_forward_hook(lambda m, i, o, n=n: "
    "seen.__setitem__(n, o.detach().clone())) for n in names]; try: model(images) finally: remove each hook.",
], points=2, count=8)
def record(answer) -> Iterator[Case]:
    """``answer(model, images, names)``: dict of name to that module's output."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)).train()
    net[2].requires_grad_(False)
    net[2].eval()
    images = torch.randn(2, 1, 9, 8)
    with torch.no_grad():
        first = net[0](images)
        last = net[3](net[2](first.relu()))
    seen = answer(net, images, ["3", "0"])
    yield "a dict with an entry for each name", isinstance(seen, dict) and set(seen) == {"0", "3"}, \
        f"you return {sorted(seen) if isinstance(seen, dict) else type(seen).__name__}"
    got = seen["3"]
    yield "'3' holds the output of module 3", _same(got, last), _record_advice(got, last, "3")
    got = seen["0"]
    yield "'0' holds the output of module 0, negative values included", _same(got, first), \
        "a later ReLU(inplace=True) has overwritten what you kept: store a clone" if _same(got, first.relu()) \
        else _record_advice(got, first, "0")
    yield "what you keep hangs on no graph", not seen["0"].requires_grad, \
        "the recorded tensor keeps the whole graph alive: detach it, or run under no_grad"
    yield "no hook is left behind", not _hooks(net), f"{_hooks(net)} hooks are still there: remove() each of them"
    yield "the modes are as before", net.training and not net[2].training, \
        "your recorder switched modules between train and eval: a recorder that does so cures the network that " \
        "forgot it"
    fails = nn.Sequential(nn.Identity(), _Stops())
    try:
        answer(fails, images, ["0"])
        raised = False
    except ArithmeticError:
        raised = True
    yield "an error inside the model gets through", raised, "you swallow it: use try ... finally, without except"
    yield "and even then no hook is left", not _hooks(fails), "put the removal into `finally`"


def _hooks(net: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in net.modules())


def _same(got: object, want: Tensor) -> bool:
    return isinstance(got, Tensor) and got.shape == want.shape and bool(torch.allclose(got, want, atol=1e-5))


def _record_advice(got: object, want: Tensor, name: str) -> str:
    if not isinstance(got, Tensor):
        return f"you return a {type(got).__name__} for {name!r}, a tensor was asked for"
    return f"you return shape {tuple(got.shape)} instead of {tuple(want.shape)}; does the hook bind its own name?"


@exercise("17.2", title="Where a unit looks", hints=[
    "The centre of unit i lies at offset + i * stride, in input px, where pixel 0 has its centre at 0.",
    "A field of `size` px round a centre c begins (size - 1) / 2 before it.",
    "first = offset + i * stride - (size - 1) / 2; return round(first), round(first + size - 1).",
], points=2, count=6)
def unit_window(answer) -> Iterator[Case]:
    """``answer(unit, size, stride, offset)``: first and last input pixel of a unit's field, along one axis."""
    got = _pair(answer(0, 3, 1, 1.0))
    yield "unit 0 of an unpadded 3x3 convolution sees pixels 0 to 2", got == (0, 2), _window_advice(got, (0, 2), 3)
    got = _pair(answer(5, 3, 1, 0.0))
    yield "unit 5 of a padded one sees 4 to 6", got == (4, 6), _window_advice(got, (4, 6), 3)
    got = _pair(answer(0, 3, 1, 0.0))
    yield "unit 0 of a padded one sees -1 to 1, half of it beyond the border", got == (-1, 1), \
        "do not clip: the field reaches beyond the border, what lies there is zero" if got == (0, 1) \
        else _window_advice(got, (-1, 1), 3)
    chain = [(3, 1, 1), (3, 1, 1), (2, 2, 1)] * 2
    field = receptive_field_formula(chain)
    net = nn.Sequential(*[layer for _ in range(2) for layer in
                          (nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3), nn.MaxPool2d(2))])
    measured = receptive_field(net, (1, 92, 92))
    assert measured.size[0] == field.size and measured.offset[0] == field.offset
    for unit in (0, 4, 7):
        want = round(field.offset + unit * field.stride - (field.size - 1) / 2)
        got = _pair(answer(unit, field.size, field.stride, field.offset))
        want = (want, want + int(field.size) - 1)
        yield f"unit {unit} after two levels of a U-Net sees {want[0]} to {want[1]}", got == want, \
            _window_advice(got, want, field.size)


def _pair(got: object) -> tuple | None:
    try:
        first, last = got
        return first, last
    except (TypeError, ValueError):
        return None


def _window_advice(got: tuple | None, want: tuple[int, int], size: float) -> str:
    if got is None:
        return "return two numbers, first and last pixel"
    if got == (want[0], want[1] + 1):
        return "that is one past the end: the last pixel itself was asked for"
    if got[1] - got[0] != size - 1:
        return f"from {got[0]} to {got[1]} are {got[1] - got[0] + 1} px, the field has {size:g}"
    return f"you return {got}, which is {got[0] - want[0]:+g} px off: the centre lies at offset + unit * stride"


@exercise("17.3", title="Mute one channel", hints=[
    "A forward hook that *returns* a tensor replaces the module's output.",
    "Change a copy: the module's own output may be used elsewhere, or recorded by another hook.",
    "def hook(m, i, output): output = output.clone(); output[:, channel] = 0; return output. Register it, run the "
    "model, remove it in `finally`.",
], points=3, count=5)
def muted(answer) -> Iterator[Case]:
    """``answer(model, images, module, channel)``: the model's output with one channel of one module at zero."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Conv2d(3, 2, 1)).eval()
    images = torch.randn(4, 1, 9, 8)

    def with_zero(change) -> Tensor:
        with torch.no_grad():
            x = net[1](net[0](images))
            change(x)
            return net[2](x)

    want = with_zero(lambda x: x[:, 2].zero_())
    slips = {
        "the output is that of the whole network: a hook has to *return* what replaces the output": lambda x: None,
        "all channels were muted": lambda x: x.zero_(),
        "that mutes picture 2 of the batch: channels are the second axis": lambda x: x[2].zero_(),
    }
    with recording(net, ["1"]) as seen:
        got = answer(net, images, "1", 2)
    found = [advice for advice, change in slips.items() if _same(got, with_zero(change))]
    yield "channel 2 of module '1' is zero, for every picture", _same(got, want), \
        found[0] if found else f"you return {tuple(got.shape) if isinstance(got, Tensor) else type(got).__name__}"
    before = torch.tanh(net[0](images))
    yield "what the module itself gave stays as it was", _same(seen["1"][0].output, before.detach()), \
        "another hook, registered before yours, must see the full output"
    yield "afterwards the network is whole again", not _hooks(net), "your hook is still there: remove() it"
    kept = {}
    hook = net[1].register_forward_hook(lambda m, i, o: kept.setdefault("1", o))
    try:
        answer(net, images, "1", 2)
    finally:
        hook.remove()
    yield "the change is made in a copy", _same(kept["1"], before), \
        "you wrote zeros into the tensor that the module gave out: clone it first"
    fails = nn.Sequential(nn.Identity(), _Stops())
    try:
        answer(fails, images, "0", 0)
    except ArithmeticError:
        pass
    yield "even after an error", not _hooks(fails), "put the removal into `finally`"


@exercise("17.4", title="The detective, by eye", hints=[
    "Start with the joined maps: in front the skip, behind it what comes from below. Which suspect shows something "
    "else in front?",
    "Probabilities of a healthy network go down to nearly 0. And what does a network invent where there are no cells?",
    "Of the last two, one has maps behind a normalisation whose mean is *exactly* the layer's bias, channel by "
    "channel; the other has maps much flatter than the layer's weight says.",
], points=3, count=8)
def verdict(answer) -> Iterator[Case]:
    """``answer()``: a dict from letter to fault for the six suspects of the notebook."""
    said, truth = answer(), guilty(CASE)
    yield "a dict with an entry for each of A to F", isinstance(said, dict) and set(said) == set(truth), \
        f"you return {said!r}"
    unknown = sorted({str(v) for v in said.values()} - set(FAULTS))
    yield "only charges from the list", not unknown, f"{', '.join(unknown)}: choose from {', '.join(FAULTS)}"
    image, named = Cells(size=(64, 64), count=8, radius=(4, 9), seed=CASE)[0].image, suspects(CASE)
    for letter, fault in truth.items():
        yield f"suspect {letter}", said[letter] == fault, _defence(said[letter], named[letter], image)


def _facts(net: Port, image: Tensor) -> dict[str, float]:
    with torch.no_grad(), recording(net, ["down.0", "down.1.1", "joins.1", "sigmoid"]) as seen:
        net(image[None])
    joined, skip, normed, out = (seen[n][0].output[0] for n in ("joins.1", "down.0", "down.1.1", "sigmoid"))
    norm = net.down[1][1]
    front = joined[:len(skip)]
    return {"front": float(front.abs().max()), "front - encoder": float((front - skip).abs().max()),
            "least probability": float(out.min()),
            "mean - bias": float((normed.mean((1, 2)) - norm.bias.detach()).abs().max()),
            "std / weight": float((normed.std((1, 2)) / norm.weight.detach().abs()).median())}


def _defence(charge: str, net: Port, image: Tensor) -> str:
    """What speaks against a false charge; it never names the true one."""
    facts = _facts(net, image)
    return {
        "no skip": f"you say {charge}, but its front channels of joins.1 reach {facts['front']:.2f}",
        "crossed channels": f"you say {charge}, which would put what comes from below in front of joins.1; there the "
                            f"difference to down.0 is {facts['front - encoder']:.2f}, the largest value "
                            f"{facts['front']:.2f}",
        "ReLU before the sigmoid": f"you say {charge}, but its probabilities go down to "
                                   f"{facts['least probability']:.2f}; with that fault nothing is below 0.5",
        "wrong mode at test": f"you say {charge}, but the channel means behind down.1.1 miss the biases by up to "
                              f"{facts['mean - bias']:.3f}; statistics of the batch itself would hit them exactly",
        "missing normalisation": f"you say {charge}, but behind down.1.1 the deviation is "
                                 f"{facts['std / weight']:.2f} times the weight, about the 1 of a normalised map",
        "healthy": f"you say {charge}, but something is wrong: its front channels reach {facts['front']:.2f} and "
                   f"differ from down.0 by {facts['front - encoder']:.2f}, its least probability is "
                   f"{facts['least probability']:.2f}, its deviation {facts['std / weight']:.2f} times the weight, "
                   f"its means {facts['mean - bias']:.3f} off the biases",
    }.get(charge, f"{charge!r} is no charge of the list")


@exercise("17.5", title="The detective, as a program", hints=[
    "Record joins.1, down.0, down.1.1 and sigmoid for the picture, without touching the mode of the network.",
    "Test the plain things first: zeros in front of the joined maps; then whether the front equals down.0; then "
    "whether any probability lies below 0.5.",
    "For the normalisation `norm = net.down[1][1]`: means over the pixels equal to norm.bias within 1e-3 betray batch "
    "statistics, deviations below half of norm.weight a missing division.",
], points=4, count=8)
def diagnose(answer) -> Iterator[Case]:
    """``answer(net, image)``: the fault of one port, from its maps on one picture (1, H, W)."""
    cells = Cells(size=(64, 64), count=8, radius=(4, 9), seed=CASE + 1)
    for fault in FAULTS:
        got = {answer(port(fault), cells[k].image) for k in range(3)}
        yield f"{fault}, on three pictures", got == {fault}, _diagnosis_advice(fault, got)
    wide, narrow = cells[4].image[:, :, :48], port("wrong mode at test")
    got = answer(narrow, wide)
    yield "wrong mode at test, on a picture of 64 x 48 px", got == "wrong mode at test", f"you return {got!r}"
    modes = [m.training for m in narrow.modules()]
    answer(narrow, wide)
    yield "the suspect is left as it was", modes == [m.training for m in narrow.modules()] and not _hooks(narrow), \
        "your function changed the mode of the network or left a hook: evidence must not be tampered with"


def _diagnosis_advice(fault: str, got: set) -> str:
    said = ", ".join(sorted(map(repr, got)))
    why = {
        "healthy": "this is the negative control, which every test has to acquit",
        "no skip": "the front half of joins.1 is zero everywhere",
        "ReLU before the sigmoid": "sigmoid(relu(z)) is never below 0.5; its segmentation at 0.5 looks perfect",
        "missing normalisation": "behind down.1.1 the channels vary far less than norm.weight says",
        "crossed channels": "the front half of joins.1 is not down.0 but what came from below",
        "wrong mode at test": "behind down.1.1 the channel means are norm.bias exactly: statistics of this very "
                              "picture. (If you called eval(), you have cured it.)",
    }[fault]
    return f"you return {said}; {why}"
