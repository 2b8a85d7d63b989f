"""What a network computes on the way: hooks that record it, and which of it to look at.

Built from scratch in notebook 17; :func:`record_features` is used from notebook 05 on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seglab.modes import evaluating
from seglab.ops import ReceptiveField


class Call(NamedTuple):
    """One run of a module: its positional inputs and its output, as copies."""

    inputs: tuple[Any, ...]
    output: Any


@dataclass(frozen=True)
class Layer:
    """One place to look at in a network.

    Attributes
    ----------
    module : str
        Name as in ``model.named_modules()``.
    group : str
        "encoder", "skip", "decoder", ...: what it belongs to.
    title : str
        What a menu says; the module's name if empty.
    argument : int or None
        None looks at the output, k at positional input k. A skip is an input of the block that it enters.
    channels : (int, int) or None
        First channel and the one after the last, of a tensor that several things were concatenated to. None: all.
    call : int
        Which run of the module: an RPN head runs once a pyramid level.
    item : int
        Which element of the batch: the k-th picture, or the k-th region.
    stride : int or None
        Input px between two pixels of the map, which then lies centred on the picture (unpadded convolutions lose a
        border). None: the map covers all of the picture. 0: it has no place there, as a region's features.
    """

    module: str
    group: str = "layers"
    title: str = ""
    argument: int | None = None
    channels: tuple[int, int] | None = None
    call: int = 0
    item: int = 0
    stride: int | None = None

    @property
    def name(self) -> str:
        """What a menu says."""
        return self.title or self.module


@contextmanager
def recording(model: nn.Module, modules: Iterable[str]) -> Iterator[dict[str, list[Call]]]:
    """Record every run of the named modules while the ``with`` block lasts.

    Parameters
    ----------
    model : Module
        Its training mode is left as it is: a recorder that called ``eval()`` would cure the network that forgot it.
    modules : iterable of str
        Names as in ``model.named_modules()``.

    Yields
    ------
    dict of str to list of Call
        Filled as the modules run; a module that did not run keeps an empty list. Tensors are detached copies: what a
        later layer does in place (``ReLU(inplace=True)``) does not reach them.

    Raises
    ------
    ValueError
        For a name that the model does not have. The hooks are removed whatever happens inside the block.

    Examples
    --------
    >>> net = nn.Sequential(nn.Identity(), nn.ReLU())
    >>> with recording(net, ["1"]) as seen:
    ...     _ = net(torch.tensor([-1.0, 2.0]))
    >>> seen["1"][0].output.tolist()
    [0.0, 2.0]
    """
    modules = list(modules)
    known = dict(model.named_modules())
    unknown = [name for name in modules if name not in known]
    if unknown or not modules:
        raise ValueError(f"layers must name modules of the model, got {', '.join(unknown) or 'none'}; "
                         f"there are: {', '.join(filter(None, known))}")
    seen: dict[str, list[Call]] = {name: [] for name in modules}
    hooks = [hook for name in seen for hook in _watch(known[name], seen[name])]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def maps_of(seen: dict[str, list[Call]], layer: Layer) -> Tensor:
    """The feature maps ``(C, h, w)`` of one layer, float32 on the CPU; NaN and infinity are passed on.

    Raises
    ------
    ValueError
        If the layer did not run (so often), has no such input, or gives no ``(N, C, h, w)`` tensor, or an empty one.
    """
    calls = seen.get(layer.module, [])
    if layer.call >= len(calls):
        raise ValueError(f"{layer.name} did not run" + (f" {layer.call + 1} times" if calls else ""))
    value = calls[layer.call].output
    if layer.argument is not None:
        if layer.argument >= len(calls[layer.call].inputs):
            raise ValueError(f"{layer.name} has no input {layer.argument}")
        value = calls[layer.call].inputs[layer.argument]
    if not isinstance(value, Tensor) or value.ndim != 4:
        came = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise ValueError(f"{layer.name} gives {came}, and maps need (N, C, h, w)")
    maps = value[:, slice(*layer.channels)] if layer.channels else value
    if layer.item >= len(maps) or 0 in maps.shape:
        raise ValueError(f"{layer.name} is empty: item {layer.item} of a tensor of shape {tuple(maps.shape)}")
    return maps[layer.item].float().cpu()


def run_recorded(model: nn.Module, image: Tensor, modules: Iterable[str],
                 run: Callable[[nn.Module, Tensor], Any] | None = None) -> dict[str, list[Call]]:
    """Record one picture in eval mode, without gradients; the model's mode comes back.

    Parameters
    ----------
    model : Module
        Wherever it is: the picture is moved to its device.
    image : (C, H, W) tensor
    modules : iterable of str
    run : callable, optional
        ``run(model, image)``, by default ``model(image[None])``.

    Returns
    -------
    dict of str to list of Call
        See :func:`recording`.
    """
    run = run or (lambda model, image: model(image[None]))
    with evaluating(model), torch.no_grad(), recording(model, modules) as seen:
        run(model, image.to(device_of(model, image)))
    return seen


def record_features(model: nn.Module, image: Tensor, layers: Sequence[str | Layer]) -> dict[str, Tensor]:
    """What the named layers give for one image.

    Parameters
    ----------
    model : Module
        Run once in eval mode without gradients; its training mode comes back afterwards.
    image : (C, H, W) tensor
    layers : sequence of str or Layer
        Names as in ``model.named_modules()``.

    Returns
    -------
    dict of str to (channels, h, w) tensor
        In the order of ``layers``, float32 on the CPU, by name.

    Raises
    ------
    ValueError
        For a layer that the model does not have, or that did not run or give one ``(1, C, h, w)`` tensor.
    """
    layers = [layer if isinstance(layer, Layer) else Layer(layer) for layer in layers]
    seen = run_recorded(model, image, [layer.module for layer in layers])
    return {layer.name: maps_of(seen, layer) for layer in layers}


def look_inside(model: nn.Module, image: Tensor, layers: Sequence[Layer],
                run: Callable[[nn.Module, Tensor], Any] | None = None) -> dict[Layer, Tensor | str]:
    """As :func:`record_features`, for a reader who browses: a layer that cannot be shown says why instead.

    Returns
    -------
    dict of Layer to (channels, h, w) tensor or str
    """
    known, found = dict(model.named_modules()), {}
    try:
        seen = run_recorded(model, image, [layer.module for layer in layers if layer.module in known], run)
    except Exception as err:  # whatever stops the network, the reader is told
        return dict.fromkeys(layers, f"the network stopped with {type(err).__name__}: {err}")
    for layer in layers:
        try:
            found[layer] = maps_of(seen, layer) if layer.module in known else f"the model has no layer {layer.module}"
        except (ValueError, RuntimeError) as err:  # RuntimeError: a tensor that cannot be brought to the CPU
            found[layer] = str(err)
    return found


def strength(maps: Tensor) -> Tensor:
    """How much each channel of ``(C, h, w)`` says about the picture, ``(C,)``: its standard deviation over the pixels.

    A channel that is everywhere the same says nothing about *where*, however large it is. A single pixel has no
    deviation; there it is the absolute value. A channel with NaN or infinity counts as 0.
    """
    flat = maps.flatten(1)
    spread = flat.abs()[:, 0] if flat.shape[1] == 1 else flat.std(1, correction=0)
    return torch.where(spread.isfinite(), spread, torch.zeros_like(spread))


class UpTo(nn.Module):
    """A network cut behind one of its modules: images in, the output of that module's first run out.

    Lets tools that look at a network's output look at a layer: ``receptive_field(UpTo(net, "down.2"), ...)``.
    """

    def __init__(self, model: nn.Module, module: str) -> None:
        super().__init__()
        if module not in dict(model.named_modules()):
            raise ValueError(f"module must name a module of the model, got {module!r}")
        self.model, self.module = model, module

    def forward(self, images: Tensor) -> Tensor:
        """Output of the module; the rest of the network does not run."""
        def stop(_: nn.Module, __: Any, output: Tensor) -> None:
            raise _Reached(output)

        hook = self.model.get_submodule(self.module).register_forward_hook(stop)
        try:
            self.model(images)
        except _Reached as reached:
            return reached.args[0]
        finally:
            hook.remove()
        raise ValueError(f"{self.module} did not run")


class Patch(NamedTuple):
    """A piece of a picture that excites a unit."""

    value: float  # activation
    picture: int  # which picture
    top: int      # px, may be negative: the field of a unit of a padded network reaches beyond the border
    left: int
    image: Tensor  # (C, size, size), zero beyond the border


@torch.no_grad()
def activating_patches(model: nn.Module, images: Sequence[Tensor], module: str, channel: int, field: ReceptiveField,
                       count: int = 8) -> list[Patch]:
    """The patches on which one channel is largest, at most one per receptive field, strongest first.

    Parameters
    ----------
    model : Module
        Run in the mode it is in.
    images : sequence of (C, H, W) tensors
    module : str
    channel : int
    field : ReceptiveField
        Of that module: ``receptive_field(UpTo(model, module), (C, H, W))``. It says which input pixels a unit sees.
    count : int
        Largest number of patches.

    Returns
    -------
    list of Patch
        Two patches of one picture are at least half a field apart.

    References
    ----------
    Zeiler, Fergus, ECCV 2014, section 3; Zhou et al., ICLR 2015. Notebook 17.
    """
    found = []
    for number, image in enumerate(images):
        heat = UpTo(model, module)(image[None].to(device_of(model, image)))[0, channel].float().cpu()
        apart = [max(1, round(size / 2 / stride)) for size, stride in zip(field.size, field.stride, strict=True)]
        for _ in range(min(count, heat.numel())):
            y, x = divmod(int(heat.argmax()), heat.shape[1])
            if not torch.isfinite(heat[y, x]):
                break
            found.append((float(heat[y, x]), number, y, x))
            heat[max(0, y - apart[0] + 1):y + apart[0], max(0, x - apart[1] + 1):x + apart[1]] = -torch.inf
    found.sort(key=lambda unit: -unit[0])
    patches = []
    for value, number, *unit in found[:count]:
        top, left = (round(field.offset[a] + u * field.stride[a] - (field.size[a] - 1) / 2) for a, u in enumerate(unit))
        patches.append(Patch(value, number, top, left, _window(images[number], top, left, *field.size)))
    return patches


def device_of(model: nn.Module, image: Tensor) -> torch.device:
    """Where the model's parameters are; a model without any works where the image is."""
    return next(model.parameters(), image).device


class _Reached(Exception):
    """Carries a module's output out of a forward pass that need not go on."""


def _watch(module: nn.Module, calls: list[Call]) -> list[Any]:
    """Two hooks: the inputs have to be copied before the module runs, which may write into them."""
    given: list[Any] = []

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        given.append(_copy(inputs))

    def after(_: nn.Module, __: Any, output: Any) -> None:
        calls.append(Call(given.pop(), _copy(output)))

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: _copy(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return tuple(map(_copy, value))
    return value


def _window(image: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    patch = image.new_zeros(image.shape[0], height, width)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + height, image.shape[1]), min(left + width, image.shape[2])
    if y1 > y0 and x1 > x0:
        patch[:, y0 - top:y1 - top, x0 - left:x1 - left] = image[:, y0:y1, x0:x1]
    return patch
