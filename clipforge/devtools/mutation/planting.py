"""Putting a mutant into a process that has imported everything already."""

from __future__ import annotations

import ast
import functools
import gc
import hashlib
import sys
from dataclasses import is_dataclass
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from django.db.models import Model

from clipforge.common.cache.scripts import Script
from clipforge.common.prepared import Prepared
from clipforge.devtools.mutation.mutants import Mutant, parsed
from clipforge.devtools.mutation.scope import ROOT

IN_A_FUNCTION = 0x1  # CO_OPTIMIZED: the body of a class has it not


@functools.cache
def _WRAPPED() -> None:  # noqa: N802 - for its type, which has no public name
    """Nothing."""


class Unplantable(Exception):
    """The changed code was evaluated when the module was imported, and cannot be replaced now."""


class Broken(Exception):
    """The changed module cannot be imported, which every start would notice."""


def plant(mutant: Mutant) -> None:
    """From now on this process runs the mutant. Raises Unplantable, Broken."""
    if mutant.path.endswith(".lua"):
        _plant_lua(mutant)
    else:
        module = sys.modules[mutant.path.removesuffix(".py").replace("/", ".")]
        source = (ROOT / mutant.path).read_text()
        _Planter(module, source, mutant.text).run()


class _Planter:
    def __init__(self, module: ModuleType, old: str, new: str) -> None:
        self.module = module
        self.trees = parsed(old), parsed(new)
        self.codes: dict[str, CodeType] = {}
        for name, code in _functions(compile(new, str(module.__file__), "exec")):
            self.codes.setdefault(name, code)
        self.live: dict[str, list[FunctionType]] = {}
        for each in gc.get_objects():
            # Its type, and not isinstance: that asks a weak reference for what is gone.
            if type(each) is FunctionType and each.__globals__ is vars(module):
                self.live.setdefault(each.__code__.co_qualname, []).append(each)

    def run(self) -> None:
        old, new = self.trees
        self._body(old.body, new.body, "", None)
        for each in gc.get_objects():  # what a function of the module returned before
            if type(each) is type(_WRAPPED):
                wrapped = getattr(each.__wrapped__, "__globals__", None)  # none of what is built in
                if wrapped is vars(self.module):
                    each.cache_clear()
            elif type(each) is Prepared:  # its SQL was written by what was there before
                each._written = None

    def _body(
        self, old: list[ast.stmt], new: list[ast.stmt], prefix: str, owner: type | None
    ) -> None:
        for one, other in zip(old, new, strict=True):
            if ast.dump(one) != ast.dump(other):
                self._statement(one, other, prefix, owner)

    def _statement(self, one: ast.stmt, other: ast.stmt, prefix: str, owner: type | None) -> None:
        if isinstance(one, ast.FunctionDef) and isinstance(other, ast.FunctionDef):
            self._function(one, other, prefix)
        elif isinstance(one, ast.ClassDef) and isinstance(other, ast.ClassDef):
            heads = [(each.bases, each.keywords, each.decorator_list) for each in (one, other)]
            if _dumped(heads[0]) != _dumped(heads[1]):
                raise Unplantable
            owner = getattr(owner or self.module, one.name)
            self._body(one.body, other.body, f"{prefix}{one.name}.", owner)
        elif isinstance(one, ast.Assign | ast.AnnAssign):
            self._assignment(other, owner)
        else:
            raise Unplantable

    def _function(self, one: ast.FunctionDef, other: ast.FunctionDef, prefix: str) -> None:
        if _dumped(one.decorator_list) != _dumped(other.decorator_list):
            raise Unplantable
        functions = self.live.get(f"{prefix}{one.name}", [])
        if not functions:
            raise Unplantable
        code = self.codes[f"{prefix}{one.name}"]
        for function in functions:
            if function.__code__.co_freevars != code.co_freevars:
                raise Unplantable  # without its `super()` a method has no cell for its class
            if _dumped(one.args) != _dumped(other.args):
                self._defaults(function, other.args)
            function.__code__ = code

    def _defaults(self, function: FunctionType, args: ast.arguments) -> None:
        function.__defaults__ = tuple(self._value(each) for each in args.defaults) or None
        function.__kwdefaults__ = {
            arg.arg: self._value(default)
            for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True)
            if default is not None
        }

    def _assignment(self, statement: ast.stmt, owner: type | None) -> None:
        if owner is not None and (issubclass(owner, Model | tuple) or is_dataclass(owner)):
            raise Unplantable
        names: dict[str, Any] = {}
        code = compile(ast.Module([statement], []), str(self.module.__file__), "exec")
        try:
            exec(code, vars(self.module), names)  # noqa: S102 - our own code, with a fault
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
        for name, value in names.items():
            if owner is not None:
                setattr(owner, name, value)
                continue
            old = getattr(self.module, name)
            for module in list(sys.modules.values()):
                if vars(module).get(name, self) is old:
                    setattr(module, name, value)

    def _value(self, expression: ast.expr) -> Any:
        code = compile(ast.Expression(expression), str(self.module.__file__), "eval")
        try:
            return eval(code, vars(self.module))  # noqa: S307 - our own code, with a fault
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}") from error


def _functions(code: CodeType) -> list[tuple[str, CodeType]]:
    """The functions of a module and of its classes, not those inside functions."""
    found = []
    for const in code.co_consts:
        if isinstance(const, CodeType):
            if const.co_flags & IN_A_FUNCTION:
                found.append((const.co_qualname, const))
            else:
                found += _functions(const)
    return found


def _dumped(nodes: Any) -> str:
    if isinstance(nodes, ast.AST):
        return ast.dump(nodes)
    return repr([_dumped(node) for node in nodes])


def _plant_lua(mutant: Mutant) -> None:
    path, read = ROOT / mutant.path, Path.read_text
    before = path.read_text()

    def read_text(self: Path, *args: Any, **options: Any) -> str:
        return mutant.text if self == path else read(self, *args, **options)

    Path.read_text = read_text  # type: ignore[method-assign]  # for scripts that a test makes
    for script in [each for each in gc.get_objects() if type(each) is Script]:
        script.text = script.text.replace(before, mutant.text)
        script.digest = hashlib.sha1(script.text.encode(), usedforsecurity=False).hexdigest()
