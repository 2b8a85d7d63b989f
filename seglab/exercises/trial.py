"""A reader's function under observation: what a check calls instead of the function itself.

Whatever the function does, the notebook goes on: it gets copies of its arguments, is stopped when it does not end, and
what it leaves behind in PyTorch or in a network is found, told and put back.
"""

import contextlib
import copy
import ctypes
import inspect
import io
import linecache
import random
import signal
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, GeneratorType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

PACKAGE = Path(__file__).resolve().parents[1]
_SEED = 0x5EED_0FA_71A1  # of PyTorch's global generator during a trial; nobody else's


class TooLong(BaseException):
    """Raised inside an answer that does not end; no ``except Exception`` of the reader's catches it."""


class Trial:
    """Callable like the answer, with copies of the arguments; remembers what the answer did wrong besides its result.

    Parameters
    ----------
    answer : callable
        The reader's function or class.
    changes : tuple of str
        Names of arguments that the exercise asks to change.
    seconds : float
        A call that takes longer is stopped.

    Attributes
    ----------
    complaints : list of str
        What the answer left behind, in words, each once.
    notes : list of str
        Its warnings, and what it wrote to stderr.
    calls, nones : int
        Number of calls that returned, and of those that returned None.
    error : tuple or None
        The exception that came out of the answer last, and the reader's line that raised it.
    """

    def __init__(self, answer: Callable, changes: tuple[str, ...] = (), seconds: float = 10.0):
        self.answer, self.changes, self.seconds = answer, changes, seconds
        self.complaints: list[str] = []
        self.notes: list[str] = []
        self.calls = self.nones = 0
        self.error: tuple[BaseException, str] | None = None
        self.last: Any = None
        self.__name__ = getattr(answer, "__name__", type(answer).__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the answer with copies; its exceptions come through unchanged."""
        named = self._names(args, kwargs)
        given = [_copied(value) for value in args]
        given_named = {name: _copied(value) for name, value in kwargs.items()}
        nets = [net for value in (*args, *kwargs.values()) for net in _networks(value)]
        before = [_network_state(net) for net in nets]
        with quietly(self.notes):
            switches = _Switches()
            try:
                with deadline(self.seconds):
                    result = self.answer(*given, **given_named)
                    result = list(result) if isinstance(result, GeneratorType) else result
            except BaseException as err:
                self.error = err, readers_line(err)
                raise
            finally:
                self._complain(switches.put_back())
                if "model" not in self.changes and "net" not in self.changes:
                    for net, state in zip(nets, before, strict=True):
                        self._complain(_network_left(net, state))
                pairs = zip(named, (*args, *kwargs.values()), (*given, *given_named.values()), strict=True)
                self._complain(_in_place(name, old, new) for name, old, new in pairs if name not in self.changes)
        self.calls += 1
        self.nones += result is None
        self.last = result
        return result

    def _names(self, args: tuple, kwargs: dict) -> list[str]:
        try:
            names = list(inspect.signature(self.answer).parameters)
        except (TypeError, ValueError):
            names = []
        named = [names[k] if k < len(names) else f"argument {k + 1}" for k in range(len(args))]
        return [*named, *kwargs]

    def _complain(self, found: Any) -> None:
        self.complaints += [text for text in found if text and text not in self.complaints]


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise :class:`TooLong` in this thread when the block takes longer; nested or off the main thread as well."""
    if threading.current_thread() is threading.main_thread() and hasattr(signal, "setitimer"):
        rung = []

        def ring(number: int, frame: FrameType | None) -> None:
            rung.append(True)
            raise TooLong

        previous = signal.signal(signal.SIGALRM, ring)
        left = signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)[0]  # rings again where a bare `except:` swallowed it
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, left)
            signal.signal(signal.SIGALRM, previous)
        if rung:  # a bare `except:` of the reader's swallowed it
            raise TooLong
        return
    done, me = threading.Event(), threading.get_ident()

    def interrupt() -> None:
        if not done.is_set():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(me), ctypes.py_object(TooLong))

    timer = threading.Timer(seconds, interrupt)
    timer.start()
    try:
        yield
    finally:
        done.set()
        timer.cancel()


@contextlib.contextmanager
def quietly(notes: list[str]) -> Iterator[None]:
    """Collect warnings and whatever is written to stderr: a grader takes any of it for a failure.

    The global random generators come out as they went in, so that a check never changes what a later cell draws.
    """
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    said = io.StringIO()
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stderr(said):
        warnings.simplefilter("always")
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
            torch.set_rng_state(states[2])
            texts = [f"{w.category.__name__}: {' '.join(str(w.message).split())}" for w in caught]
            texts += said.getvalue().splitlines()
            notes += [text for text in dict.fromkeys(texts) if text.strip() and text not in notes]


def readers_line(err: BaseException) -> str:
    """``line 3, "x = y[4]"`` of the last frame that is neither this package nor an installed one; empty if none."""
    frames = [f for f in traceback.extract_tb(err.__traceback__)
              if not Path(f.filename).is_relative_to(PACKAGE) and "site-packages" not in f.filename
              and not f.filename.startswith("<frozen")]
    if not frames:
        return ""
    frame = frames[-1]
    source = (frame.line or linecache.getline(frame.filename, frame.lineno or 0)).strip()
    return f"line {frame.lineno}" + (f", `{source}`" if source else "")


def _copied(value: Any) -> Any:
    """A copy that an answer may spoil: arrays, tensors (still in their graph) and containers of them."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, np.ndarray):
        return value.copy(order="K")
    if type(value) in (list, tuple, set):
        return type(value)(_copied(part) for part in value)
    if type(value) is dict:
        return {key: _copied(part) for key, part in value.items()}
    return value


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.shape == b.shape and a.dtype == b.dtype and \
            bool(((a == b) | ((a != a) & (b != b))).all())
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and a.shape == b.shape and a.dtype == b.dtype and \
            bool(((a == b) | ((a != a) & (b != b))).all())
    if type(a) in (list, tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same, a, b))
    if type(a) is dict:
        return type(b) is dict and list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, int | float | complex | str | bytes | set | type(None)):
        return bool(a == b or (a != a and b != b))
    return True  # objects that are handed on as they are


def _in_place(name: str, given: Any, left: Any) -> str:
    if _same(given, left):
        return ""
    kind = "clone()" if isinstance(given, Tensor) else "copy()"
    return f"it changes `{name}`, which others still need: work on {name}.{kind}"


def _networks(value: Any) -> list[nn.Module]:
    if isinstance(value, nn.Module):
        return [value]
    return [v for v in value if isinstance(v, nn.Module)] if type(value) in (list, tuple) else []


def _hooks(net: nn.Module) -> list[int]:
    return [sorted(h) for m in net.modules() for h in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks,
                                                       m._backward_pre_hooks)]


def _network_state(net: nn.Module) -> dict[str, Any]:
    return {"modes": [m.training for m in net.modules()], "hooks": _hooks(net),
            "trained": [p.requires_grad for p in net.parameters()],
            "weights": copy.deepcopy([p.detach() for p in net.parameters()]),
            "patched": ["forward" in vars(m) for m in net.modules()]}


def _network_left(net: nn.Module, state: dict[str, Any]) -> list[str]:
    """What is different in a network after the call; modes and ``requires_grad`` are put back."""
    found = []
    modules, parameters = list(net.modules()), list(net.parameters())
    if [m.training for m in modules] != state["modes"]:
        found.append("it leaves modules in another mode (train or eval) than it found them in, which cures or breaks "
                     "whatever depends on the mode")
        for module, mode in zip(modules, state["modes"]):
            module.training = mode
    hooks = _hooks(net)
    if any(set(now) - set(then) for now, then in zip(hooks, state["hooks"])):
        found.append("it leaves a hook behind: remove() it, also after an error")
    if any(set(then) - set(now) for now, then in zip(hooks, state["hooks"])):
        found.append("it removes a hook that somebody else had registered")
    if ["forward" in vars(m) for m in modules] != state["patched"]:
        found.append("it leaves a module's `forward` replaced")
    if [p.requires_grad for p in parameters] != state["trained"]:
        found.append("it leaves `requires_grad` of parameters changed")
        for parameter, trained in zip(parameters, state["trained"]):
            parameter.requires_grad_(trained)
    if not all(_same(a, b.detach()) for a, b in zip(state["weights"], parameters)):
        found.append("it changes the weights of the network")
    return found


class _Switches:
    """PyTorch's global switches as they stood."""

    def __init__(self) -> None:
        self.grad, self.dtype = torch.is_grad_enabled(), torch.get_default_dtype()
        self.threads, self.device, self.errors = torch.get_num_threads(), torch.get_default_device(), np.geterr()
        torch.manual_seed(_SEED)  # so that any other seed shows; the caller puts the generator back

    def put_back(self) -> list[str]:
        """Restore them; what had been changed, in words."""
        found = []
        if torch.is_grad_enabled() != self.grad:
            found.append(f"it leaves gradients switched {'on' if torch.is_grad_enabled() else 'off'} for all that "
                         "follows: use `with torch.no_grad():`")
            torch.set_grad_enabled(self.grad)
        if torch.get_default_dtype() != self.dtype:
            found.append("it changes PyTorch's default dtype for all that follows")
            torch.set_default_dtype(self.dtype)
        if torch.get_num_threads() != self.threads:
            found.append("it changes the number of PyTorch's threads for all that follows")
            torch.set_num_threads(self.threads)
        if torch.get_default_device() != self.device:
            found.append("it changes PyTorch's default device for all that follows")
            torch.set_default_device(self.device)
        if np.geterr() != self.errors:
            found.append("it changes how NumPy treats division by zero for all that follows: use `with np.errstate`")
            np.seterr(**self.errors)
        if torch.initial_seed() != _SEED:
            found.append("it seeds PyTorch's global generator, on which others draw: use a torch.Generator of your own")
        return found
