#!/usr/bin/env python3
"""classes.py - what a full-rate topic and a catch-up read do to a critical topic at 1 MB/s, with and without classes.

    classes.py [--seconds 6] [--repeats 3] [--directory DIR] [--json FILE]

Three conditions, one after the other in each repeat: the critical topic alone; beside a producer as fast as it goes and a
consumer of a backlog that is not in memory, all topics of the class normal; the same with millrace.latency.class=critical
and bulk. Shown are medians of the producer's p50 and p99, and the ratio of p99 to alone.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, 'peers'))
import brokers
import catchup
import runs
from runs import median, run_load, say

RATE = 1000  # records of 1 KiB
LOUD = ['--partitions', '4', '--producers', '2', '--record-size', '1024', '--batch-size', '65536']
QUIET = ['--partitions', '1', '--producers', '1', '--record-size', '1024', '--batch-size', '1024']


def cli(broker, *words):
    subprocess.run([runs.MILLRACE, '--bootstrap-server', '127.0.0.1:%d' % broker.port, *words], check=True,
                   stdout=subprocess.DEVNULL)


def background(broker, topic, options, seconds):
    return subprocess.Popen([runs.MILLRACE, 'bench', '--bootstrap-server', '127.0.0.1:%d' % broker.port, '--quiet', '--topic',
                             topic, '--keep-topic', '--warmup', '0', '--duration', '%g' % seconds, *options],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def one(broker, directory, seconds, is_loud):
    """-> (p50, p99) in ms of the critical topic's producer."""
    others = []
    if is_loud:
        broker.stop()
        catchup.forget(catchup.segments(directory))
        broker.start()
        others = [background(broker, 'loud', LOUD, seconds + 3), background(
            broker, catchup.TOPIC, ['--partitions', '1', '--producers', '0', '--consumers', '1'], seconds + 3)]
    r = run_load(broker, QUIET, RATE, seconds, 1, topic='quiet')
    for other in others:
        other.wait()
    return r['produce_ms']['p50'], r['produce_ms']['p99']


def measure(seconds=6, repeats=3, directory=None):
    rows = {'alone': [], 'beside, all normal': [], 'beside, critical and bulk': []}
    with tempfile.TemporaryDirectory(prefix='millrace-classes-', dir=directory) as d:
        b = brokers.Millrace(os.path.join(d, 'data'), 'group', 1)
        b.conditions.update({'storage.cache.bytes': str(256 << 20), 'storage.tail.bytes': str(64 << 20)})
        b.start()
        try:
            run_load(b, ['--partitions', '1', '--producers', '2', '--record-size', '1024', '--batch-size', '65536'], None, 4, 0,
                     topic=catchup.TOPIC)
            for name, partitions in (('quiet', '1'), ('loud', '4')):
                cli(b, 'topic', 'create', name, '--partitions', partitions, '--config', 'retention.bytes=200000000')
            for _ in range(repeats):
                for name, classes in zip(rows, (('normal',) * 3, ('normal',) * 3, ('critical', 'bulk', 'bulk'))):
                    for topic, latency in zip(('quiet', 'loud', catchup.TOPIC), classes):
                        cli(b, 'config', 'set', 'topic', topic, 'millrace.latency.class=' + latency)
                    rows[name].append(one(b, d, seconds, name != 'alone'))
        finally:
            b.wipe()
    alone = median([p99 for _, p99 in rows['alone']])
    result = {}
    for name, v in rows.items():
        p50, p99 = median([a for a, _ in v]), median([b for _, b in v])
        result[name] = {'p50_ms': p50, 'p99_ms': p99, 'times_alone': p99 / alone, 'all': v}
        say('  %-28s p50 %8.2f ms  p99 %8.2f ms  %.2f times alone' % (name, p50, p99, p99 / alone))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float, default=6)
    parser.add_argument('--repeats', type=int, default=3)
    parser.add_argument('--directory')
    parser.add_argument('--json')
    args = parser.parse_args()
    result = measure(args.seconds, args.repeats, args.directory)
    if args.json:
        with open(args.json, 'w') as f:
            json.dump(result, f)


if __name__ == '__main__':
    main()
