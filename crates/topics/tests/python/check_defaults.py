"""Reads records written before any field with a default existed, and checks what the defaults made of them.

Usage: check_defaults.py SCHEMA...
"""

import copy
import io
import json
import sys

import avro.schema
import fastavro


def stripped(schema, dropped):
    """The schema without its fields that have a default."""
    if isinstance(schema, list):
        return [stripped(part, dropped) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: stripped(part, dropped) if key in ("type", "items", "values") else part for key, part in schema.items()}
    if schema.get("type") == "record":
        dropped += [field["name"] for field in schema["fields"] if "default" in field]
        schema["fields"] = [stripped(field, dropped) for field in schema["fields"] if "default" not in field]
    return schema


def smallest(schema, named):
    """A value of a schema without unions."""
    if isinstance(schema, str):
        simple = {"string": "", "long": 0, "int": 0, "boolean": False, "bytes": b""}
        return simple[schema] if schema in simple else smallest(named[schema], named)
    if schema["type"] == "record":
        named[schema["name"]] = schema
        return {field["name"]: smallest(field["type"], named) for field in schema["fields"]}
    return smallest(schema["type"], named)


def define_names(schema, defined, bodies):
    """Puts definitions back where stripping took the first use of a type away."""
    if isinstance(schema, str) and schema in bodies and schema not in defined:
        schema = copy.deepcopy(bodies[schema])
    if isinstance(schema, list):
        return [define_names(part, defined, bodies) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") == "record":
        defined.add(schema["name"])
        schema["fields"] = [{**f, "type": define_names(f["type"], defined, bodies)} for f in schema["fields"]]
        return schema
    return {key: define_names(part, defined, bodies) if key in ("type", "items", "values") else part for key, part in schema.items()}


def collect(schema, bodies):
    if isinstance(schema, list):
        for part in schema:
            collect(part, bodies)
    elif isinstance(schema, dict):
        if schema.get("type") == "record":
            bodies[schema["name"]] = schema
            for field in schema["fields"]:
                collect(field["type"], bodies)
        else:
            for key in ("type", "items", "values"):
                collect(schema.get(key), bodies)


for file in sys.argv[1:]:
    with open(file, encoding="utf-8") as text:
        schema = json.load(text)
    # Apache's own parser refuses a default that its type can't be.
    avro.schema.make_avsc_object(schema, validate_enum_symbols=True)
    bodies, dropped = {}, []
    collect(schema, bodies)
    bodies = {name: stripped(body, []) for name, body in bodies.items()}
    older = define_names(stripped(schema, dropped), set(), bodies)
    buffer = io.BytesIO()
    fastavro.schemaless_writer(buffer, fastavro.parse_schema(older), smallest(older, {}))
    buffer.seek(0)
    newer = fastavro.parse_schema(schema)
    value = fastavro.schemaless_reader(buffer, fastavro.parse_schema(older), newer)
    # The specification writes the default of bytes as text; fastavro hands that text out as it is.
    for field in schema["fields"]:
        if field["type"] == "bytes" and isinstance(value[field["name"]], str):
            value[field["name"]] = value[field["name"]].encode("iso-8859-1")
    fastavro.validate(value, newer, strict=True)
    print(json.dumps({"file": file, "defaults": len(dropped)}))
