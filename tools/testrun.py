#!/usr/bin/env python3
"""testrun.py - runs test programs stage by stage and adds up what they say.

    tools/testrun.py [--only TEXT] [--log DIR] --stage NAME COMMAND... [--stage NAME COMMAND...]

A COMMAND is a program, or a shell command when it holds a space. What counts:
  - a last line "N passed, N failed, N skipped" (tests/system/run, the simulator);
  - else cmocka's totals;
  - else the exit code: 0 one passed, 77 one skipped (this machine cannot run it), other one failed.
A program that ends badly without having said so counts as one failed, whatever it printed before.
The programs of a stage run in parallel, except those of the stages named in SERIAL. The last line is the
total of all stages; the exit code is 1 when anything failed or nothing ran.
"""
import concurrent.futures
import os
import re
import subprocess
import sys
import time

SERIAL = ("budget", "sim", "system")
TIMEOUT_S = {"unit": 120, "replay": 120, "budget": 300, "sim": 1800, "system": 3600}
STRETCH_MAX = 10  # as much longer where programs wait for a core, as in tests/system/pace.py
TOTAL = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$")
CMOCKA = re.compile(r"^\[ +(PASSED|FAILED|SKIPPED) +\] (\d+) test", re.M)


def count(output, code):
    lines = output.strip().splitlines()
    total = TOTAL.match(lines[-1].strip()) if lines else None
    if total:
        passed, failed, skipped = (int(n or 0) for n in total.groups())
    else:
        said = {"PASSED": 0, "FAILED": 0, "SKIPPED": 0}
        for word, n in CMOCKA.findall(output):
            said[word] = int(n)
        passed, failed, skipped = said["PASSED"], said["FAILED"], said["SKIPPED"]
        if passed + failed + skipped == 0:
            passed, failed, skipped = int(code == 0), int(code not in (0, 77)), int(code == 77)
    if code not in (0, 77) and failed == 0:
        failed = 1
    return passed, failed, skipped


def time_limit(stage):
    return TIMEOUT_S.get(stage, 600) * min(STRETCH_MAX, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def run(stage, command, log_dir):
    shell = " " in command
    try:
        done = subprocess.run(command, shell=shell, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=time_limit(stage))
        output, code = done.stdout.decode("utf-8", "replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        output = (late.stdout or b"").decode("utf-8", "replace") + f"\ntimed out after {late.timeout:.0f} s\n"
        code = 124
    except OSError as error:
        output, code = f"{command}: {error}\n", 127
    os.makedirs(log_dir, exist_ok=True)
    words = [w for w in command.split() if not w.startswith(("-", "python"))]
    name = "-".join(os.path.basename(w) for w in words)
    log = os.path.join(log_dir, f"{stage}-{name}.log")
    with open(log, "w", encoding="utf-8") as f:
        f.write(output)
    return command, code, output, log, count(output, code)


def again(stage, command):
    if stage == "unit":
        return "make unit T=" + os.path.basename(command)
    return command


def report_failure(stage, command, code, output, log):
    lines = output.strip().splitlines()
    print(f"FAILED {command} (exit {code}, whole output in {log})")
    shown = [x for x in lines if not re.match(r"^\[ +(RUN|OK) +\]", x)]
    for line in shown[-40:]:
        print("    " + line)
    print(f"    again: {again(stage, command)}", flush=True)


def run_stage(stage, commands, log_dir):
    begin = time.monotonic()
    totals = [0, 0, 0]
    jobs = 1 if stage in SERIAL else os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for command, code, output, log, counts in pool.map(lambda c: run(stage, c, log_dir), commands):
            totals = [a + b for a, b in zip(totals, counts)]
            if counts[1]:
                report_failure(stage, command, code, output, log)
    took = time.monotonic() - begin
    print(f"{stage:<8} {len(commands):3d} programs: {totals[0]} passed, {totals[1]} failed, "
          f"{totals[2]} skipped in {took:.1f} s", flush=True)
    return totals


def main(args):
    only, log_dir, stages = "", "build/log", []
    while args:
        word = args.pop(0)
        if word == "--only":
            only = args.pop(0)
        elif word == "--log":
            log_dir = args.pop(0)
        elif word == "--stage":
            stages.append((args.pop(0), []))
        elif stages:
            stages[-1][1].append(word)
        else:
            sys.exit(f"testrun.py: '{word}' before the first --stage")
    totals = [0, 0, 0]
    for stage, commands in stages:
        commands = [c for c in commands if only in c]
        if commands:
            totals = [a + b for a, b in zip(totals, run_stage(stage, commands, log_dir))]
    if sum(totals) == 0:
        print(f"no test matches '{only}'" if only else "there are no tests")
    print(f"{totals[0]} passed, {totals[1]} failed, {totals[2]} skipped")
    return 1 if totals[1] or sum(totals) == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
