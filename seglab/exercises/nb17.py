"""Checks of the exercises of notebook 17, feature maps."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from seglab.data import Cells
from seglab.exercises import Case, exercise
from seglab.exercises.answers import MISSING, close, not_shaped, short
from seglab.exercises.suspects import FAULTS, Port, guilty, port, suspects
from seglab.ops import receptive_field, receptive_field_formula
from seglab.viz.features import recording

CASE = 17  # the seed of the six suspects that the notebook shows


class _Stops(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ArithmeticError("planted")


class _Counts(nn.Identity):
    """Counts its runs."""

    runs = 0

    def forward(self, x: Tensor) -> Tensor:
        self.runs += 1
        return x


class _Nested(nn.Module):
    """Modules with dotted names, as real networks have them: ``down.0``, ``down.1.0``, ``head``."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(1, 3, 3), nn.Sequential(nn.ReLU(inplace=True), nn.BatchNorm2d(3))])
        self.count, self.head = _Counts(), nn.Conv2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.down:
            x = block(x)
        return self.head(self.count(x))


def _nested() -> tuple[_Nested, Tensor]:
    """The network in the modes of fine-tuning, part of it frozen, and a batch; the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _Nested().train()
        images = torch.randn(2, 1, 9, 8)
    net.down[1][1].requires_grad_(False).eval()
    return net, images


@exercise("17.1", title="A recorder", hints=[
    "`register_forward_hook(f)` calls f(module, inputs, output) after each run and returns a handle with `remove()`.",
    "Two traps: a lambda in a loop sees the last value of the loop variable, unless you bind it (`name=name`); and a "
    "ReLU(inplace=True) behind the layer overwrites the very tensor that the hook was given.",
    "seen = {}; hooks = [dict(model.named_modules())[n].register_forward_hook(lambda m, i, o, n=n: "
    "seen.__setitem__(n, o.detach().clone())) for n in names]; try: model(images) finally: remove each hook.",
], points=2, count=9)
def record(answer: Callable) -> Iterator[Case]:
    """``answer(model, images, names)``: dict of name to that module's output."""
    net, images = _nested()
    with torch.no_grad():
        first = net.down[0](images)
        normed = net.down[1][1](first.relu())
        last = net.head(normed)
    somebody = []
    net.head.register_forward_hook(lambda m, i, o: somebody.append(o))
    names = ["head", "down.0", "down.1.1"]
    seen = answer(net, images, names)
    right = isinstance(seen, dict) and set(seen) == set(names)
    yield "a dict with an entry for each name", right, \
        f"you return {sorted(seen) if isinstance(seen, dict) else type(seen).__name__}; a name may have dots, as in " \
        "model.named_modules(), and each hook has to bind its own"
    if not right:
        return
    got = seen["head"]
    yield "'head' holds the output of module head", close(got, last), _record_advice(got, last, "head")
    got = seen["down.0"]
    yield "'down.0' holds the output of module down.0, negative values included", close(got, first), \
        "a later ReLU(inplace=True) has overwritten what you kept: store a clone" if close(got, first.relu()) \
        else _record_advice(got, first, "down.0")
    hangs = any(isinstance(maps, Tensor) and maps.requires_grad for maps in seen.values())
    yield "what you keep hangs on no graph", not hangs, \
        "the recorded tensor keeps the whole graph alive: detach it, or run under no_grad"
    yield "the model runs once", net.count.runs == 1, f"it ran {net.count.runs} times: one run feeds all hooks"
    yield "other hooks go on hearing it, and the output is not replaced", len(somebody) == 1 and (
        close(somebody[0], last)), "a hook that returns something *replaces* the output: let yours return None"
    net, images = _nested()
    got = answer(net, images, ["down.1"])
    held = isinstance(got, dict) and set(got) == {"down.1"} and close(got["down.1"], normed)
    yield "a container has an output as well", held and net.count.runs == 1, "modules that hold others have names too"
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


def _record_advice(got: object, want: Tensor, name: str) -> str:
    if not isinstance(got, Tensor):
        return f"you return {short(got)} for {name!r}, a tensor was asked for"
    form = not_shaped(got, want.shape)
    return f"{form or 'the values are those of another module'}; does the hook bind its own name?"


@exercise("17.2", title="Where a unit looks", hints=[
    "The centre of unit i lies at offset + i * stride, in input px, where pixel 0 has its centre at 0.",
    "A field of `size` px round a centre c begins (size - 1) / 2 before it.",
    "first = offset + i * stride - (size - 1) / 2; return round(first), round(first + size - 1).",
], points=2, count=9)
def unit_window(answer: Callable) -> Iterator[Case]:
    """``answer(unit, size, stride, offset)``: first and last input pixel of a unit's field, along one axis."""
    for unit, size, stride, offset, want, what in (
            (0, 3, 1, 1.0, (0, 2), "unit 0 of an unpadded 3x3 convolution"),
            (5, 3, 1, 0.0, (4, 6), "unit 5 of a padded one"),
            (0, 3, 1, 0.0, (-1, 1), "unit 0 of a padded one, half of it beyond the border,"),
            (2, 4, 2, 0.5, (3, 6), "unit 2 of a padded 4x4 convolution with stride 2"),
            (3, 7, 3, 3.0, (9, 15), "unit 3 of a 7x7 convolution with stride 3"),
            (4, 1, 0.5, 0.0, (2, 2), "unit 4 behind an up-step of two")):
        got = answer(unit, size, stride, offset)
        advice = "do not clip: the field reaches beyond the border, what lies there is zero" \
            if want[0] < 0 and close(got, (0, want[1])) else _window_advice(got, want, size)
        right = close(got, want)
        if right and (size, stride) == (4, 2):                 # beyond the border, where int() cuts the other way
            left = answer(0, 4, 2, 0.5)
            right, advice = close(left, (-1, 2)), "unit 0 sees -1 to 2: " + _window_advice(left, (-1, 2), 4)
        yield f"{what} sees {want[0]} to {want[1]}", right, advice
    chain = [(3, 1, 1), (3, 1, 1), (2, 2, 1)] * 2
    field = receptive_field_formula(chain)
    net = nn.Sequential(*[layer for _ in range(2) for layer in
                          (nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3), nn.MaxPool2d(2))])
    measured = receptive_field(net, (1, 92, 92))
    assert measured.size[0] == field.size and measured.offset[0] == field.offset
    for unit in (0, 4, 7):
        want = 4 * unit, 4 * unit + int(field.size) - 1
        got = answer(unit, field.size, field.stride, field.offset)
        yield f"unit {unit} after two levels of a U-Net sees {want[0]} to {want[1]}", close(got, want), \
            _window_advice(got, want, field.size)


def _window_advice(got: object, want: tuple[int, int], size: float) -> str:
    if got is None:
        return MISSING
    if not_shaped(got, (2,)):
        return f"return two numbers, first and last pixel, not {short(got)}"
    first, last = map(float, got)
    if (first, last) == (want[0], want[1] + 1):
        return "that is one past the end: the last pixel itself was asked for"
    if last - first != size - 1:
        return f"from {first:g} to {last:g} are {last - first + 1:g} px, the field has {size:g}"
    return f"you return ({first:g}, {last:g}), which is {first - want[0]:+g} px off: the centre lies at " \
        "offset + unit * stride, and both may have fractions"


@exercise("17.3", title="Mute one channel", hints=[
    "A forward hook that *returns* a tensor replaces the module's output.",
    "Change a copy: the module's own output may be used elsewhere, or recorded by another hook.",
    "def hook(m, i, output): output = output.clone(); output[:, channel] = 0; return output. Register it, run the "
    "model, remove it in `finally`.",
], points=3, count=6)
def muted(answer: Callable) -> Iterator[Case]:
    """``answer(model, images, name, channel)``: the model's output with one channel of one module at zero."""
    net, images = _nested()
    net.eval()
    images = torch.cat([images, 1 - images])

    def with_zero(change: Callable, at: int = 0) -> Tensor:
        with torch.no_grad():
            x = net.down[0](images)
            x = change(x) if at == 0 else x
            x = net.down[1](x)
            return net.head(change(x) if at == 1 else x)

    def zero(*place: object) -> Callable:
        def change(x: Tensor) -> Tensor:
            x = x.clone()
            x[place] = 0
            return x
        return change

    everything = slice(None)
    for name, at in (("down.0", 0), ("down.1", 1)):
        want = with_zero(zero(everything, 2), at)
        slips = {"the output is that of the whole network: a hook has to *return* what replaces the output":
                 with_zero(lambda x: x, at),
                 "all channels were muted": with_zero(zero(), at),
                 "that mutes picture 2 of the batch: channels are the second axis": with_zero(zero(2), at)}
        got = answer(net, images, name, 2)
        found = [advice for advice, value in slips.items() if close(got, value)]
        yield f"channel 2 of module {name!r} is zero, for every picture", close(got, want), \
            found[0] if found else not_shaped(got, want.shape, "the output") or "other values than with that one " \
            "channel at zero: is only this module muted, by its full name?"
    kept = {}
    hook = net.down[0].register_forward_hook(lambda m, i, o: kept.setdefault("seen", o))
    try:
        answer(net, images, "down.0", 2)
    finally:
        hook.remove()
    with torch.no_grad():
        before = net.down[0](images)
    yield "what the module itself gave stays as it was, for whoever listened first", close(kept["seen"], before) or (
        close(kept["seen"], net.down[1][0](before.clone()))), \
        "you wrote zeros into the tensor that the module gave out: clone it first"
    shared = nn.Tanh()
    twice = nn.Sequential(nn.Conv2d(1, 3, 1), shared, nn.Conv2d(3, 3, 1), shared).eval()
    with torch.no_grad():
        x = zero(everything, 1)(shared(twice[0](images)))
        want, once = zero(everything, 1)(shared(twice[2](x))), shared(twice[2](x))
    got = answer(twice, images, "1", 1)
    yield "a module that runs twice is muted in both runs", close(got, want), \
        "only its first run was muted" if close(got, once) else "each run's output has the channel at zero"
    yield "afterwards the network is whole again", not _hooks(net) and close(net(images), with_zero(lambda x: x)), \
        "your hook is still there: remove() it"
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
def verdict(answer: Callable) -> Iterator[Case]:
    """``answer()``: a dict from letter to fault for the six suspects of the notebook."""
    said, truth = answer(), guilty(CASE)
    right = isinstance(said, dict) and set(said) == set(truth)
    yield "a dict with an entry for each of A to F", right, f"you return {short(said)}"
    if not right:
        return
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
    "For `norm = net.down[1][1]` compare exactly: its output equal to norm.weight * input + norm.bias, channel by "
    "channel, betrays a missing normalisation; means over the pixels equal to norm.bias within 1e-3 batch statistics.",
], points=4, count=11)
def diagnose(answer: Callable) -> Iterator[Case]:
    """``answer(net, image)``: the fault of one port, from its maps on one picture (1, H, W)."""
    cells = Cells(size=(64, 64), count=8, radius=(4, 9), seed=CASE + 1)
    for fault in FAULTS:
        got = [answer(port(fault), cells[k].image) for k in range(3)]
        yield f"{fault}, on three pictures", got == [fault] * 3, _diagnosis_advice(fault, got)
    few, large = (Cells(size=size, count=count, radius=(4, 9), seed=CASE + 2)[0].image
                  for size, count in (((64, 64), 1), ((128, 128), 8)))
    pictures = {"a picture with a single cell": few, "a picture of 128 px": large,
                "half the brightness": 0.5 * cells[3].image, "a picture of 64 x 48 px": cells[4].image[:, :, :48]}
    for what, image in pictures.items():
        got = {fault: answer(port(fault), image) for fault in FAULTS}
        wrong = next((fault for fault in FAULTS if got[fault] != fault), FAULTS[0])
        yield f"all six on {what}", all(got[fault] == fault for fault in FAULTS), \
            f"{wrong}: {_diagnosis_advice(wrong, [got[wrong]])}; a threshold that fits usual pictures does not fit " \
            "every picture: compare exactly"
    suspect = port("wrong mode at test")
    said = answer(suspect, cells[5].image), answer(suspect, cells[5].image)
    yield "the suspect is left as it was: asked twice, the same answer", said[0] == said[1] == "wrong mode at test", \
        f"you return {said[0]!r}, then {said[1]!r}: evidence must not be tampered with"


def _diagnosis_advice(fault: str, got: list) -> str:
    said = ", ".join(sorted({short(answer) for answer in got}))
    why = {
        "healthy": "this is the negative control, which every test has to acquit",
        "no skip": "the front half of joins.1 is zero everywhere",
        "ReLU before the sigmoid": "sigmoid(relu(z)) is never below 0.5; its segmentation at 0.5 looks perfect",
        "missing normalisation": "the output of down.1.1 is its input times norm.weight plus norm.bias, exactly",
        "crossed channels": "the front half of joins.1 is not down.0 but what came from below",
        "wrong mode at test": "behind down.1.1 the channel means are norm.bias exactly: statistics of this very "
                              "picture. (If you called eval(), you have cured it.)",
    }[fault]
    return f"you return {said}; {why}"
