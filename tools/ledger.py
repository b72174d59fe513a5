#!/usr/bin/env python3
"""ledger.py - every test that dataplane/net/LEDGER.md names exists, and every bug test is registered.

A row's third column is the name of one test that is run, "netsim", "netsim --systematic", or a sentence that begins
with "No" and says why there is none. A row without it, or with other columns, is a fault.
"""
import glob
import re
import sys

LEDGER = "dataplane/net/LEDGER.md"


def main():
    text = {p: open(p, encoding="utf-8").read() for p in glob.glob("tests/**/*.[ch]", recursive=True)}
    defined = {name for t in text.values() for name in re.findall(r"^static void (\w+)\(void \*\*", t, re.M)}
    used = {name for t in text.values() for name in re.findall(r"(?:TEST|CONN_CASE|unit_test)\((\w+)", t)}
    simulated = "tests/sim/net/netsim.c" in text
    faults, rows = [], 0
    for number, line in enumerate(open(LEDGER, encoding="utf-8"), 1):
        if not line.startswith("|"):
            continue
        cells = [c.strip() for c in line.split("|")[1:-1]]
        if cells[:1] == ["requirement"] or (cells and cells[0] and set(cells[0]) <= {"-"}):
            continue
        rows += 1
        if len(cells) != 3 or not all(cells):
            faults.append(f"{LEDGER}:{number}: a row is requirement | where | test")
            continue
        test = cells[2]
        if re.match(r"No[ :].{4}", test) or (test in ("netsim", "netsim --systematic") and simulated):
            continue
        if test not in defined:
            faults.append(f"{LEDGER}:{number}: no test is named {test}")
        elif test not in used:
            faults.append(f"{LEDGER}:{number}: {test} is defined and never run")
    for name in sorted(d for d in defined if d.startswith("bug_")):
        if name not in used:
            faults.append(f"{name} is defined and never run")
    for fault in faults:
        print("ledger: " + fault)
    print(f"ledger: {rows} requirements, {len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
