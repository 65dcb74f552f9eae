"""Compares docs/openapi.yaml with a running dispatcher, in TAP.

usage: openapi.py ROUTES DESCRIPTION CALLS

ROUTES: lines `METHOD PATH SCOPE`, as the server's own table has them. CALLS: lines of JSON {method, template, code, type, body, scope}, answers of the server.
Every route is described with its scope, and the reverse; every answer is described, has the described type and validates; every described answer was seen, but for those
that say why not (x-unseen).
"""
import json
import sys

import jsonschema
import yaml

tests = failures = 0


def check(what, wrong):
    global tests, failures
    tests += 1
    failures += bool(wrong)
    print(f"{'not ok' if wrong else 'ok'} {tests} - {what}")
    for line in wrong:
        print(f"# {line}")


def closed(node):
    """Objects whose properties are listed have no others, unless they say so."""
    if isinstance(node, dict):
        for value in node.values():
            closed(value)
        if isinstance(node.get("properties"), dict) and node.get("type") != "array" and "allOf" not in node:
            node.setdefault("additionalProperties", False)
    elif isinstance(node, list):
        for value in node:
            closed(value)


def merged(schema, components):
    """An allOf of one reference with further properties, as one object: additionalProperties looks at one schema only."""
    if "allOf" not in schema:
        return schema
    base = components[schema["allOf"][0]["$ref"].rsplit("/", 1)[1]]
    return {**base, "properties": {**base["properties"], **schema["properties"]}, "required": base["required"] + schema["required"]}


def resolve(node, root):
    while "$ref" in node:
        for key in node["$ref"][2:].split("/"):
            root_node = root if key == node["$ref"][2:].split("/")[0] else root_node
            root_node = root_node[key]
        node = root_node
    return node


def main():
    routes, description, calls = sys.argv[1:]
    with open(description) as f:
        api = yaml.safe_load(f)
    closed(api)
    with open(routes) as f:
        real = sorted(tuple(line.split()) for line in f)
    told = []
    answers = {}
    for path, item in api["paths"].items():
        for method, operation in item.items():
            if method == "parameters":
                continue
            told.append((method.upper(), path, operation["tags"][0]))
            for code, response in operation["responses"].items():
                answers[method.upper(), path, int(code)] = resolve(response, api)
            if (operation.get("security") == []) != (operation["tags"][0] == "open"):
                check(f"{method} {path}: security agrees with its tag", ["it does not"])
    told.sort()
    check("openapi: every route of the server is described", [f"{r} is not" for r in real if r not in told])
    check("openapi: every described route is the server's", [f"{r} is not" for r in told if r not in real])
    wrong = []
    for name, schema in api["components"]["schemas"].items():
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as e:
            wrong.append(f"{name}: {e.message}")
    check("openapi: its schemas are schemas", wrong)

    seen, wrong, n = set(), [], 0
    with open(calls) as f:
        for line in f:
            call = json.loads(line)
            n += 1
            key = call["method"], call["template"], call["code"]
            name = f"{key[0]} {key[1]} -> {key[2]}"
            if key not in answers:
                wrong.append(f"{name}: is not described: {call['body'][:200]}")
                continue
            seen.add(key)
            content = answers[key]["content"]
            if call["type"] not in content:
                wrong.append(f"{name}: type {call['type']!r}, described: {list(content)}")
                continue
            schema = content[call["type"]].get("schema")
            if schema:
                schema = merged(schema, api["components"]["schemas"])
                validator = jsonschema.Draft202012Validator({**schema, "components": api["components"]})
                for error in validator.iter_errors(json.loads(call["body"])):
                    wrong.append(f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:300]}")
    check(f"openapi: each of {n} answers is as it is described", sorted(set(wrong)))
    check("openapi: every described answer was seen", [f"{m} {p} -> {c} was not" for m, p, c in sorted(answers) if (m, p, c) not in seen and "x-unseen" not in answers[m, p, c]])
    print(f"1..{tests}")
    sys.exit(failures > 0)


main()
