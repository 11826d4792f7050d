"""Rules about the source that no other tool holds."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "edgert").rglob("*.py"), *(ROOT / "converters").rglob("*.py")])
POSIX_ONLY = {"fcntl", "termios", "resource", "pwd", "grp", "tty", "pty"}


def asks_platform(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and any(word in ast.unparse(node.test) for word in ("platform", "os.name"))


def leaves(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.body[-1], ast.Return | ast.Raise)


def unguarded(tree: ast.Module) -> Iterator[str]:
    """Imports of POSIX modules outside a `try`, an `if` on the platform, and behind no early return on it."""

    def visit(node: ast.AST, guarded: bool) -> Iterator[str]:
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        if not guarded:
            yield from (name for name in names if name.split(".")[0] in POSIX_ONLY)
        guarded = guarded or isinstance(node, ast.Try) or asks_platform(node)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, guarded)
            guarded = guarded or (asks_platform(child) and leaves(child))

    yield from visit(tree, False)


def calls(tree: ast.Module) -> Iterator[str]:
    """Names of everything called, but for what stands under `if __name__ == "__main__"`."""
    body = [node for node in tree.body if not (isinstance(node, ast.If) and "__name__" in ast.unparse(node.test))]
    for node in ast.walk(ast.Module(body, [])):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rules(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if ROOT / "edgert/onboard" not in path.parents:  # runs on Linux boards only
        assert list(unguarded(tree)) == []
    forbidden = {"eval", "exec", "pickle.load", "pickle.loads", "os.system"}
    if path != ROOT / "edgert/cli.py":
        forbidden |= {"print", "sys.exit", "exit", "quit"}
    assert forbidden.isdisjoint(calls(tree))


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import fcntl", ["fcntl"]),
        ("def f():\n    from resource import getrusage", ["resource"]),
        ("try:\n    import termios\nexcept ImportError:\n    termios = None", []),
        ("import sys\nif sys.platform != 'win32':\n    import resource", []),
        ("def f():\n    if sys.platform == 'win32':\n        return\n    import resource", []),
        ("def f(x):\n    if x:\n        return\n    import resource", ["resource"]),
    ],
)
def test_the_lint_itself(source: str, found: list[str]) -> None:
    assert list(unguarded(ast.parse(source))) == found
