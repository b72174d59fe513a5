#!/usr/bin/env python3
"""coverage.py - a table of the lines the tests reached, per folder and, below 100 %, per file.

    tools/coverage.py BUILD_DIRECTORY

Reads gcov's JSON of every object that ran. A line counts as reached when any program reached it.
"""
import collections
import glob
import json
import os
import subprocess
import sys

FOLDERS = ("include/", "dataplane/", "storage/", "control/")


def lines_of(build):
    """{file: {line: reached}}"""
    files = collections.defaultdict(dict)
    data = sorted(glob.glob(build + "/**/*.gcda", recursive=True))
    for at in range(0, len(data), 50):
        done = subprocess.run(["gcov", "--json-format", "--stdout"] + data[at:at + 50], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, check=False)
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            if not line.startswith("{"):
                continue
            for file in json.loads(line)["files"]:
                name = os.path.relpath(file["file"])
                if name.startswith(FOLDERS):
                    lines = files[name]
                    for row in file["lines"]:
                        n = row["line_number"]
                        lines[n] = lines.get(n, False) or row["count"] > 0
    return files


def percent(lines):
    return 100.0 * sum(lines) / len(lines) if lines else 100.0


def main(build):
    files = lines_of(build)
    folders = collections.defaultdict(list)
    for name, lines in files.items():
        folders[os.path.dirname(name)] += lines.values()
    for folder in sorted(folders):
        print(f"{percent(folders[folder]):6.1f} %  {len(folders[folder]):6d} lines  {folder}/")
        for name in sorted(f for f in files if os.path.dirname(f) == folder):
            lines = list(files[name].values())
            if not all(lines):
                print(f"  {percent(lines):6.1f} %  {len(lines):6d}  {os.path.basename(name)}")
    every = [x for lines in files.values() for x in lines.values()]
    print(f"{percent(every):6.1f} %  {len(every):6d} lines  all; lines: gcov -r <object>")


if __name__ == "__main__":
    main(sys.argv[1])
