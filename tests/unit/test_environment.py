"""One list of dependencies: pyproject.toml, constraints.txt, environment.yml and every import agree."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import packages_distributions
from pathlib import Path

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDED = [Requirement(r) for r in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(r) for r in rs] for name, rs in PROJECT["optional-dependencies"].items()}
DIRECT = {canonicalize_name(r.name): r for r in [*NEEDED, *sum(EXTRAS.values(), [])] if r.name != "seglab"}
OWNERS = packages_distributions()


def constraints():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(r.name): r for r in (Requirement(x) for x in lines if x and not x.startswith("#"))}


def test_ranges_in_the_project_exact_versions_in_the_constraints():
    for name, requirement in DIRECT.items():
        signs = {s.operator for s in requirement.specifier}
        assert ">=" in signs and "==" not in signs, f"{name}: pyproject.toml wants a range, has {requirement}"
    for name, requirement in constraints().items():
        assert [s.operator for s in requirement.specifier] == ["=="], f"constraints.txt: {name} needs one =="


def test_constraints_hold_every_direct_dependency_inside_its_range():
    assert constraints().keys() == DIRECT.keys()
    for name, requirement in constraints().items():
        version, = (s.version for s in requirement.specifier)
        assert DIRECT[name].specifier.contains(version), f"{name}=={version} is outside {DIRECT[name].specifier}"


def test_extra_all_is_the_sum_of_the_others():
    everything, = EXTRAS["all"]
    assert everything.name == "seglab" and everything.extras == EXTRAS.keys() - {"all"}


def test_conda_installs_the_same_list_under_the_same_constraints():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment.keys() == {"name", "channels", "dependencies"}
    from_conda = [d for d in environment["dependencies"] if isinstance(d, str)]
    from_pip, = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert from_pip == ["-c constraints.txt", "-e .[all]"]
    python, pip = from_conda
    assert pip == "pip"
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))


@pytest.mark.parametrize("file", ["Makefile", "README.md"])
def test_every_way_to_install_uses_the_constraints_and_a_reader_needs_no_extra(file):
    text = (ROOT / file).read_text()
    installs = [line for line in text.splitlines() if "pip install" in line]
    assert installs and all("-c constraints.txt" in line for line in installs)
    targets = re.findall(r'(?:pip install -c constraints\.txt|\$\(PIP\)) -e (\S+?)`?(?:[\s`]|$)', text)
    assert targets[0] == "." and {t.strip('"') for t in targets} <= {".", *(f".[{name}]" for name in EXTRAS)}, targets


def test_what_a_reader_must_install_has_no_package_that_a_python_lacks():
    assert "pymaxflow" not in {canonicalize_name(r.name) for r in NEEDED}
    marker, = (r.marker for r in EXTRAS["references"] if r.name == "PyMaxflow")
    assert marker.evaluate({"python_version": "3.13"}) and not marker.evaluate({"python_version": "3.14"})


def test_make_repairs_an_environment_whose_folder_was_moved(tmp_path):
    old, new = tmp_path / "a course", tmp_path / "für später"
    old.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, old)
    venv.create(old / ".venv", with_pip=False)
    site, = (old / ".venv").glob("lib/python*/site-packages")
    (site / "seglab-0.1.0.dist-info").mkdir()
    (site / "seglab-0.1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: seglab\nVersion: 0.1.0\n")
    (site / "seglab-0.1.0.dist-info/direct_url.json").write_text(json.dumps({"url": old.as_uri()}))
    (site / "__editable___seglab.pth").write_text(f"{old}\n")
    (old / ".venv/bin/tool").write_text(f"#!{old}/.venv/bin/python\n")
    (old / ".venv/.reader").touch()
    old.rename(new)

    def make():
        done = subprocess.run(["make", "here"], cwd=new, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(old) in make()
    site = new / site.relative_to(old)
    assert json.loads((site / "seglab-0.1.0.dist-info/direct_url.json").read_text())["url"] == new.as_uri()
    assert (site / "__editable___seglab.pth").read_text() == f"{new}\n"
    assert (new / ".venv/bin/tool").read_text() == f"#!{new}/.venv/bin/python\n"
    assert make() == ""
    python = new / ".venv/bin/python"
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    done = subprocess.run(["make", "here"], cwd=new, capture_output=True, text=True)
    assert done.returncode and "type: rm -rf .venv && make lab" in done.stdout


def imports(tree):
    """Top-level names imported anywhere in a module, with True where the import runs when the module is loaded."""
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
              for n in ast.walk(f)}
    for node in ast.walk(tree):
        names = [a.name for a in node.names] if isinstance(node, ast.Import) else \
            [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
        yield from ((name.split(".")[0], id(node) not in inside) for name in names)


def undeclared(source, declared, loaded_only=False):
    """Imports of `source` that no requirement in `declared` brings."""
    found = {name for name, at_load in imports(ast.parse(source)) if at_load or not loaded_only}
    found -= set(sys.stdlib_module_names) | {"seglab"}
    return {n for n in found if not {canonicalize_name(d) for d in OWNERS.get(n, [n])} & set(declared)}


def notebook_source(path):
    cells = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    lines = "\n".join(c for c in cells if not c.startswith("%%")).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith(("%", "!")))


def test_the_package_loads_with_what_a_plain_install_brings():
    base = {canonicalize_name(r.name) for r in NEEDED}
    for path in ROOT.glob("seglab/**/*.py"):
        assert not undeclared(path.read_text(), base, loaded_only=True), path
        assert not undeclared(path.read_text(), DIRECT), path


def test_notebooks_and_tests_import_nothing_undeclared():
    for path in ROOT.glob("notebooks/*.ipynb"):
        assert not undeclared(notebook_source(path), DIRECT), path
    ours = {path.stem for path in ROOT.glob("tests/**/*.py")}
    for path in ROOT.glob("tests/**/*.py"):
        assert not undeclared(path.read_text(), DIRECT) - ours, path


def test_an_undeclared_import_is_noticed():
    assert undeclared("import numpy\nimport sklearn.svm", DIRECT) == {"sklearn"}
    assert undeclared("def f():\n    import pycocotools", {"numpy"}) == {"pycocotools"}
    assert not undeclared("def f():\n    import pycocotools", {"numpy"}, loaded_only=True)
    assert not undeclared("from PIL import Image\nimport yaml, IPython", DIRECT)


def test_import_of_seglab_brings_nothing_heavy():
    code = "import sys, seglab; print(*{'torch', 'numpy', 'matplotlib', 'ipywidgets', 'skimage'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []
