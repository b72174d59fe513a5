#!/usr/bin/env python3
"""catchup.py - one consumer reads a log that is not in memory, beside a plain sequential read of the same files.

    catchup.py [--mb 800] [--repeats 3] [--directory DIR] [--json FILE]

Each repeat measures both, one after the other, on files that were thrown out of the kernel's page cache before
(posix_fadvise, no root): the floor is dd with iflag=direct and 1 MiB at a time over all segments. What the broker's
reads leave in the page cache (the same bytes twice) is counted with fincore. Shown are medians and the median of ratios.
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, 'peers'))
import brokers
import runs
from runs import forget, median, run_load, say

TOPIC = 'backlog'


def segments(directory):
    return sorted(glob.glob(os.path.join(directory, '**', TOPIC + '-*', '*.log'), recursive=True))


def cached_bytes(paths):
    p = subprocess.run(['fincore', '-b', '-n', '-o', 'RES'] + paths, stdout=subprocess.PIPE, text=True)
    return sum(int(line) for line in p.stdout.split())


def floor_mb_s(paths):
    """dd, O_DIRECT, 1 MiB at a time -> MB/s."""
    forget(paths)
    began, total = time.monotonic(), 0
    for path in paths:
        subprocess.run(['dd', 'if=' + path, 'of=/dev/null', 'bs=1M', 'iflag=direct'], check=True,
                       stderr=subprocess.DEVNULL)
        total += os.path.getsize(path)
    return total / 1e6 / (time.monotonic() - began)


def catchup_mb_s(broker, paths):
    """One consumer from the beginning to the end, the broker's and the kernel's memory empty -> MB/s, the broker's CPU-s/GB,
    bytes cached twice."""
    total = sum(os.path.getsize(path) for path in paths)
    broker.stop()
    forget(paths)
    broker.start()
    options = ['--partitions', '1', '--producers', '0', '--consumers', '1']
    r = run_load(broker, options, None, 1 + total / 100e6, 0, topic=TOPIC)
    busy = [s['consumed_bytes'] for s in r['series'] if s['consumed_bytes']]  # a second each, the last one not whole
    cpu = r['broker_cpu_s'] / max(r['consumed_bytes'] / 1e9, 1e-9)
    return max(busy[:-1] or busy, default=0) / 1e6, cpu, cached_bytes(paths)


def measure(mb=800, repeats=3, directory=None):
    """-> {catchup_mb_s, floor_mb_s, ratio, cached_share, cpu_s_per_gb}: medians."""
    with tempfile.TemporaryDirectory(prefix='millrace-catchup-', dir=directory) as d:
        b = brokers.Millrace(os.path.join(d, 'data'), 'relaxed', 1)
        b.conditions.update({'storage.cache.bytes': str(256 << 20), 'storage.tail.bytes': str(64 << 20)})
        b.start()
        try:
            seconds = 2.0
            while True:
                run_load(b, ['--partitions', '1', '--producers', '2', '--record-size', '1024', '--batch-size', '65536'],
                         None, seconds, 0, topic=TOPIC)
                have = sum(os.path.getsize(p) for p in segments(d))
                if have >= mb * 1e6:
                    break
            b.stop()
            b.start()
            paths = segments(d)
            rows = []
            for _ in range(repeats):
                floor = floor_mb_s(paths)
                got, cpu, cached = catchup_mb_s(b, paths)
                rows.append((got, floor, got / floor, cached / have, cpu))
                say('  catch-up %.0f MB/s  dd %.0f MB/s  %.2f of it  %.2f CPU-s/GB  %.0f %% of the log in the page cache after it' % (
                    got, floor, got / floor, cpu, 100 * cached / have))
        finally:
            b.wipe()
    return dict(zip(('catchup_mb_s', 'floor_mb_s', 'ratio', 'cached_share', 'cpu_s_per_gb'), (median(list(c)) for c in zip(*rows))), mb=mb)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--mb', type=float, default=800)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--directory')
    parser.add_argument('--json')
    args = parser.parse_args()
    result = measure(args.mb, args.repeats, args.directory)
    say('catch-up read: %(catchup_mb_s).0f MB/s, dd %(floor_mb_s).0f MB/s: %(ratio).2f of it' % result)
    if args.json:
        with open(args.json, 'w') as f:
            json.dump(result, f)


if __name__ == '__main__':
    main()
