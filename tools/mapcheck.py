#!/usr/bin/env python3
"""mapcheck.py - the map of the code is true: every folder's README table against the files that are there.

A folder's README.md has a table whose first column names files ("worker.c", "worker.c worker.h", "plog.c/.h", or
"sub/" for a folder without a README of its own; a pattern such as "*_test.py" stands for what it matches). Every file
of the folder is in it, and nothing else. README.md, DESIGN.md and STYLE.md at the top mention only paths that exist.
"""
import fnmatch
import os
import re
import subprocess
import sys

MAPPED = ("include", "dataplane", "storage", "control", "tests", "tools", "bench")
UNMAPPED = (r"^tests/unit/", r"^tests/fuzz/corpus/", r"^tests/golden/", r"^dataplane/proto/schema/", r"\.gitignore$")
PROSE = ("README.md", "DESIGN.md", "STYLE.md", "CHANGELOG.md")
PATH = re.compile(r"`([A-Za-z0-9_.{},*/-]+/[A-Za-z0-9_.{},*/-]*|[A-Za-z0-9_-]+\.(?:c|h|py|def|md|txt|k))`")
# What prose may name although it is made at run time or build time, or is Kafka's.
MADE = ("build/", "data/", "./data", "__cluster_metadata", "__consumer_offsets", "__transaction_state", "/", "~/",
        "meta.properties")


def files():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], stdout=subprocess.PIPE, check=True)
    return sorted({f for f in out.stdout.decode().splitlines() if os.path.exists(f)})


def named(readme):
    """The names in the first column of the README's tables of files."""
    names, header = set(), None
    for line in open(readme, encoding="utf-8"):
        m = re.match(r"^\|\s*([^|]+?)\s*\|", line)
        if not m:
            header = None
            continue
        if header is None:
            header = m.group(1).lower()
        elif header in ("file", "files", "folder", "path") and not re.match(r"^[-: ]+$", m.group(1)):
            for word in re.split(r"[\s,]+", m.group(1).replace("`", "")):
                parts = word.split("/.")
                names.add(parts[0])
                stem = parts[0].rsplit(".", 1)[0]
                names |= {f"{stem}.{ext}" for ext in parts[1:]}
    return names - {"", "and"}


def check_folder(folder, here, faults):
    """`here`: the names in the folder; a name with / at its end is a folder below."""
    readme = folder + "/README.md"
    if not os.path.exists(readme):
        faults.append(f"{folder}/ has no README.md with a table of its files")
        return
    names = named(readme)
    for name in sorted(here - {"README.md"}):
        if name.endswith("/") and os.path.exists(f"{folder}/{name}README.md"):
            continue
        if not any(fnmatch.fnmatchcase(name, n) for n in names):
            faults.append(f"{readme} does not list {name}")
    for name in sorted(names):
        is_folder = name.endswith("/") and os.path.isdir(f"{folder}/{name}")
        if not is_folder and not any(fnmatch.fnmatchcase(n, name) for n in here):
            faults.append(f"{readme} lists {name}, which is not there")


def check_prose(path, all_files, faults):
    folders = {os.path.dirname(f) for f in all_files}
    folders |= {os.path.dirname(f) for f in folders}
    bases = {os.path.basename(f) for f in all_files}
    text = re.sub(r"```.*?```", "", open(path, encoding="utf-8").read(), flags=re.S)
    for name in sorted(set(PATH.findall(text))):
        if name.startswith(MADE):
            continue
        options = [name]
        m = re.match(r"^(.*)\{(.*)\}(.*)$", name)
        if m:
            options = [m.group(1) + x + m.group(3) for x in m.group(2).split(",")]
        for option in options:
            there = option.rstrip("/") in folders or option in all_files or option in bases
            if not there and not any(fnmatch.fnmatchcase(f, option) for f in all_files):
                faults.append(f"{path} mentions {option}, which is not there")


def main():
    all_files, faults = files(), []
    folders = {}
    for f in all_files:
        if not f.startswith(tuple(m + "/" for m in MAPPED)) or any(re.search(p, f) for p in UNMAPPED):
            continue
        folder, name = os.path.split(f)
        folders.setdefault(folder, set()).add(name)
        while os.path.dirname(folder):
            folder, name = os.path.split(folder)
            folders.setdefault(folder, set()).add(name + "/")
    covered = set()
    for folder in sorted(folders):
        parent, name = os.path.split(folder)
        # "sub/" in the parent's table stands for the whole folder, when that has no README of its own.
        if any(folder == c or folder.startswith(c + "/") for c in covered):
            continue
        if (not os.path.exists(folder + "/README.md") and os.path.exists(parent + "/README.md")
                and name + "/" in named(parent + "/README.md")):
            covered.add(folder)
            continue
        check_folder(folder, folders[folder], faults)
    for path in PROSE:
        if os.path.exists(path):
            check_prose(path, set(all_files), faults)
    for fault in faults:
        print("mapcheck: " + fault)
    print(f"mapcheck: {len(folders)} folders, {len(faults)} differences between map and tree")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
