"""Examples in the schema: of each object that is sent or answered, written by hand where that says more.

A serializer names some of its members in `example`; the others are filled in by what their schemas say, so
that an example has every member, and has it right, also after one was added.
"""

from __future__ import annotations

from typing import Any, Final

Node = dict[str, Any]

ID: Final = "01a20e35-5b0c-7a3e-9f4d-0c1a6c0f4e2b"
TIME: Final = "2026-11-30T11:00:00.000000Z"
BY_FORMAT: Final = {
    "uuid": ID,
    "date-time": TIME,
    "date": "2026-11-30",
    "uri": "https://app.example.com/clips",
    "binary": "(the bytes of a file)",
}
# What a component carries until it is finished: what its serializer says.
SAID: Final = "x-example"
PROBLEM: Final = "#/components/schemas/Problem"


def add_examples(result: Node) -> None:
    """Give each object of the components its example, and name those of problems once."""
    components = result["components"]
    schemas: Node = components["schemas"]
    said = {name: each.pop(SAID, {}) for name, each in schemas.items()}
    maker = _Maker(schemas, said)
    for name, schema in schemas.items():
        if schema.get("type") == "object":
            schema["examples"] = [maker.of({"$ref": f"#/components/schemas/{name}"})]
    components["examples"] = dict(sorted(_name_problems(result).items()))


def _name_problems(result: Node) -> Node:
    """Every code with its example; where it may come, only its name is left."""
    found: Node = {}
    for methods in result["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                media = response.get("content", {}).get("application/problem+json")
                for code, example in (media or {}).get("examples", {}).items():
                    named = (
                        code if found.setdefault(code, example) == example else f"{code}_{status}"
                    )
                    found.setdefault(named, example)
                    media["examples"][code] = {"$ref": f"#/components/examples/{named}"}
    return found


class _Maker:
    def __init__(self, schemas: Node, said: Node) -> None:
        self._schemas = schemas
        self._said = said

    def of(self, schema: Node, said: Any = None) -> Any:
        """A value of this schema; `said` is used as far as it goes."""
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            known = self._said[name] or None
            if isinstance(said, dict):
                return self.of(self._schemas[name], {**(known or {}), **said})
            return self.of(self._schemas[name], known if said is None else said)
        if said is not None and not isinstance(said, dict):
            return said
        for combined in ("allOf", "oneOf", "anyOf"):
            if combined in schema:
                return self._chosen(schema, combined, said)
        kinds = schema.get("type")
        if kinds == "object" or "properties" in schema:
            return self._object(schema, said or {})
        return said if said is not None else self._scalar(schema)

    def _chosen(self, schema: Node, combined: str, said: Any) -> Any:
        if said is None and "default" in schema:
            return schema["default"]
        options = schema[combined]
        if said is None and combined != "allOf" and any(_is_null(self._deep(e)) for e in options):
            return None
        return self.of(next(each for each in options if not _is_null(self._deep(each))), said)

    def _deep(self, schema: Node) -> Node:
        return self._schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema

    def _object(self, schema: Node, said: Node) -> Node:
        # Of what is sent, only what has to be: the rest is for those who want it.
        is_sent = schema.get("additionalProperties") is False
        required = set(schema.get("required", ()))
        return {
            name: self._member(each, said, name)
            for name, each in schema.get("properties", {}).items()
            if name in said or not is_sent or name in required
        } | {
            name: value for name, value in said.items() if name not in schema.get("properties", {})
        }

    def _member(self, schema: Node, said: Node, name: str) -> Any:
        if name in said and said[name] is None:
            return None
        return self.of(schema, said.get(name))

    def _scalar(self, schema: Node) -> Any:
        kinds = schema.get("type", "null")
        kind = kinds if isinstance(kinds, str) else "null" if "null" in kinds else kinds[0]
        if "default" in schema:
            return schema["default"]
        if "enum" in schema:
            return schema["enum"][0]
        match kind:
            case "null":
                return None
            case "array":
                return [self.of(schema["items"])]
            case "string":
                return BY_FORMAT.get(schema.get("format", ""), "text")
            case "boolean":
                return False
            case "integer":
                return int(schema.get("minimum", 1))
            case _:
                return float(schema.get("minimum", 1.0))


def _is_null(schema: Node) -> bool:
    return schema.get("type") == "null" or schema.get("enum") == [None]
