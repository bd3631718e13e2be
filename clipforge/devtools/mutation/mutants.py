"""The mutants of a file: each the whole text of it, with one fault."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from clipforge.devtools.mutation import functions, operators
from clipforge.devtools.mutation.scope import ROOT, SPARED

# Of cosmic-ray's 213 those that are a mistake somebody makes: an edge, an opposite, off by one.
COSMIC = (
    "ReplaceComparisonOperator_Lt_LtE",
    "ReplaceComparisonOperator_LtE_Lt",
    "ReplaceComparisonOperator_Gt_GtE",
    "ReplaceComparisonOperator_GtE_Gt",
    "ReplaceComparisonOperator_Lt_GtE",
    "ReplaceComparisonOperator_LtE_Gt",
    "ReplaceComparisonOperator_Gt_LtE",
    "ReplaceComparisonOperator_GtE_Lt",
    "ReplaceComparisonOperator_Eq_NotEq",
    "ReplaceComparisonOperator_NotEq_Eq",
    "ReplaceComparisonOperator_Is_IsNot",
    "ReplaceComparisonOperator_IsNot_Is",
    "ReplaceBinaryOperator_Add_Sub",
    "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBinaryOperator_Mul_Div",
    "ReplaceBinaryOperator_Div_Mul",
    "ReplaceBinaryOperator_FloorDiv_Mul",
    "ReplaceBinaryOperator_BitOr_BitAnd",
    "ReplaceBinaryOperator_BitAnd_BitOr",
    "ReplaceUnaryOperator_Delete_USub",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_Invert",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ExceptionReplacer",
    "NumberReplacer",
    "ZeroIterationForLoop",
)
OURS = (operators.Lookup, operators.DropArgument, operators.DropStatement, operators.TextEdge)


@dataclass(frozen=True, slots=True)
class Mutant:
    """`before` and `after` are the lines that differ, without what they have in common around them.

    `key` is the same for as long as the function, the class or the assignment with the fault is.
    """

    path: str
    operator: str
    line: int
    before: str
    after: str
    text: str
    key: str = ""


class Place(NamedTuple):
    """Where a mutant can be: the `occurrence`-th position of an operator in a file.

    `line` is the text of the line, and which one of its positions it is.
    """

    path: str
    operator: str
    occurrence: int
    line: str


def places_in(path: str) -> list[Place]:
    """Cheap; not every place makes a mutant."""
    source = (ROOT / path).read_text()
    lines = source.splitlines()
    found: list[Place] = []
    for operator, numbers in _positions(path, source):
        on_line: Counter[str] = Counter()
        for occurrence, number in enumerate(numbers):
            text = lines[number - 1].strip()
            on_line[text] += 1
            found.append(Place(path, operator, occurrence, f"{text} {on_line[text]}"))
    return found


def drawn(places: list[Place], *, share: float, seed: int) -> list[Place]:
    """A share of the places. A larger one begins with a smaller, and a line that did not change is
    drawn whatever becomes of the others."""

    def lot(place: Place) -> str:
        text = f"{seed} {place.path} {place.operator} {place.line}"
        return hashlib.sha256(text.encode()).hexdigest()

    most = f"{round(share * 16**8):09x}"
    return sorted((each for each in places if f"0{lot(each)[:8]}" < most), key=lot)


def _positions(path: str, source: str) -> Iterator[tuple[str, list[int]]]:
    """For each operator the line numbers of its positions, in the order of its occurrences."""
    if path.endswith(".lua"):
        found = operators.found_in(source, operators.LUA_CHANGES)
        yield "Lua", [source.count("\n", 0, at) + 1 for at, _, _ in found]
        return
    if functions.is_migration(path):
        begins = [change.begin for change in functions.changes_of(path)]
        yield "Function", [source.count("\n", 0, at) + 1 for at in begins]
        return
    nodes = list(ast_nodes(get_ast(source)))
    for name, operator in _operators().items():
        yield name, [begin[0] for node in nodes for begin, _ in operator.mutation_positions(node)]


def mutants_at(places: list[Place]) -> list[Mutant]:
    """No two are the same, and none differs in a comment or in annotations only."""
    sources = {path: (ROOT / path).read_text() for path in {place.path for place in places}}
    seen = {(path, _meaning(path, source)) for path, source in sources.items()}
    found = []
    for place in places:
        source = sources[place.path]
        text = _mutated(source, place)
        try:
            meaning = (place.path, _meaning(place.path, text))
        except SyntaxError:
            continue
        if meaning not in seen:
            seen.add(meaning)
            line, before, after = _difference(source, text)
            change = f"{before} → {after}"
            if not any(re.search(spared, change) for spared in SPARED):
                key = _key(place.path, text, line)
                found.append(Mutant(place.path, place.operator, line, before, after, text, key))
    return found


@functools.cache
def _operators() -> dict[str, Any]:
    theirs = {name: cosmic_ray.plugins.get_operator(f"core/{name}")() for name in COSMIC}
    return theirs | {operator.__name__: operator() for operator in OURS}


def _mutated(source: str, place: Place) -> str:
    """The source itself where the operator fails: cosmic-ray's knows no `except module.Error`."""
    if place.path.endswith(".lua"):
        return operators.changed(source, operators.LUA_CHANGES, place.occurrence)
    if functions.is_migration(place.path):
        return functions.changed(place.path, place.occurrence)
    with contextlib.suppress(AttributeError):
        text = mutate_code(source, _operators()[place.operator], place.occurrence)
        return source if text is None else str(text)
    return source


def _difference(old: str, new: str) -> tuple[int, str, str]:
    """The number of the first line that differs, and what differs of both."""
    before, after = old.splitlines(), new.splitlines()
    head = 0
    for one, other in zip_longest(before, after):
        if one != other:
            break
        head += 1
    tail = 0
    while tail < min(len(before), len(after)) - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    parts = (lines[head : len(lines) - tail] for lines in (before, after))
    one, other = (" ".join(line.strip() for line in lines) for lines in parts)
    return head + 1, one, other


def _key(path: str, text: str, line: int) -> str:
    around = f"{path}\n{_around(path, text, line)}".encode()
    return hashlib.sha256(around).hexdigest()[:16]


def _around(path: str, text: str, line: int) -> str:
    """The statement of the module, or the function of the database, that the line is of."""
    if functions.is_migration(path):
        return functions.changed_function(path, text)[1].statement
    if path.endswith(".py"):
        for each in ast.parse(text).body:
            heads = [each.lineno, *(head.lineno for head in getattr(each, "decorator_list", []))]
            if min(heads) <= line <= (each.end_lineno or 0):
                return "\n".join(text.splitlines()[min(heads) - 1 : each.end_lineno])
    return text


class _Unannotated(ast.NodeTransformer):
    """Takes away what `from __future__ import annotations` never evaluates."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.copy_location(ast.Constant(""), node.annotation)
        return self.generic_visit(node)


def parsed(text: str) -> ast.Module:
    """The tree without annotations."""
    tree: ast.Module = _Unannotated().visit(ast.parse(text))
    return tree


def _meaning(path: str, text: str) -> str:
    if path.endswith(".lua"):
        return "\n".join(line.partition("--")[0] for line in text.splitlines())
    return ast.dump(parsed(text))
