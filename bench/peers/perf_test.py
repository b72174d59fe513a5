#!/usr/bin/env python3
"""perf_test.py - Apache Kafka's own kafka-producer-perf-test against millrace and against Apache Kafka, side by side.

    perf_test.py [--records 200000] [--runs 3] [--rate 5000] [--jars DIR]

The first table of README. Both brokers run with their default settings, one at a time, each in a fresh directory;
the client is the same jar, acks=all, records of 1 KiB, one topic of one partition that is made by being asked for.
Runs are interleaved A B B A, so that a machine that gets slower or faster hits both. Two shapes:

    as fast as it goes     records/s and MB/s say something; latency is mostly the client's own queue
    at a fixed rate        p50 and p99 say something; records/s is the rate, or the broker could not keep up

What a default means differs: millrace answers acks=all when the record is flushed to the device, Apache Kafka when it
is in the page cache. The table says so. Prints medians of the runs, and their spread.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import brokers

RECORD_BYTES = 1024
LINE = re.compile(r'(\d+) records sent, ([\d.]+) records/sec \(([\d.]+) MB/sec\), ([\d.]+) ms avg latency, '
                  r'([\d.]+) ms max latency, (\d+) ms 50th, (\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99.9th')


def perf(broker, records, rate):
    """One run -> (records/s, MB/s, p50 ms, p99 ms), as the tool's last line has them."""
    command = ['java', '-Xmx512m', '-cp', os.path.join(brokers.JARS, '*'), 'org.apache.kafka.tools.ProducerPerformance',
               '--topic', 'perf', '--num-records', str(records), '--record-size', str(RECORD_BYTES), '--throughput',
               str(rate), '--producer-props', 'bootstrap.servers=127.0.0.1:%d' % broker.port, 'acks=all']
    p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=600)
    found = LINE.findall(p.stdout.decode(errors='replace'))
    if p.returncode != 0 or not found or int(found[-1][0]) != records:
        brokers.die('the perf test failed against %s: %s' % (broker.name, (p.stdout + p.stderr)[-600:]))
    last = found[-1]
    return float(last[1]), float(last[2]), int(last[5]), int(last[7])


def run(kind, folder, number, records, rate):
    directory = os.path.join(folder, '%s-%d' % (kind, number))
    broker = brokers.Millrace(directory, 'group', 0) if kind == 'millrace' else brokers.Kafka(directory, False)
    try:
        broker.start()
        perf(broker, min(records, 20000), -1)  # the client's and the broker's code is warm, the topic is there
        return perf(broker, records, rate)
    finally:
        broker.wipe()


def order(runs):
    """A B B A A B ..., each `runs` times."""
    pair = ['millrace', 'kafka']
    return [kind for i in range(runs) for kind in (pair if i % 2 == 0 else pair[::-1])]


def median(values):
    v = sorted(values)
    return v[len(v) // 2] if len(v) % 2 else (v[len(v) // 2 - 1] + v[len(v) // 2]) / 2


def cells(results):
    """records/s with its spread, MB/s, p50, p99."""
    rates = [r[0] for r in results]
    return '%d (%d-%d) | %.1f | %g | %g' % (median(rates), min(rates), max(rates), *(
        median([r[i] for r in results]) for i in (1, 2, 3)))


def machine():
    model = re.search(r'model name\s*: (.*)', open('/proc/cpuinfo').read())
    commit = subprocess.run(['git', 'describe', '--always', '--dirty'], cwd=brokers.ROOT, stdout=subprocess.PIPE)
    return 'commit %s, %d x %s, Linux %s, Apache Kafka %s' % (
        commit.stdout.decode().strip() or 'unknown', os.cpu_count(), model.group(1) if model else 'unknown CPU',
        os.uname().release, brokers.KAFKA_VERSION)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--records', type=int, default=200000)
    p.add_argument('--runs', type=int, default=3)
    p.add_argument('--rate', type=int, default=5000, help='records/s of the second shape')
    p.add_argument('--jars', help="Apache Kafka's jars (default: fetched once with mvn)")
    a = p.parse_args()
    if a.jars:
        brokers.JARS = a.jars
    brokers.fetch_kafka()
    print('kafka-producer-perf-test, acks=all, %d records of 1 KiB, one partition; medians of %d runs, interleaved' %
          (a.records, a.runs))
    print(machine() + '\n')
    print('| broker, default settings | acks=all means | load | records/s (min-max) | MB/s | p50 ms | p99 ms |')
    print('|---|---|---|---|---|---|---|')
    with tempfile.TemporaryDirectory(prefix='millrace-perf-') as folder:
        for rate, load in ((-1, 'as fast as it goes'), (a.rate, '%d records/s' % a.rate)):
            records = a.records if rate < 0 else min(a.records, rate * 10)
            results = {'millrace': [], 'kafka': []}
            for number, kind in enumerate(order(a.runs)):
                results[kind].append(run(kind, folder, number, records, rate))
                print('%s %s' % (kind, results[kind][-1]), file=sys.stderr, flush=True)
            for kind, name, means in (('millrace', 'millrace', 'flushed to the device'),
                                      ('kafka', 'Apache Kafka', 'in the page cache')):
                print('| %s | %s | %s | %s |' % (name, means, load, cells(results[kind])), flush=True)


if __name__ == '__main__':
    main()
