#!/usr/bin/env python3
"""budget.py - instructions per operation of a micro benchmark, counted by callgrind, against a ratcheted budget.

    budget.py BUDGETS PROGRAM            fails when a case needs more than its budget + 1 %
    budget.py BUDGETS PROGRAM --lower    writes the measured numbers where they are lower; never raises one

PROGRAM count N runs each of its cases N times, each in a function case_NAME; heavy ones end in _rare and run N/50 times. Cases that end in
_longest are turns that the program tells callgrind of: the one that took the most counts. BUDGETS has lines "NAME instructions"; a line "limit N" is
what none of them may take but those with the word "over" behind.
Counts are of one compiler and C library: they tell a change of the code from noise, not one machine from another.
callgrind counts every byte that `rep movsb` moves as an instruction, a processor the whole as one: the C library is told
to copy and clear with vectors instead.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROUNDS_N, RARE_N = 100, 2
VECTORS = 'glibc.cpu.x86_rep_movsb_threshold=0x7fffffff:glibc.cpu.x86_rep_stosb_threshold=0x7fffffff'


def callgrind(program, folder, *options):
    out = os.path.join(folder, 'callgrind.out')
    subprocess.run(['valgrind', '--tool=callgrind', f'--callgrind-out-file={out}', *options, program, 'count', str(ROUNDS_N)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, GLIBC_TUNABLES=VECTORS))
    return out


def measure(program):
    """Inclusive instructions per call of every case_ function."""
    with tempfile.TemporaryDirectory() as folder:
        out = callgrind(program, folder)
        text = subprocess.run(['callgrind_annotate', '--inclusive=yes', '--threshold=100', out], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    found = re.findall(r'^\s*([\d,]+) \(.*?\)\s+\S+:case_(\w+) \[', text, re.M)
    return {name: int(count.replace(',', '')) // (RARE_N if name.endswith('_rare') else ROUNDS_N) for count, name in found}


def measure_longest(program):
    """Instructions of the most expensive turn of every case: the program asks callgrind for a dump after each, named as the case."""
    longest = {}
    with tempfile.TemporaryDirectory() as folder:
        callgrind(program, folder)
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), encoding='utf-8') as part:
                head = part.read(2000)
            case = re.search(r'^desc: Trigger: Client Request: (\w+)', head, re.M)
            total = case and re.search(r'^summary: (\d+)', head, re.M)
            if total:
                longest[case[1]] = max(longest.get(case[1], 0), int(total[1]))
    return longest


def main(arguments):
    if len(arguments) not in (2, 3):
        raise SystemExit(__doc__)
    path, program = arguments[:2]
    if not shutil.which('valgrind'):
        print('budget: valgrind is not installed')
        sys.exit(77)
    lines = open(path, encoding='utf-8').read().splitlines()
    budgets = {w[0]: int(w[1]) for w in map(str.split, lines) if w and w[0] != '#'}
    limit = budgets.pop('limit', None)
    over = {w[0] for w in map(str.split, lines) if w[2:3] == ['over']}
    longest = [name for name in budgets if name.endswith('_longest')]
    measured = measure_longest(program) if longest else measure(program)
    failed = [f'{name}: in only one of {path} and {program}' for name in sorted(set(budgets) ^ set(measured))]
    for name in sorted(set(budgets) & set(measured)):
        n, budget = measured[name], budgets[name]
        print(f'budget: {name:<26} {n:7} instructions, budget {budget:7} ({100 * (n - budget) / budget:+.1f} %)')
        if n > budget * 1.01:
            failed.append(f'{name}: {n} instructions, budget {budget}')
        if limit is not None and n > limit and name not in over:
            failed.append(f'{name}: {n} instructions, and nothing may take more than {limit}')
    if '--lower' in arguments:
        with open(path, 'w', encoding='utf-8') as out:
            for line in lines:
                name = line.split()[0] if line.strip() else ''
                rest = ' over' if name in over else ''
                out.write(f'{name} {min(budgets[name], measured[name])}{rest}\n' if name in measured else line + '\n')
    for line in failed:
        print(f'budget: FAILED {line}')
    sys.exit(bool(failed))


if __name__ == '__main__':
    main(sys.argv[1:])
