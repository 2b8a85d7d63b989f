"""JupyterLab in headless Chromium: open a notebook, run it, move a control, look whether the picture changed."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},                          # keep every cell in the page
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},                # no pop-ups
}
KERNEL = "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
ALL_RUN = """() => window.jupyterapp.shell.currentWidget.content.widgets.every(
    c => c.model.type !== 'code' || !c.model.sharedModel.source.trim() || c.model.executionCount)"""
PICTURE = ".widget-image, img, canvas"


@contextmanager
def serve(folder, scratch):
    """Serve `folder` with JupyterLab on a free port, with settings of its own; yields `name -> address`."""
    for name, value in SETTINGS.items():
        file = scratch / "settings/@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, log = secrets.token_hex(8), scratch / "lab.log"
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(scratch / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "workspaces"),
        "JUPYTER_CONFIG_DIR": str(scratch / "config"), "JUPYTER_RUNTIME_DIR": str(scratch / "runtime")}
    with open(log, "w") as out:
        lab = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
             "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={folder}",
             "--LabApp.expose_app_in_browser=True"], env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/api", timeout=5).close()
                break
            except OSError as error:
                if lab.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}") from error
                time.sleep(0.1)
        yield lambda name: f"http://127.0.0.1:{port}/doc/tree/{name}?token={token}&reset"
    finally:
        lab.terminate()
        lab.wait(20)


def run_all(page, address, timeout=120):
    """Open a notebook, run all cells, wait for the last one; an error or a warning among the outputs is a failure."""
    page.goto(address)
    page.wait_for_function(f"() => {KERNEL}?.status === 'idle'", timeout=60_000)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    failed = page.locator(".jp-OutputArea [data-mime-type='application/vnd.jupyter.error'], "
                          ".jp-OutputArea [data-mime-type='application/vnd.jupyter.stderr']")
    deadline = time.monotonic() + timeout
    while not (page.evaluate(ALL_RUN) and page.evaluate(f"() => {KERNEL}.status === 'idle'")):
        assert failed.count() == 0, failed.first.inner_text()
        assert time.monotonic() < deadline, f"the notebook runs longer than {timeout} s"
        page.wait_for_timeout(100)
    assert failed.count() == 0, failed.first.inner_text()


def settled(page, picture, timeout=15):
    """The picture once the kernel is idle and two looks in a row agree: not a frame from the middle of a drag."""
    last, deadline = None, time.monotonic() + timeout
    while time.monotonic() < deadline:
        page.wait_for_function(f"() => {KERNEL}.status === 'idle'")
        now = picture.screenshot()
        if now == last:
            return now
        last = now
        page.wait_for_timeout(100)
    raise AssertionError("the picture never settled")


def picture_beside(control):
    """The picture of the output that holds this control."""
    output = control.locator("xpath=ancestor::*[contains(concat(' ', @class, ' '), ' jp-OutputArea-output ')][1]")
    return output.locator(PICTURE).first


def pull(page, slider, distance):
    """Pull a slider's handle by some pixels; return where the handle was, in px on the page."""
    box = slider.locator(".noUi-handle").first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + distance, y, steps=6)
    page.mouse.up()
    page.wait_for_timeout(200)
    return x


def drag(page, slider, distance=60):
    """Drag a slider towards its far end and back; True if the picture beside it was another one in between.

    It comes back, so that every control of a panel is moved from the state that the reader first sees.
    """
    slider.scroll_into_view_if_needed()
    picture = picture_beside(slider)
    before, track = settled(page, picture), slider.locator(".noUi-target").bounding_box()
    handle = slider.locator(".noUi-handle").first.bounding_box()
    away = -1 if handle["x"] + handle["width"] / 2 > track["x"] + track["width"] / 2 else 1
    start = pull(page, slider, away * distance)
    moved = settled(page, picture)
    handle = slider.locator(".noUi-handle").first.bounding_box()
    pull(page, slider, start - handle["x"] - handle["width"] / 2)
    return moved != before


def choose(page, menu):
    """Choose another entry of a drop-down menu, then the old one; True if the picture was another one in between."""
    menu.scroll_into_view_if_needed()
    picture = picture_beside(menu)
    before, chosen = settled(page, picture), menu.evaluate("m => m.selectedIndex")
    menu.select_option(index=(chosen + 1) % menu.locator("option").count())
    page.wait_for_timeout(200)
    moved = settled(page, picture)
    menu.select_option(index=chosen)
    return moved != before


def press(page, control):
    """Give a slider's handle or a menu the focus and press an arrow key, then the opposite one.

    True if the picture was another one in between, False if it stayed, None if the control could not be focused.
    """
    target = control.locator(".noUi-handle, select").first
    target.scroll_into_view_if_needed()
    target.focus()
    if not target.evaluate("t => t === document.activeElement"):
        return None
    picture = picture_beside(control)
    before, value = settled(page, picture), target.evaluate(VALUE)
    # on a menu JupyterLab takes the arrow keys for itself: the cell above, the cell below
    keys = ("PageDown", "PageUp") if target.evaluate("t => t.matches('select')") else ("ArrowRight", "ArrowLeft")
    for there, back in (keys, keys[::-1]):                     # at an end only one of the two keys moves it
        for _ in range(STEPS):                                 # one step may be too small to be seen
            page.keyboard.press(there)
        page.wait_for_timeout(150)
        moved = settled(page, picture)
        for _ in range(STEPS):
            page.keyboard.press(back)
            if target.evaluate(VALUE) == value:
                break
        settled(page, picture)
        if moved != before:
            return True
    return False


STEPS = 4
VALUE = "t => t.matches('select') ? t.selectedIndex : t.getAttribute('aria-valuenow')"


def move_every_control(page, cell):
    """Move every slider and menu in the output of a cell, with the mouse and with the keyboard.

    Returns description of the control -> whether the picture changed both times.
    """
    answers = {}
    for kind, move in ((".widget-slider", drag), (".widget-dropdown", lambda p, c: choose(p, c.locator("select")))):
        for control in cell.locator(kind).all():
            label = control.locator(".widget-label").first.inner_text()
            answers[label or f"{kind} {len(answers)}"] = move(page, control) and press(page, control)
    return answers
