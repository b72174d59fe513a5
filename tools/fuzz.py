#!/usr/bin/env python3
"""fuzz.py - runs libFuzzer targets, each for a while, one after the other.

    tools/fuzz.py DIRECTORY_OF_TARGETS NAMES SECONDS     names by comma; none: every target

Found inputs grow build/fuzz/found/<name>/; tests/fuzz/corpus/<name>/ (in git) is only read. An input that breaks a
target is minimised and put into tests/fuzz/corpus/<name>/crash-*, where `make unit` finds it from then on.
"""
import glob
import os
import re
import subprocess
import sys


def minimise(target, crash, keep):
    small = crash + ".small"
    subprocess.run([target, "-minimize_crash=1", "-runs=20000", "-max_total_time=20",
                    "-exact_artifact_path=" + small, crash], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                   check=False)
    best = small if os.path.exists(small) else crash
    kept = os.path.join(keep, os.path.basename(crash))
    with open(best, "rb") as f, open(kept, "wb") as to:
        to.write(f.read())
    return kept


def fuzz(target, name, seconds):
    corpus, found = f"tests/fuzz/corpus/{name}", f"build/fuzz/found/{name}"
    work = f"build/fuzz/crashes/{name}/"
    for path in (corpus, found, work):
        os.makedirs(path, exist_ok=True)
    before = set(glob.glob(work + "*"))
    done = subprocess.run([target, f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=4096",
                           "-artifact_prefix=" + work, "-print_final_stats=1", found, corpus],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode("utf-8", "replace")
    runs = re.search(r"number_of_executed_units: (\d+)", text)
    runs = f"{int(runs.group(1)):,} inputs" if runs else "?"
    if done.returncode == 0:
        print(f"fuzz {name}: {runs} in {seconds} s, nothing found", flush=True)
        return 0
    print("\n".join(text.splitlines()[-60:]))
    for crash in sorted(set(glob.glob(work + "*")) - before):
        kept = minimise(target, crash, corpus)
        print(f"fuzz {name}: broken by {kept}; again: {target} {kept}")
    print(f"fuzz {name}: FAILED after {runs}", flush=True)
    return 1


def main(directory, only, seconds):
    names = sorted(os.path.basename(p) for p in glob.glob(directory + "/*") if os.access(p, os.X_OK))
    wanted = only.split(",") if only else names
    for n in wanted:
        if n not in names:
            sys.exit(f"fuzz: no target named '{n}'; there are {', '.join(names)}")
    failed = sum(fuzz(os.path.join(directory, n), n, seconds) for n in wanted)
    print(f"{len(wanted) - failed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
