#!/usr/bin/env python3
"""benchdiff.py - two score cards (bench/scorecard.py), figure by figure, with the noise of their repeats.

    benchdiff.py RESULTS.jsonl OLD NEW        OLD, NEW: a commit (its last card), a line number (-1: the last), or a
                                              JSON file of scorecard.py --out

A change counts when it is greater than the noise: the spread of the repeats of both cards, or 5 % when that is more.
Single figures (one repeat) have a noise of 25 %. Exit status 1 when something is worse.
"""
import json
import os
import sys

NOISE_MIN, NOISE_OF_ONE = 5.0, 25.0


def cards(path):
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8') as f:
        return [json.loads(line) for line in f if line.strip()]


def card(path, which):
    if os.path.exists(which) and which.endswith('.json'):
        with open(which, encoding='utf-8') as f:
            return json.load(f)
    lines = cards(path)
    if which.lstrip('-').isdigit() and len(which) < 6:
        at = int(which)
        if -len(lines) <= at < len(lines):
            return lines[at]
    else:
        found = [c for c in lines if c['host']['commit'].startswith(which) or which in c['host']['commit']]
        if found:
            return found[-1]
    sys.exit('benchdiff: no card %s among the %d of %s; `make bench-record` adds one' % (which, len(lines), path))


def median(values):
    v = sorted(values)
    return (v[(len(v) - 1) // 2] + v[len(v) // 2]) / 2


def noise(values):
    if len(values) < 2:
        return NOISE_OF_ONE
    return max(NOISE_MIN, 100 * (max(values) - min(values)) / max(abs(median(values)), 1e-12))


def verdict(old, new):
    """-> (change in percent, noise in percent, word)"""
    a, b = median(old['values']), median(new['values'])
    limit = max(noise(old['values']), noise(new['values']))
    if a == 0:
        return 0.0, limit, 'same' if b == 0 else 'new'
    change = 100 * (b / a - 1)
    if abs(change) <= limit:
        return change, limit, 'same'
    return change, limit, 'better' if (change > 0) == old['bigger_is_better'] else 'WORSE'


def main(arguments):
    if len(arguments) != 3:
        raise SystemExit(__doc__)
    old, new = (card(arguments[0], w) for w in arguments[1:])
    for name, c in (('old', old), ('new', new)):
        h = c['host']
        print('%s  commit %s, %s, %s, %d cores, Linux %s, load before %.2f, scale %g' % (
            name, h['commit'], h['date'], h['cpu'], h['cores'], h['kernel'], h['load_before'], c['scale']))
    if max(c['host']['load_before'] for c in (old, new)) > 1:
        print('A MACHINE WAS BUSY: only what is counted, not timed, can be compared')
    if any(old['host'][k] != new['host'][k] for k in ('cpu', 'cores', 'kernel', 'file_system')):
        print('THE MACHINES DIFFER: only figures beside their own floors can be compared')
    if old['scale'] != new['scale']:
        print('THE SCALES DIFFER: short runs are noisier and warmer')
    worse = 0
    print('%-52s %12s %12s %9s %8s' % ('', 'old', 'new', 'change', 'noise'))
    for name in sorted(set(old['figures']) | set(new['figures'])):
        a, b = old['figures'].get(name), new['figures'].get(name)
        if a is None or b is None:
            print('%-52s %s' % (name, 'only in the ' + ('new' if a is None else 'old') + ' card'))
            continue
        change, limit, word = verdict(a, b)
        worse += word == 'WORSE'
        print('%-52s %12.4g %12.4g %+8.1f%% %7.0f%%  %s' % (name, median(a['values']), median(b['values']), change,
                                                         limit, '' if word == 'same' else word))
    return 1 if worse else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
