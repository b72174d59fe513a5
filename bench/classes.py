#!/usr/bin/env python3
"""classes.py - what a full-rate topic and a catch-up read do to a critical topic at 1 MB/s, with and without classes.

    classes.py [--seconds 6] [--repeats 3] [--directory DIR] [--json FILE]

Three conditions, one after the other in each repeat: the critical topic alone; beside a producer as fast as it goes and a
consumer of a backlog that is not in memory, all topics of the class normal; the same with millrace.latency.class=critical
and bulk. Beside the same background fio writes and flushes 4 KiB: what the device makes of a flush then. Shown are medians
of the producer's p50 and p99, and the ratio of p99 to the larger of alone and fio's flush p99.
"""
import argparse
import json
import os
import shutil
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
FLUSH = 'a flush of fio, beside'
LOUD = ['--partitions', '4', '--producers', '2', '--record-size', '1024', '--batch-size', '65536']
QUIET = ['--partitions', '1', '--producers', '1', '--record-size', '1024', '--batch-size', '1024']


def cli(broker, *words):
    subprocess.run([runs.MILLRACE, '--bootstrap-server', '127.0.0.1:%d' % broker.port, *words], check=True,
                   stdout=subprocess.DEVNULL)


def background(broker, topic, options, seconds):
    return subprocess.Popen([runs.MILLRACE, 'bench', '--bootstrap-server', '127.0.0.1:%d' % broker.port, '--quiet', '--topic',
                             topic, '--keep-topic', '--warmup', '0', '--duration', '%g' % seconds, *options],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def flush_p99_ms(directory, seconds):
    """4 KiB written and flushed, one at a time, 250 a second -> p99 of the flush, or 0 without fio."""
    if not shutil.which('fio'):
        return 0.0
    p = subprocess.run(['fio', '--name=x', '--rw=write', '--bs=4k', '--ioengine=sync', '--fdatasync=1', '--rate_iops=250',
                        '--size=64M', '--filename=' + os.path.join(directory, 'fio'), '--time_based', '--runtime=%d' % seconds,
                        '--output-format=json'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    job = json.loads(p.stdout[p.stdout.index('{'):])['jobs'][0]
    return job['sync']['lat_ns']['percentile']['99.000000'] / 1e6


def one(broker, directory, seconds, is_loud, is_fio=False):
    """-> (p50, p99) in ms of the critical topic's producer; is_fio: of fio's flush in its place."""
    others = []
    runs.settle(directory)  # what the run before has left to write is not this one's
    if is_loud:
        broker.stop()
        catchup.forget(catchup.segments(directory))
        broker.start()
        others = [background(broker, 'loud', LOUD, seconds + 3), background(
            broker, catchup.TOPIC, ['--partitions', '1', '--producers', '0', '--consumers', '1'], seconds + 3)]
    if is_fio:
        p99 = flush_p99_ms(directory, seconds)
    else:
        r = run_load(broker, QUIET, RATE, seconds, 1, topic='quiet')
    for other in others:
        other.wait()
    if is_fio:
        return p99, p99
    return r['produce_ms']['p50'], r['produce_ms']['p99']


def measure(seconds=6, repeats=3, directory=None):
    rows = {'alone': [], 'beside, all normal': [], 'beside, critical and bulk': [], FLUSH: []}
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
                for name, classes in zip(rows, (('normal',) * 3, ('normal',) * 3, ('critical', 'bulk', 'bulk'), ('critical', 'bulk', 'bulk'))):
                    for topic, latency in zip(('quiet', 'loud', catchup.TOPIC), classes):
                        cli(b, 'config', 'set', 'topic', topic, 'millrace.latency.class=' + latency)
                    rows[name].append(one(b, d, seconds, name != 'alone', name == FLUSH))
        finally:
            b.wipe()
    floor = max(median([p99 for _, p99 in rows['alone']]), median([p99 for _, p99 in rows[FLUSH]]))
    result = {}
    for name, v in rows.items():
        p50, p99 = median([a for a, _ in v]), median([b for _, b in v])
        result[name] = {'p50_ms': p50, 'p99_ms': p99, 'times_floor': p99 / floor, 'all': v}
        say('  %-28s p50 %8.2f ms  p99 %8.2f ms  %.2f times the larger of alone and the flush' % (name, p50, p99, p99 / floor))
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
