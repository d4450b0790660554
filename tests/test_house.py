"""The rules of the house: docs/layout.rst says them, this test holds them."""

import ast
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import skfsl

PACKAGE = Path(skfsl.__file__).parent

# From the cellar to the roof. A room imports from floors below its own only.
FLOORS = [
    {"exceptions"},
    {"utils"},
    {"images"},
    {"encoders", "heads", "losses", "samplers", "augmentation", "datasets"},
    {"metrics"},
    {"model_selection"},
    {"siamese", "support"},
    {"pipeline"},
    {"export"},
    {"__init__"},
]
FLOOR = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
PARTS = {"encoders", "heads", "losses", "samplers", "augmentation"}

# library -> the files that may open it. A folder stands for all files in it.
DOORS = {
    "skorch": {"siamese/_net.py"},
    "sklearn.callback": {"siamese/_sklearn_callbacks.py"},
    "torchvision": {"encoders/_torchvision.py"},
    "PIL": {"datasets/_omniglot.py", "images/_read.py"},
    "matplotlib": {"metrics/_plot/"},
    "safetensors": {"encoders/_state_dict.py", "export/_container.py"},
    "skops": {"export/_skops.py"},
    "onnx": {"export/_onnx.py"},
    "onnxscript": {"export/_onnx.py"},
    "faiss": {"support/_neighbors_faiss.py"},
    # Users may ask for a report as frames; nothing of our own is kept in one.
    "pandas": {"model_selection/_frames.py"},
    "polars": set(),
}
# These are opened inside functions, so that the package is there without them.
LATE = {
    "torchvision", "PIL", "matplotlib", "safetensors", "skops", "onnx", "onnxscript",
    "faiss", "pandas",
}  # fmt: skip
PRIVATE_SKLEARN = {"utils/_sklearn_private.py"}


@dataclass(frozen=True)
class Import:
    """One imported module, with the names taken out of it."""

    module: str
    names: tuple[str, ...]
    line: int
    late: bool  # inside a function
    typing: bool  # under TYPE_CHECKING

    def of(self, library):
        return any(
            name == library or name.startswith(f"{library}.")
            for name in (self.module, *(f"{self.module}.{n}" for n in self.names))
        )


def _imports(tree):
    def walk(node, late, typing):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, (), child.lineno, late, typing)
            elif isinstance(child, ast.ImportFrom):
                names = tuple(alias.name for alias in child.names)
                module = "." * child.level + (child.module or "")
                yield Import(module, names, child.lineno, late, typing)
            else:
                test = getattr(child, "test", None)
                yield from walk(
                    child,
                    late or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef),
                    typing or (isinstance(test, ast.Name) and "TYPE_CH" in test.id),
                )

    yield from walk(tree, False, False)


class File:
    """One file of the package, read."""

    def __init__(self, path):
        self.name = path.relative_to(PACKAGE).as_posix()
        self.room = self.name.split("/")[0].removesuffix(".py")
        self.text = path.read_text(encoding="utf-8")
        self.tree = ast.parse(self.text)
        self.imports = list(_imports(self.tree))

    def may_open(self, files):
        return any(
            self.name == f or (f.endswith("/") and self.name.startswith(f))
            for f in files
        )

    @property
    def code_lines(self):
        """Number of lines without docstrings, comments and empty lines."""
        prose = set()
        for node in ast.walk(self.tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                value = body[0].value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    prose |= set(range(value.lineno, value.end_lineno + 1))
        return sum(
            bool(line.strip()) and not line.lstrip().startswith("#")
            for number, line in enumerate(self.text.splitlines(), 1)
            if number not in prose
        )


FILES = [File(path) for path in sorted(PACKAGE.rglob("*.py"))]
every_file = pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)


def test_every_room_has_its_floor():
    assert {file.room for file in FILES} <= set(FLOOR)


@every_file
def test_imports_point_down(file):
    for imported in file.imports:
        if not imported.of("skfsl") or file.room == "__init__":
            continue
        path = imported.module.split(".")
        rooms = [path[1]] if len(path) > 1 else list(imported.names)
        for room in rooms:
            assert room == file.room or FLOOR[room] < FLOOR[file.room], (
                f"{file.name}:{imported.line} imports {room!r}, which is not on a "
                f"floor below {file.room!r}."
            )


@every_file
def test_other_rooms_are_entered_by_their_door(file):
    for imported in file.imports:
        _, *path = imported.module.split(".")
        if not imported.of("skfsl") or not path or path[0] in {file.room, "utils"}:
            continue
        assert len(path) == 1 or not path[1].startswith("_"), (
            f"{file.name}:{imported.line} imports from {imported.module}. Take the "
            f"name from skfsl.{path[0]}."
        )


@every_file
def test_no_relative_imports(file):
    relative = [i.line for i in file.imports if i.module.startswith(".")]
    assert not relative, f"{file.name} has relative imports in lines {relative}."


@every_file
def test_one_door_for_each_library(file):
    for library, files in DOORS.items():
        for imported in file.imports:
            if not imported.of(library) or imported.typing:
                continue
            assert file.may_open(files), (
                f"{file.name}:{imported.line} imports {library}, whose door is "
                f"{sorted(files) or 'nowhere'}."
            )
            assert imported.late or library not in LATE, (
                f"{file.name}:{imported.line} imports {library} on being imported. "
                f"Import it in the function that needs it."
            )


@every_file
def test_private_names_of_scikit_learn_have_one_door(file):
    if file.may_open(PRIVATE_SKLEARN):
        return
    for imported in file.imports:
        if imported.of("sklearn"):
            path = [*imported.module.split("."), *imported.names]
            private = [part for part in path if part.startswith("_")]
            assert not private, (
                f"{file.name}:{imported.line} imports {private} from scikit-learn. "
                f"Take it from skfsl.utils._sklearn_private."
            )


@every_file
def test_no_assert_in_the_package(file):
    lines = [n.lineno for n in ast.walk(file.tree) if isinstance(n, ast.Assert)]
    assert not lines, f"{file.name} has assert in lines {lines}. Raise an error."


@every_file
def test_no_thread_count_is_set(file):
    for node in ast.walk(file.tree):
        name = getattr(node, "attr", getattr(node, "id", ""))
        assert name not in {"set_num_threads", "set_num_interop_threads"}, (
            f"{file.name}:{node.lineno} sets the number of threads: it is the user's."
        )


@every_file
def test_no_global_random_state(file):
    """``np.random.<function>`` and ``torch.manual_seed`` are everyone's."""
    for node in ast.walk(file.tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        allowed = ("np.random.default_rng", "np.random.RandomState")
        assert not called.startswith("np.random.") or called in allowed, (
            f"{file.name}:{node.lineno} draws from NumPy's global generator."
        )
        assert called != "torch.manual_seed", f"{file.name}:{node.lineno} seeds torch."


def _is_estimator(node):
    return isinstance(node, ast.ClassDef) and any(
        isinstance(method, ast.FunctionDef) and method.name == "fit"
        for method in node.body
    )


@every_file
def test_a_file_has_one_idea(file):
    lines = file.text.count("\n")
    assert lines <= 500, f"{file.name} has {lines} lines; 500 is the most."
    if any(_is_estimator(node) for node in file.tree.body):
        assert file.code_lines <= 220, (
            f"{file.name} has {file.code_lines} lines of code; 220 is the most for an "
            f"estimator."
        )
    if file.room in PARTS:
        assert file.code_lines <= 150, (
            f"{file.name} has {file.code_lines} lines of code; 150 is the most for a "
            f"part."
        )


@every_file
def test_a_file_says_what_it_exports(file):
    names = [
        target.id
        for node in file.tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    empty = len(file.tree.body) == 1  # nothing but a docstring
    assert empty or "__all__" in names, f"{file.name} has no __all__."
    assert ast.get_docstring(file.tree), f"{file.name} has no docstring."


def _modules_after(code):
    """Run `code` in a fresh interpreter and return which modules it has then."""
    show = "import sys; print(*sorted(m for m in sys.modules if '.' not in m))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{show}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


# pandas is not among them: scikit-learn has it.
HEAVY = {"torch", "torchvision", "skorch", "matplotlib", "PIL"}


@pytest.mark.parametrize(
    "code",
    [
        "import skfsl; dir(skfsl)",
        "from skfsl import FewShotPipeline, make_few_shot_pipeline",
        """
from skfsl import PrototypeClassifier
clf = PrototypeClassifier().fit([[0.0], [1.0]], ["a", "b"])
clf.partial_fit([[5.0]], ["c"]).predict_proba([[4.0]])
""",
        """
from skfsl import KNeighborsClassifier
clf = KNeighborsClassifier(1).fit([[0.0], [1.0]], ["a", "b"])
clf.partial_fit([[5.0]], ["c"]).predict([[4.0]])
""",
        "from skfsl import datasets, images, metrics, model_selection, samplers",
    ],
    ids=["skfsl", "pipeline", "prototypes", "neighbours", "light rooms"],
)
def test_torch_stays_asleep(code):
    assert not _modules_after(code) & HEAVY


def test_torchvision_stays_asleep():
    modules = _modules_after("""
import numpy as np
from skfsl import SiameseTransformer
X, y = np.eye(8, dtype="float32"), [0, 0, 1, 1, 2, 2, 3, 3]
SiameseTransformer(max_epochs=1, random_state=0, device="cpu").fit(X, y).transform(X)
""")
    assert not modules & {"torchvision", "matplotlib", "PIL"}
    assert {"torch", "skorch"} <= modules
