#!/usr/bin/env python3
"""layers.py - checks the arrows of tools/layers.txt: on includes, and on symbols of the built objects.

    tools/layers.py BUILD_DIRECTORY

Includes: a quoted include resolves in include/ or in the file's own folder, never by a path, and a face of include/ is
seen only by the folders that may. Symbols: an undefined symbol of one folder's object that another folder's object
defines is a call, and must be an arrow, even when somebody re-declared the function by hand.
"""
import collections
import glob
import os
import re
import subprocess
import sys

FOLDERS = ["dataplane/proto", "dataplane/net", "dataplane/conn", "dataplane/kafka", "dataplane/port", "dataplane", "storage", "control"]
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]', re.M)


def read_rules(path):
    rules = {"face": {}, "own": {}, "only": {}, "calls": {}, "base": set()}
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.split("#")[0].strip()
            if not line:
                continue
            kind, rest = line.split(None, 1)
            if kind == "base":
                rules["base"] |= set(rest.split())
                continue
            left, arrow, right = rest.partition("->")
            if kind not in rules or not arrow:
                sys.exit(f"{path}:{number}: not a rule: {line}")
            for name in left.split():
                rules[kind].setdefault(name, set()).update(right.split())
    return rules


def sources():
    for folder in ["include"] + FOLDERS:
        for ext in ("c", "h"):
            for path in sorted(glob.glob(f"{folder}/*.{ext}")):
                yield folder, path
    for path in sorted(glob.glob("tools/*.c") + glob.glob("tools/*.h")):
        yield "tools", path


def may_include_foreign(path, name, rules):
    for header, files in rules["only"].items():
        if name == header or (header[-1] in "/*" and name.startswith(header.rstrip("*"))):
            return any(path == f or (f.endswith("/") and path.startswith(f)) for f in files)
    return True


def check_include(folder, path, quote, name, rules):
    if quote == "<":
        if not may_include_foreign(path, name, rules):
            return f"{path} includes <{name}>, which tools/layers.txt confines to other files"
        return None
    if "/" in name:
        return f'{path} includes "{name}": no paths; move the header to include/ or use its own folder\'s'
    if folder in ("include", "tools"):
        return None
    if os.path.exists(f"{folder}/{name}"):
        return None
    if os.path.exists(f"include/{name}"):
        allowed = rules["face"].get(name)
        if allowed is not None and folder not in allowed:
            return f'{path} includes "{name}", the face of a folder that {folder} must not know'
        return None
    if name.startswith("messages.") or any(os.path.exists(f"{o}/{name}") for o in rules["own"].get(folder, ())):
        return None
    return f'{path} includes "{name}", which is neither in include/ nor in {folder}/'


def check_includes(rules):
    faults, n = [], 0
    for folder, path in sources():
        with open(path, encoding="utf-8") as f:
            for quote, name in INCLUDE.findall(f.read()):
                n += 1
                fault = check_include(folder, path, quote, name, rules)
                if fault:
                    faults.append(fault)
    return faults, n


def symbols(build):
    """[(folder, object without extension, defined names, undefined names)]"""
    out = []
    for folder in FOLDERS + ["gen"]:
        for path in sorted(glob.glob(f"{build}/{folder}/*.o")):
            name = f"{folder}/{os.path.basename(path)[:-2]}"
            if folder != "gen" and not os.path.exists(name + ".c"):
                continue  # left over from a removed source
            defined, undefined = set(), set()
            text = subprocess.run(["nm", "-P", path], stdout=subprocess.PIPE, check=True).stdout.decode()
            for line in text.splitlines():
                symbol, kind = line.split()[:2]
                if kind == "U":
                    undefined.add(symbol)
                elif kind.isupper() and kind not in "WV":
                    defined.add(symbol)
            out.append((folder, name, defined, undefined))
    return out


def check_symbols(rules, build):
    faults, n = [], 0
    objects = symbols(build)
    home = collections.defaultdict(set)
    for folder, name, defined, _ in objects:
        for symbol in defined:
            home[symbol].add((folder, name))
    for symbol, homes in sorted(home.items()):
        if len(homes) > 1 and symbol != "main":
            faults.append(f"{symbol} is defined twice: " + ", ".join(sorted(o for _, o in homes)))
    for folder, name, _, undefined in objects:
        allowed = rules["calls"].get(folder, set())
        for symbol in sorted(undefined):
            for to_folder, to_name in home.get(symbol, ()):
                n += 1
                if to_folder == folder or "all" in allowed or to_name in rules["base"]:
                    continue
                if to_folder not in allowed and to_name not in allowed:
                    faults.append(f"{name}.c calls {symbol} of {to_name}.c: no arrow {folder} -> {to_folder}")
    return faults, n


def main(build):
    rules = read_rules("tools/layers.txt")
    faults, includes_n = check_includes(rules)
    more, calls_n = check_symbols(rules, build)
    for fault in faults + more:
        print("layers: " + fault)
    print(f"layers: {includes_n} includes and {calls_n} calls between files, {len(faults + more)} against the arrows")
    return 1 if faults + more else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
