"""Calls every step of a scenario through the client that openapi-python-client made.

    python scenario.py SCENARIO SETTINGS

The client package onewindow_client stands beside this file. Every answer is read into the client's own types, which
fails when a member that the document requires is missing.
"""

import base64
import importlib
import inspect
import io
import json
import pkgutil
import re
import sys
import time

import onewindow_client
import onewindow_client.api
from onewindow_client.types import UNSET, File, Unset


def operations():
    """Returns the functions that call an operation, by the snake-case name of its id."""
    found = {}
    for package in pkgutil.iter_modules(onewindow_client.api.__path__, "onewindow_client.api."):
        module = importlib.import_module(package.name)
        for operation in pkgutil.iter_modules(module.__path__, package.name + "."):
            found[operation.name.rsplit(".", 1)[1].replace("_", "")] = importlib.import_module(operation.name)
    return found


def at(value, path):
    """Returns what lies at a path of JSON names in an answer, as text."""
    if path == "$":
        if isinstance(value, File):
            return base64.b64encode(value.payload.read()).decode()
        return value.decode() if isinstance(value, bytes) else str(value)
    value = value.to_dict() if hasattr(value, "to_dict") else value
    for name in path.split("."):
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError):
            return ""
    return str(value)


def fill(value, saved):
    """Returns value with every ${name} replaced by what was saved under it."""
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda found: saved[found[1]], value)
    if isinstance(value, list):
        return [fill(element, saved) for element in value]
    if isinstance(value, dict):
        return {name: fill(member, saved) for name, member in value.items()}
    return value


def snake(name, parameters):
    """Returns the name that the client gives to a parameter; words of Python get a "_"."""
    name = re.sub(r"([A-Z])", lambda found: "_" + found[1].lower(), name)
    return name if name in parameters else name + "_"


def typed(annotation, value):
    """Returns value as the enum or model that a parameter wants."""
    for candidate in getattr(annotation, "__args__", (annotation,)):
        if candidate is Unset or candidate is type(None) or not inspect.isclass(candidate):
            continue
        if hasattr(candidate, "from_dict"):
            return candidate.from_dict(value)
        if candidate not in (str, int, bool, float):
            return candidate(value)
    return value


def call(operation, step, settings):
    """Calls one operation and returns its status and its answer in the client's types."""
    role = step.get("as")
    if role:
        client = onewindow_client.AuthenticatedClient(base_url=settings["base"], token=settings["tokens"][role], timeout=60)
    else:
        client = onewindow_client.Client(base_url=settings["base"], timeout=60)
    parameters = inspect.signature(operation.sync_detailed, eval_str=True).parameters
    arguments = {"client": client}
    for name, value in {**step.get("path", {}), **step.get("query", {})}.items():
        name = snake(name, parameters)
        arguments[name] = typed(parameters[name].annotation, fill(value, settings["saved"]))
    if "body" in step:
        arguments["body"] = typed(parameters["body"].annotation, fill(step["body"], settings["saved"]))
    if "raw" in step:
        arguments["body"] = File(payload=io.BytesIO(base64.b64decode(settings["saved"][step["raw"]])))
    response = operation.sync_detailed(**arguments)
    parsed = response.parsed
    if not step["op"].endswith("Head") and (parsed is None or parsed is UNSET):
        parsed = response.content if step.get("text") or step.get("binary") else sys.exit(f"{step['op']}: the answer was not understood: {response}")
    return int(response.status_code), parsed


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        scenario = json.load(file)
    settings = json.loads(sys.argv[2])
    known = operations()
    for step in scenario:
        operation = known[step["op"].replace("_", "").lower()]
        for _ in range(600):
            status, answer = call(operation, step, settings)
            if status != step.get("expect", 200):
                sys.exit(f"{step['op']}: {status} instead of {step.get('expect', 200)}: {answer}")
            if "until" not in step or at(answer, step["until"]) != "":
                break
            time.sleep(0.1)
        for name, path in step.get("save", {}).items():
            settings["saved"][name] = at(answer, path)
            if settings["saved"][name] == "":
                sys.exit(f"{step['op']} has nothing at {path}: {answer}")
        print(step["op"], status)


if __name__ == "__main__":
    main()
