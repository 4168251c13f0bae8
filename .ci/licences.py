"""Checks every dependency's licence and the banned crates of deny.toml, offline, with the standard library alone."""
import json
import re
import subprocess
import sys
import tomllib

rules = tomllib.load(open("deny.toml", "rb"))
allowed = set(rules["licenses"]["allow"])
banned = {entry["crate"] for entry in rules["bans"]["deny"]}


def permitted(expression: str) -> bool:
    """Whether an SPDX expression can be met by allowed licences: OR needs one side, AND both."""
    tokens = re.findall(r"\(|\)|AND|OR|[^\s()]+(?: WITH [^\s()]+)?", expression.replace("/", " OR "))

    def alternatives():
        value = conjunction()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            value = conjunction() or value
        return value

    def conjunction():
        value = term()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value = term() and value
        return value

    def term():
        token = tokens.pop(0)
        if token == "(":
            value = alternatives()
            tokens.pop(0)
            return value
        return token in allowed

    return alternatives()


metadata = json.loads(
    subprocess.run(["cargo", "metadata", "--format-version", "1", "--locked"], check=True, capture_output=True).stdout
)
problems = []
for package in metadata["packages"]:
    if package["source"] is None:
        continue
    name = f'{package["name"]} {package["version"]}'
    if package["name"] in banned:
        problems.append(f"{name} is banned by deny.toml")
    if not package["license"] and not package["license_file"]:
        problems.append(f"{name} names no licence")
    elif package["license"] and not permitted(package["license"]):
        problems.append(f'{name}: {package["license"]} is not allowed by deny.toml')
print(f'{len(metadata["packages"])} packages, {len(problems)} problems')
sys.exit("\n".join(problems) if problems else 0)
