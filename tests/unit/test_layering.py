"""The layers of seglab: an import may only point down; on the top layer it may also point sideways."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAYERS = [                                                    # from the top to the bottom
    {"check", "hints"},                                       # what the reader calls
    {"widgets", "exercises"},                                 # what the reader touches
    {"viz", "train", "evaluate", "coursework", "claims"},     # what a chapter uses
    {"models"},                                               # the systems
    {"ops", "classic", "metrics", "losses", "data"},          # operators, measures, pictures
    {"runtime", "inputs", "modes", "checkpoint", "last_good"},
]
RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}


def parts_imported(path, package):
    """Parts of seglab that a file imports, absolute or relative, at any depth of the code."""
    inside = path.relative_to(package).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name.split(".") for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ["seglab", *inside][:-node.level] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            names = [[*module, a.name] for a in node.names]
        for name in names:
            if name[0] == "seglab" and len(name) > 1:
                yield name[1]


def arrows(package):
    """`(file, part it belongs to, part it imports)` for every import inside the package."""
    for path in sorted(package.rglob("*.py")):
        part = path.relative_to(package).with_suffix("").parts[0]
        if part != "__init__":
            yield from ((path, part, other) for other in parts_imported(path, package) if other != part)


def wrong_arrows(package):
    """Imports that point up, or sideways below the top layer, or to a part that has no layer."""
    wrong = []
    for path, part, other in arrows(package):
        if part not in RANK or other not in RANK:
            wrong.append(f"{path.name}: {part} or {other} has no layer")
        elif RANK[other] < RANK[part] or RANK[other] == RANK[part] > 0:
            wrong.append(f"{path.relative_to(package)}: {part} imports {other}")
    return wrong


def test_arrows_point_down():
    assert wrong_arrows(ROOT / "seglab") == []


def test_every_part_has_a_layer_and_a_name_that_says_something():
    parts = {p.stem for p in (ROOT / "seglab").iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert parts - {"__init__"} == RANK.keys(), "a part without a layer, or a layer that is not there"
    assert not [p for p in (ROOT / "seglab").rglob("*.py") if p.stem in ("utils", "helpers", "common", "misc")]


def test_a_wrong_arrow_is_noticed(tmp_path):
    package = tmp_path / "seglab"
    for name, source in {
        "ops/roi.py": "def f():\n    from seglab.models import UNet",
        "data/tiles.py": "from ..ops import nms",
        "losses/dice.py": "import seglab.metrics",
        "models/unet.py": "from seglab import viz",
        "metrics/iou.py": "from seglab import strange",
        "check.py": "from seglab.hints import hint\nfrom .runtime import seeds",          # these are allowed
        "ops/nms.py": "from seglab.ops.roi import f\nfrom . import roi\nfrom ..runtime import seeds",
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(source)
    assert wrong_arrows(package) == [
        "data/tiles.py: data imports ops", "losses/dice.py: losses imports metrics",
        "iou.py: metrics or strange has no layer", "models/unet.py: models imports viz",
        "ops/roi.py: ops imports models"]
