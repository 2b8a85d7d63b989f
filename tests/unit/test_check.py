"""Proofs fail when values differ, exercise checks never raise and harm nothing, hints escalate."""

import copy
import pickle
import random
import signal
import sys
import threading
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from seglab import exercises
from seglab.check import Score, check, hint
from seglab.exercises import exercise, find
from seglab.exercises.answers import close, differs, not_shaped, slip
from seglab.exercises.trial import Trial
from seglab.hints import _GIVEN
from seglab.runtime import seed_everything


def core_exercises():
    """Every exercise on which a chapter goes on."""
    for module in sorted(Path(exercises.__file__).parent.glob("nb*.py")):
        with suppress(ValueError):
            find(f"{module.stem[2:]}.0")                       # imports the module
    return sorted(id for id, task in exercises._REGISTRY.items() if task.course is not None)


def test_equal_prints_one_line_and_raises_with_the_worst_place(capsys):
    check.equal(torch.ones(2, 3), np.ones((2, 3)), "ones")
    assert capsys.readouterr().out == "✔ ones: 2×3 values equal exactly\n"
    with pytest.raises(AssertionError, match=r"1 of 4 values differ .* worst at \(1, 0\): 5 here, 3 in the reference"):
        check.equal([[1, 2], [5, 4]], [[1, 2], [3, 4]])


@pytest.mark.parametrize(("mine", "reference"), [
    ([1.0], [1.0 + 2e-6]), ([float("nan")], [1.0]), ([float("inf")], [-float("inf")]), ([1.0, 2.0], [1.0]), ([], []),
    ([True], [False]), (np.array([255], np.uint8), np.array([0], np.uint8)), ([1 + 1j], [1 - 1j]),
])
def test_equal_sees_every_kind_of_difference(mine, reference):
    with pytest.raises(AssertionError, match="✘"):
        check.equal(mine, reference, tolerance=1e-6)


def test_equal_accepts_the_same_special_values_and_half_types(capsys):
    check.equal([float("nan"), float("inf")], [float("nan"), float("inf")])
    check.equal(torch.ones(2, dtype=torch.bfloat16), torch.ones(2))
    check.equal(np.array([0, 255], np.uint8), [0, 255])
    check.equal(1.5, 1.4, tolerance=0.2)
    assert "within" not in capsys.readouterr().out.splitlines()[0]
    check.equal(1.0, 1.0, "one", tolerance=0.015)
    assert capsys.readouterr().out.endswith("within 0.015\n")
    with pytest.raises(AssertionError, match=r"worst at \(\): 1.5 here"):
        check.equal(1.5, 1.4)
    with pytest.raises(TypeError, match="mine must be numbers"):
        check.equal(object(), 1)


def test_gradient_compares_value_and_gradient():
    x = torch.randn(5, generator=torch.Generator().manual_seed(0))
    check.gradient(lambda x: x * x, lambda x: x.square(), x)
    with pytest.raises(AssertionError, match="value"):
        check.gradient(lambda x: x * 2, lambda x: x.square(), x)
    with pytest.raises(AssertionError, match="gradient"):
        check.gradient(lambda x: x.detach() * x, lambda x: x.square(), x)
    with pytest.raises(AssertionError, match="proves nothing"):
        check.gradient(lambda x: x * 0, lambda x: x * 0, x)


def test_band_judges_a_number_except_in_a_smoke_run(capsys, monkeypatch):
    check.band("Dice", 0.91, at_least=0.85)
    assert capsys.readouterr().out == "✔ Dice: 0.91 (at least 0.85)\n"
    for value, bounds in ((0.8, {"at_least": 0.85}), (1.2, {"at_least": 0, "at_most": 1}), (np.nan, {"at_most": 1})):
        with pytest.raises(AssertionError, match="✘ Dice"):
            check.band("Dice", value, **bounds)
    with pytest.raises(ValueError, match="at_least or at_most"):
        check.band("Dice", 1)
    monkeypatch.setenv("SEGLAB_PROFILE", "smoke")
    check.band("Dice", 0.1, at_least=0.85)
    assert capsys.readouterr().out == "· Dice: 0.1 (a full run has at least 0.85)\n"


# ---------------------------------------------------------------- exercises

def double(x):
    return 2 * x


@pytest.fixture
def toy():
    @exercise("99.1", title="Doubling", hints=["think", "2 * x"], points=3, count=4, course=double, seconds=0.5)
    def cases(answer):
        for x in (3, 0):
            yield f"{x} becomes {2 * x}", close(answer(x), 2 * x), slip(answer(x), 2 * x, {x**2: "squared"})
        grid = torch.arange(6.0).view(2, 3)
        yield "a map", close(answer(grid), 2 * grid), differs(answer(grid), 2 * grid)
        yield "a list of them", close(answer(np.arange(3)), [0, 2, 4]), "every entry"

    yield
    del exercises._REGISTRY["99.1"]
    check._scores.clear()
    _GIVEN.clear()


def run(answer, capsys):
    score = check("99.1", answer)
    return score, capsys.readouterr().out


def test_check_says_what_is_wrong_and_never_raises(toy, capsys):
    def stub(x):
        raise NotImplementedError

    score, out = run(double, capsys)
    assert score and score == 3 and repr(score) == "3.0"
    assert "99.1 Doubling: all good, 3 of 3 points\n✔ 3 becomes 6" in out
    for wrong, message in [(lambda x: x + 3, "✘ 0 becomes 0: you return 3, it should be 0"),
                           (stub, "not written yet"), (lambda x: x**2, "squared"),
                           (None, "hand over the function itself"), (6, "hand over the function itself")]:
        score, out = run(wrong, capsys)
        assert not score and message in out, out


def test_points_are_the_share_of_the_cases_also_when_the_answer_stops_half_way(toy, capsys):
    score, out = run(lambda x: x * 2 if np.ndim(x) == 0 else x, capsys)
    assert score == 1.5 and "not yet, 1.5 of 3 points" in out
    score, out = run(lambda x: x * 2 if np.ndim(x) == 0 else x["a"], capsys)
    assert score == 1.5, out                                    # two of four cases, though only three were reached
    assert float(check.points("99.1")) == 1.5
    with pytest.raises(ValueError, match="an exercise that was checked"):
        check.points("99.2")


def test_an_error_shows_the_readers_line(toy, capsys):
    def stumbles(x):
        y = {}
        return y["key"]

    score, out = run(stumbles, capsys)
    assert "your code stopped with KeyError: 'key' (line " in out and '`return y["key"]`' in out


def test_a_missing_return_is_said_as_such(toy, capsys):
    def forgets(x):
        2 * x

    assert run(forgets, capsys)[1] == '99.1 Doubling: not yet, 0 of 3 points; hint("99.1") helps\n' \
        "✘ the function returns None: is there a `return`?\n"


def test_what_pytorch_has_not_implemented_is_no_blank(toy, capsys):
    def answer(x):
        return torch.nn.functional.grid_sample(torch.ones(1, 1, 2, 2).long(), torch.zeros(1, 1, 1, 2).long())
    out = run(answer, capsys)[1]
    assert "not written yet" not in out and "your code stopped with" in out


class Unprintable(Exception):
    def __str__(self):
        raise ValueError


@pytest.mark.parametrize("error", [SystemExit(3), GeneratorExit(), BaseException("x"), Unprintable(), MemoryError()])
def test_no_error_gets_out(toy, capsys, error):
    def answer(x):
        raise error
    assert f"your code stopped with {type(error).__name__}" in run(answer, capsys)[1]


@pytest.mark.parametrize("odd", [torch.eye(2).to_sparse(), torch.empty(3, device="meta"), np.array([object()]),
                                 10**400])
def test_odd_values_are_wrong_answers(toy, capsys, odd):
    score, out = run(lambda x: odd, capsys)
    assert not score and "✘ 3 becomes 6: you return" in out


def test_what_cannot_be_used_is_shown(toy, capsys):
    assert "you return 'six'" in run(lambda x: "six", capsys)[1]
    assert "you return <object" in run(lambda x: object(), capsys)[1]


def test_right_answers_in_other_types_pass(toy, capsys):
    for style in (lambda x: np.multiply(2, x), lambda x: torch.as_tensor(x).float() * 2,
                  lambda x: (np.asarray(x) * 2).astype(np.float32), lambda x: torch.as_tensor(x).double() * 2):
        score, out = run(style, capsys)
        assert score, out


@pytest.mark.parametrize("loop", ["while True: pass", "while True:\n  try:\n    pass\n  except Exception:\n    pass",
                                  "import time\ntime.sleep(30)", "while True: yield x"])
def test_an_answer_that_does_not_end_is_stopped(toy, capsys, loop):
    space = {}
    exec("def endless(x):\n " + loop.replace("\n", "\n "), space)
    score, out = run(space["endless"], capsys)
    assert not score and "your code was stopped after 0.5 s: does every loop end?" in out


def test_an_answer_is_stopped_off_the_main_thread_too(toy):
    def endless(x):
        while True:
            pass

    seen = []
    thread = threading.Thread(target=lambda: seen.append(check("99.1", endless)))
    thread.start()
    thread.join(20)
    assert seen == [0] and not seen[0].full


def test_an_alarm_that_was_running_goes_on(toy, capsys):
    rung = []
    previous = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    signal.setitimer(signal.ITIMER_REAL, 0.4)
    try:
        check("99.1", double)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
        time.sleep(0.6)
        assert rung
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_warnings_and_stderr_cost_no_points_and_stay_off_stderr(toy, capfd):
    def warns(x):
        warnings.warn("a right answer may warn", RuntimeWarning, stacklevel=1)
        print("so may stderr", file=sys.stderr)
        return 2 * x

    score = check("99.1", warns)
    out, err = capfd.readouterr()
    assert score and score == 3 and err == ""
    assert "· your code warns: RuntimeWarning: a right answer may warn" in out and "so may stderr" in out


def test_sys_exit_does_not_get_out_but_the_stop_button_does(toy, capsys):
    assert "your code stopped with SystemExit" in run(lambda x: sys.exit(3), capsys)[1]

    def pressed(x):
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        check("99.1", pressed)


def test_the_inputs_are_copies_and_a_change_in_place_is_told(toy, capsys):
    def in_place(values):
        if isinstance(values, torch.Tensor):
            values *= 2
            return values
        return 2 * values

    score, out = run(in_place, capsys)
    assert not score and score == 3 * 4 / 5                    # all four cases hold, one thing more is wrong
    assert "✘ nothing else is touched: it changes `values`, which others still need: work on values.clone()" in out


@pytest.mark.parametrize("value, spoil", [
    ([3, 1, 2], list.sort), ([3, 1], list.clear), ({"a": 1}, lambda d: d.update(b=2)), ({1, 2}, lambda s: s.add(3)),
    (["a", "b"], list.reverse), ([torch.zeros(2)], lambda parts: parts[0].add_(1)),
    ((np.zeros(2), 1), lambda pair: pair[0].__iadd__(1)), ([[1], [2]], lambda rows: rows[0].append(3)),
])
def test_a_change_inside_a_container_is_told(value, spoil):
    trial = Trial(lambda x: spoil(x))
    before = repr(value)
    trial(value)
    assert repr(value) == before and "it changes `x`" in trial.complaints[0]
    trial = Trial(lambda x: len(x))
    trial(value)
    assert trial.complaints == []


@pytest.mark.parametrize("leaves, says", [
    (lambda: torch.set_grad_enabled(False), "leaves gradients switched off"),
    (lambda: torch.set_default_dtype(torch.float64), "default dtype"),
    (lambda: torch.set_num_threads(torch.get_num_threads() + 1), "number of PyTorch's threads"),
    (lambda: np.seterr(divide="raise" if np.geterr()["divide"] != "raise" else "warn"), "division by zero"),
    (lambda: torch.manual_seed(7), "seeds PyTorch's global generator"),
])
def test_switches_are_put_back_and_told(toy, capsys, leaves, says):
    def answer(x):
        leaves()
        return 2 * x

    torch.manual_seed(7)
    before = torch.is_grad_enabled(), torch.get_default_dtype(), torch.initial_seed()
    score, out = run(answer, capsys)
    assert not score and says in out
    assert (torch.is_grad_enabled(), torch.get_default_dtype(), torch.initial_seed()) == before


def test_a_check_does_not_change_what_later_cells_draw(toy, capsys):
    def draws(x):
        return 2 * x + 0 * torch.rand(1).item() * np.random.rand() * random.random()

    seed_everything(3)
    wanted = torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()
    seed_everything(3)
    assert run(draws, capsys)[0]
    assert (torch.rand(2).tolist(), np.random.rand(2).tolist(), random.random()) == wanted


def spoiled(spoil):
    """A check whose answer gets a network; `spoil(net)` is what the answer does to it."""
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2)).train()
    net[1].eval()
    net[0].register_forward_hook(lambda *_: None)
    trial = Trial(lambda model: spoil(model))
    with suppress(ArithmeticError):
        trial(net)
    return net, " ".join(trial.complaints)


def fails_with_a_hook(net):
    net.register_forward_hook(lambda *_: None)
    raise ArithmeticError


@pytest.mark.parametrize("spoil, says", [
    (lambda net: net.eval(), "another mode"), (lambda net: net.train(), "another mode"),
    (lambda net: net.requires_grad_(False), "`requires_grad`"),
    (lambda net: net[0]._forward_hooks.clear(), "removes a hook"),
    (lambda net: net[0].register_forward_pre_hook(lambda *_: None), "leaves a hook behind"),
    (lambda net: setattr(net[0], "forward", lambda x: x), "`forward` replaced"),
    (fails_with_a_hook, "leaves a hook behind"), (lambda net: net[0].weight.data.zero_(), "changes the weights"),
])
def test_what_is_left_in_a_network_is_told_and_modes_are_put_back(spoil, says):
    net, complaints = spoiled(spoil)
    assert says in complaints
    assert net.training and not net[1].training and all(p.requires_grad for p in net.parameters())


def test_a_network_that_is_only_run_draws_no_complaint():
    assert spoiled(lambda net: net(torch.rand(2, 1, 4, 4)))[1] == ""


# ---------------------------------------------------------------- core exercises

def test_use_goes_on_with_the_answer_only_when_it_holds(toy, capsys):
    def mine(x):
        return x + x

    def blank(x):
        raise NotImplementedError

    assert check.use("99.1", mine) is mine
    assert capsys.readouterr().out.endswith("→ the chapter goes on with your mine\n")
    assert check.use("99.1", blank) is double
    assert capsys.readouterr().out == '99.1 Doubling: not written yet (hint("99.1") helps); the chapter goes on with ' \
        "the course's blank\n"
    assert check.use("99.1", lambda x: x) is double
    out = capsys.readouterr().out
    assert "✘ 3 becomes 6" in out and "→ until all of it holds, the chapter goes on with the course's" in out
    assert float(check.points("99.1")) == 3 / 4


def test_a_core_cell_run_twice_earns_nothing_more(toy, capsys):
    def wrong(x):
        return x

    goes_on = check.use("99.1", wrong)
    first = float(check.points("99.1"))
    assert check.use("99.1", goes_on) is double and float(check.points("99.1")) == first < 3
    assert "this is the course's function; run the cell with your own first" in capsys.readouterr().out


def test_a_swallowed_time_limit_is_no_right_answer(toy, capsys):
    def swallows(x):
        try:
            time.sleep(3)
        except:                                                                                          # noqa: E722
            pass
        return 2 * x
    assert "your code was stopped after 0.5 s" in run(swallows, capsys)[1]


def test_a_score_can_be_copied_and_stored():
    for again in (copy.deepcopy(Score(1.5, True)), pickle.loads(pickle.dumps(Score(1.5, True)))):
        assert again == 1.5 and again.full


def test_use_is_for_core_exercises(capsys):
    @exercise("99.3", title="Side", hints=["a", "b"], points=1, count=1)
    def cases(answer):
        yield "x", True, ""
    try:
        with pytest.raises(ValueError, match="must name a core exercise, got '99.3'"):
            check.use("99.3", double)
    finally:
        del exercises._REGISTRY["99.3"]


# ---------------------------------------------------------------- comparing

def test_close_compares_numbers_of_any_kind_in_float64():
    want = torch.tensor([[1.0, 2.0], [3.0, float("nan")]], dtype=torch.float64)
    for got in (want.float(), want.numpy(), want.tolist(), [want[0], want[1]], want.to(torch.bfloat16)):
        assert close(got, want)
    assert close(np.float32(0.1), 0.1) and close(3, 3.0) and close(torch.tensor(2), 2) and close(True, 1)
    assert close(float("inf"), float("inf")) and not close(float("inf"), -float("inf"))
    for got in (None, "3", [1.0, [2.0]], {3: 3}, object(), [3.0], float("nan")):
        assert not close(got, 3.0)
    assert not close(1 + 2e-6, 1.0) and close(1e9 + 1, 1e9) and not close(1.001e9, 1e9)


def test_a_difference_is_shown_at_its_worst_place_with_enough_digits():
    want = torch.zeros(2, 3)
    got = want.clone()
    got[1, 2], got[0, 0] = 0.5, 1e-4
    assert differs(got, want) == "at (1, 2) you have 0.5, it should be 0; 2 of 6 values differ"
    assert differs(0.56241234, 0.56241999) == "you return 0.562412, it should be 0.56242"
    assert differs([1, float("nan")], [1, 2]).startswith("at (1) you have nan, it should be 2")
    assert differs(torch.zeros(2), torch.zeros(3)) == "you return shape (2,), it should be (3,)"
    assert differs(None, 1) == "the function returns None: is there a `return`?"
    assert slip(4, 2, {4: "squared"}) == "squared" and slip(2, 2, {2: "never said"}) == ""
    assert slip(torch.ones(2), torch.zeros(2), [(torch.ones(2), "upside down")]) == "upside down"
    assert not_shaped(torch.zeros(2), (2,)) == ""
    assert not_shaped([1, 2], (3,)) == "return an array of shape (3,), not (2,)"


@pytest.mark.parametrize("id", core_exercises())
def test_the_courses_own_function_passes_its_check(id, capsys):
    assert check(id, find(id).course), capsys.readouterr().out


def test_hints_escalate_and_the_last_one_repeats(toy, capsys):
    for expected in ("Hint 1 of 2 for 99.1: think", "Hint 2 of 2 for 99.1: 2 * x", "(that was the last one): 2 * x"):
        hint("99.1")
        assert expected in capsys.readouterr().out


def test_an_unknown_exercise_is_named_with_those_that_exist(toy):
    with pytest.raises(ValueError, match="id must name an exercise, got '99.7'; notebook 99 has: 99.1"):
        find("99.7")
    with pytest.raises(ValueError, match="id must look like"):
        exercise("5.1", "t", ["a", "b"], points=1, count=1)
    with pytest.raises(ValueError, match="points must be > 0"):
        exercise("99.9", "t", ["a", "b"], points=0, count=1)


def test_a_score_prints_all_its_digits_in_a_notebook():
    from IPython.lib.pretty import pretty

    assert pretty(Score(1.25, False)) == "1.25" and pretty(Score(2, True)) == "2.0"
