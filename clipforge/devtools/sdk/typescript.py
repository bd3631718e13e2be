"""The generated part of the TypeScript SDK."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import textwrap
from pathlib import Path
from typing import Any, Final

from clipforge.devtools.sdk.reading import Operation, Parameter, events, for_models, operations

FOLDER: Final = Path(__file__).resolve().parents[2] / "sdk/typescript"
HEADING: Final = "// Made by `manage.py generate_sdk` from the schema of the API: not to be edited."
OPTIONS: Final = (
    *("--root-types", "--root-types-no-schema-prefix", "--root-types-keep-casing"),
    *("--default-non-nullable", "false", "--export-type"),
)
SCALARS: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
}


def is_installed() -> bool:
    return (FOLDER / "node_modules/.bin/openapi-typescript").exists()


def files(schema: dict[str, Any]) -> dict[str, str]:
    """The text of each file of `src/generated`."""
    return {"models.ts": _models(schema), "operations.ts": _operations(schema)}


def _models(schema: dict[str, Any]) -> str:
    # Only the models: of operations, `operations.ts` knows what there is to know.
    given = {**for_models(schema), "paths": {}, "webhooks": {}}
    with tempfile.TemporaryDirectory() as folder:
        source, made = Path(folder, "schema.json"), Path(folder, "models.ts")
        source.write_text(json.dumps(given))
        program = FOLDER / "node_modules/.bin/openapi-typescript"
        done = subprocess.run(
            [str(program), str(source), "--output", str(made), *OPTIONS],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program.name}: {done.stdout}{done.stderr}")
        return f"{HEADING}\n\n{made.read_text()}"


def _operations(schema: dict[str, Any]) -> str:
    methods = "\n".join(
        _method(each, as_text=as_text)
        for each in operations(schema)
        for as_text in ([False, True] if each.texts else [False])
    )
    told = "".join(f"\n  | models.{name}" for name in events(schema))
    return f"""{HEADING}

import {{ type CallOptions, Calls, type Upload, type WriteOptions }} from "../calls.js";
import {{ type Page, Pages }} from "../pages.js";
import type * as models from "./models.js";

export type WebhookEvent ={told};

export class Operations extends Calls {{
{textwrap.indent(methods, "  ")}}}
"""


def _method(operation: Operation, *, as_text: bool) -> str:
    query = list(operation.query)
    if as_text:
        chosen = {"type": "string", "enum": operation.texts}
        query.append(Parameter("format", chosen, required=True, description="Of the text."))
    name = camel_case(operation.id) + ("Text" if as_text else "")
    arguments = ",\n  ".join(_arguments(operation, query))
    answer, call = _answer(operation, query, as_text=as_text)
    told = [operation.summary + ("" if operation.summary.endswith(".") else ".")]
    told += [operation.description] if operation.description else []
    told += [f"`{each.name}`: {' '.join(each.description.split())}" for each in query]
    lines = [f" * {line}".rstrip() for line in "\n\n".join(told).replace("*/", "* /").splitlines()]
    return "\n".join(
        [
            *("/**", *lines, " */"),
            f"{name}(\n  {arguments},\n): {answer} {{",
            f"  return {call};",
            "}\n",
        ]
    )


def _arguments(operation: Operation, query: list[Parameter]) -> list[str]:
    found = [f"{camel_case(each.name)}: {_type(each.schema)}" for each in operation.path]
    if operation.is_form:
        found.append("file: Upload")
    if operation.body:
        default = " = {}" if operation.body_is_optional else ""
        found.append(f"body: models.{operation.body}{default}")
    if operation.media_types:
        found.append("content: Blob")
        found.append(f"contentType: {_type({'enum': operation.media_types})}")
    if query:
        members = "; ".join(
            f"{each.name}{'' if each.required else '?'}: {_type(each.schema)}" for each in query
        )
        default = "" if any(each.required for each in query) else " = {}"
        found.append(f"query: {{ {members} }}{default}")
    kind = "WriteOptions" if operation.is_idempotent else "CallOptions"
    return [*found, f"options: {kind} = {{}}"]


def _answer(operation: Operation, query: list[Parameter], *, as_text: bool) -> tuple[str, str]:
    """The type of the answer, and the expression that gets it."""
    sent = [f'method: "{operation.method}"', f'address: "{operation.address}"']
    if operation.path:
        names = ", ".join(f"{each.name}: {camel_case(each.name)}" for each in operation.path)
        sent.append(f"path: {{ {names} }}")
    joined = [each.name for each in query if each.is_joined]
    values = "".join(f", {name}: this.joined(query.{name})" for name in joined)
    if operation.kind == "pages":
        sent.append(f"query: {{ ...query{values}, cursor }}")
    elif query:
        sent.append(f"query: {{ ...query{values} }}" if joined else "query")
    if operation.is_form:
        sent.append("file")
    if operation.body:
        sent.append("body")
    if operation.media_types:
        sent += ["content", "contentType"]
    if operation.is_idempotent:
        sent.append("idempotent: true")
    if operation.kind == "file":
        sent.append("isFile: true")
    call = ", ".join([*sent, "...options"])
    model = f"models.{operation.result}"
    match operation.kind:
        case _ if as_text:
            return "Promise<string>", f"this.text({{ {call} }})"
        case "json":
            return f"Promise<{model}>", f"this.json({{ {call} }})"
        case "pages":
            ask = f"(cursor) => this.json<Page<{model}>>({{ {call} }})"
            return f"Pages<{model}>", f"new Pages({ask})"
        case "file":
            return "Promise<Response>", f"this.call({{ {call} }})"
        case "nothing":
            return "Promise<void>", f"this.json({{ {call} }})"


def camel_case(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _type(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(json.dumps(each) for each in schema["enum"])
    if schema.get("type") == "array":
        return f"readonly ({_type(schema['items'])})[]"
    return SCALARS[schema["type"]]
