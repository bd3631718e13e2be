"""The generated part of the Python SDK."""

from __future__ import annotations

import json
import keyword
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any, Final

from clipforge.devtools.sdk.reading import Operation, Parameter, events, for_models, operations

HEADING: Final = (
    '"""Made by `manage.py generate_sdk` from the schema of the API: not to be edited."""'
)
# Typed dicts, which take what a later release adds: members, and values of an enumeration.
OPTIONS: Final = (
    *("--input-file-type", "openapi", "--openapi-scopes", "schemas"),
    *("--output-model-type", "typing.TypedDict", "--enum-field-as-literal", "all"),
    *("--target-python-version", "3.11", "--use-union-operator", "--use-standard-collections"),
    *("--use-schema-description", "--use-field-description", "--disable-timestamp"),
    *("--formatters", "builtin", "--custom-file-header", HEADING),
)
SCALARS: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}


def files(schema: dict[str, Any]) -> dict[str, str]:
    """The text of each file of `clipforge_sdk/generated`."""
    return {
        "__init__.py": f"{HEADING}\n",
        "models.py": _formatted(_models(schema)),
        "operations.py": _formatted(_operations(schema)),
    }


def _models(schema: dict[str, Any]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "schema.json"), Path(folder, "models.py")
        given.write_text(json.dumps(for_models(schema)))
        _run(
            Path(sys.executable).with_name("datamodel-codegen"),
            *("--input", str(given), "--output", str(made), *OPTIONS),
        )
        models = made.read_text()
    told = "\n    | ".join(events(schema))
    return f"{models}\n\nWebhookEvent: TypeAlias = (\n    {told}\n)\n"


def _operations(schema: dict[str, Any]) -> str:
    methods = "\n".join(_methods(each) for each in operations(schema))
    return f"""{HEADING}

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Literal

from clipforge_sdk.calls import Calls, Download, Source
from clipforge_sdk.generated import models
from clipforge_sdk.pages import Pages


class Operations(Calls):
{textwrap.indent(methods, "    ")}"""


def _methods(operation: Operation) -> str:
    made = [_method(operation)]
    if operation.texts:
        made.append(_method(operation, as_text=True))
    return "\n".join(made)


def _method(operation: Operation, *, as_text: bool = False) -> str:
    positional = [f"{each.name}: {_type(each.schema)}" for each in operation.path]
    if operation.is_form:
        positional.append("file: Source")
    if operation.body:
        may_be_none = " | None = None" if operation.body_is_optional else ""
        positional.append(f"body: models.{operation.body}{may_be_none}")
    if operation.media_types:
        positional.append("content: bytes")
    named = [_query_argument(each) for each in operation.query]
    if operation.media_types:
        named.append(f"content_type: {_literal(operation.media_types)}")
    if as_text:
        named.append(f"format: {_literal(operation.texts)}")
    if operation.is_idempotent:
        named.append("idempotency_key: str | None = None")
    arguments = ", ".join(["self", *positional, *(["*", *named] if named else [])])
    answer, call = _answer(operation, as_text=as_text)
    return "\n".join(
        [
            f"def {operation.id}{'_text' if as_text else ''}({arguments}) -> {answer}:",
            textwrap.indent(_docstring(operation, as_text=as_text), "    "),
            f"    {call}",
            "",
        ]
    )


def _query_argument(each: Parameter) -> str:
    kind = _type(each.schema)
    name = _argument(each)
    return f"{name}: {kind}" if each.required else f"{name}: {kind} | None = None"


def _argument(each: Parameter) -> str:
    """The name of the parameter in Python, where `from` is none."""
    return f"{each.name}_" if keyword.iskeyword(each.name) else each.name


def _answer(operation: Operation, *, as_text: bool) -> tuple[str, str]:
    """The type of the answer, and the statement that gets it."""
    sent = [repr(operation.method), repr(operation.address)]
    if operation.path:
        sent.append(f"path={_mapping(operation.path)}")
    if operation.query or as_text:
        names = [*operation.query, *([_FORMAT] if as_text else [])]
        sent.append(f"query={_mapping(names)}")
    if operation.is_form:
        sent.append("file=file")
    if operation.body:
        sent.append("body=body")
    if operation.media_types:
        sent += ["content=content", "content_type=content_type"]
    if operation.is_idempotent:
        sent += ["idempotent=True", "idempotency_key=idempotency_key"]
    call = ", ".join(sent)
    match operation.kind:
        case _ if as_text:
            return "str", f"return self._text({call})"
        case "json":
            kind = f"models.{operation.result}"
            return kind, f"answer: {kind} = self._json({call})\n    return answer"
        case "pages":
            kind = f"Pages[models.{operation.result}]"
            return kind, f"return Pages(lambda query: self._json({call[:-1]}, **query}}))"
        case "file":
            return "Download", f"return self._file({call})"
        case "nothing":
            return "None", f"self._json({call})"


_FORMAT = Parameter("format", {}, required=True, description="")


def _mapping(parameters: tuple[Parameter, ...] | list[Parameter]) -> str:
    def value(each: Parameter) -> str:
        name = _argument(each)
        return f"self._joined({name})" if each.is_joined else name

    return "{" + ", ".join(f"{each.name!r}: {value(each)}" for each in parameters) + "}"


def _docstring(operation: Operation, *, as_text: bool) -> str:
    summary = operation.summary + (" As text, in this format." if as_text else ".")
    paragraphs = [summary.replace("..", "."), operation.description]
    paragraphs.append(
        "\n".join(
            f"{_argument(each)}: {' '.join(each.description.split())}"
            for each in operation.query
            if each.description
        )
    )
    text = "\n\n".join(each for each in paragraphs if each).replace("\\", "\\\\")
    return f'"""{text}\n"""'


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return _literal(schema["enum"])
    if schema.get("type") == "array":
        return f"Sequence[{_type(schema['items'])}]"
    if schema.get("format") == "date-time":
        return "str | datetime.datetime"
    return SCALARS[schema["type"]]


def _literal(values: Any) -> str:
    return f"Literal[{', '.join(repr(each) for each in values)}]"


def _formatted(source: str) -> str:
    """As the house formats its code, and with the imports that are used."""
    ruff = Path(sys.executable).with_name("ruff")
    # A file of this name, for the rules that look at it.
    name = "clipforge/sdk/python/clipforge_sdk/generated/made.py"
    chosen = ("--select", "F401,I,UP", "--fix-only", "--quiet")
    fixed = _run(ruff, "check", *chosen, "--stdin-filename", name, "-", given=source)
    return _run(ruff, "format", "--quiet", "--stdin-filename", name, "-", given=fixed)


def _run(program: Path, *arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        [str(program), *arguments], input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{program.name}: {done.stderr}")
    return done.stdout
