#!/usr/bin/env python3
"""bench_kafka.py - millrace and Apache Kafka under the same generator in one run, interleaved A B B A.

    bench_kafka.py [--full] [--scale 0.1] [--only NAME,...] [--out FILE.json]

Rows are OpenMessaging's workload shapes, scaled by one printed factor. Classes of durability, never mixed silently:

    D0/D0   neither flushes before it answers (millrace: storage.durability=relaxed)
    D2/D0   millrace durable before it answers (its default), Apache Kafka as its users run it (no flush)
    D2/D2   both durable before they answer (Apache Kafka: log.flush.interval.messages=1); with --full

Primary figures: the whole machine's busy CPU less the client's per produced GB, throughput, latency from the
intended send time. Each row prints both medians, their ratio, and the spread over the repeats.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import brokers

MILLRACE = os.path.join(brokers.ROOT, 'build', 'millrace')

# name, generator options, rate as records/s (None: as fast as possible; 'half': half of Kafka's own maximum of the
# row named), share of the full duration
WORKLOADS = [
    ('1-topic-1-partition-1kb', ['--record-size', '1024', '--batch-size', '65536', '--producers', '1'], None),
    ('1-topic-16-partitions-1kb', ['--partitions', '16', '--record-size', '1024', '--batch-size', '65536',
                                   '--producers', '4'], None),
    ('1-topic-16-partitions-100b', ['--partitions', '16', '--record-size', '100', '--batch-size', '16384',
                                    '--producers', '4'], None),
    ('1-topic-16-partitions-64kb', ['--partitions', '16', '--record-size', '65536', '--batch-size', '65536',
                                    '--producers', '4'], None),
    ('small-requests', ['--partitions', '16', '--record-size', '100', '--batch-size', '1', '--producers', '16',
                        '--window', '4'], None),
    ('100-topics-1kb', ['--topics', '100', '--record-size', '1024', '--batch-size', '16384', '--producers', '4'], None),
    ('half-rate-end-to-end', ['--partitions', '16', '--record-size', '1024', '--batch-size', '16384', '--producers',
                              '4', '--consumers', '1'], 'half:1-topic-16-partitions-1kb'),
    ('fan-out-4', ['--partitions', '16', '--record-size', '1024', '--batch-size', '65536', '--producers', '2',
                   '--consumers', '1', '--readers', '4'], 'half:1-topic-16-partitions-1kb'),
    ('1000-partitions-1kb', ['--partitions', '1000', '--record-size', '1024', '--batch-size', '4096',
                             '--producers', '4'], None),
]
FULL_WORKLOADS = [
    ('10000-partitions-1kb', ['--partitions', '10000', '--record-size', '1024', '--batch-size', '4096',
                              '--producers', '4'], None),
]
CURVE = (0.2, 0.5, 0.8, 0.95)


def run_load(broker, options, rate, seconds, warmup, cpu):
    """One run of the generator against a broker -> its JSON result."""
    with tempfile.NamedTemporaryFile(suffix='.json') as out:
        command = [MILLRACE, 'bench', '--bootstrap-server', '127.0.0.1:%d' % broker.port, '--broker-pid',
                   str(broker.pid), '--json', out.name, '--quiet', '--duration', '%g' % seconds, '--warmup',
                   '%g' % warmup, '--rate', 'max' if rate is None else '%g' % rate] + options
        if cpu is not None:
            command += ['--cpu', cpu]
        p = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=seconds + warmup + 120)
        if p.returncode != 0:
            brokers.die('the generator failed against %s: %s' % (broker.name, p.stderr.decode(errors='replace')[-400:]))
        return json.load(open(out.name))['results'][-1]


def median(values):
    v = sorted(values)
    return v[len(v) // 2] if len(v) % 2 else (v[len(v) // 2 - 1] + v[len(v) // 2]) / 2


def figures(r):
    """What a table shows of one result."""
    gb = max(r['bytes'] / 1e9, 1e-9)
    busy = r['machine_cpu_s'] - r['client_cpu_s']
    return {'MB/s': r['mb_per_s'], 'records/s': r['records_per_s'], 'CPU-s/GB': busy / gb,
            'us CPU/request': busy * 1e6 / max(r['requests'], 1), 'p50 ms': r['produce_ms']['p50'],
            'p99 ms': r['produce_ms']['p99'], 'p99.9 ms': r['produce_ms']['p99.9'],
            'p99.99 ms': r['produce_ms']['p99.99'], 'max ms': r['produce_ms']['max'],
            'e2e p50 ms': r['end_to_end_ms']['p50'], 'e2e p99.9 ms': r['end_to_end_ms']['p99.9'],
            'RSS MiB': r['broker_rss_bytes'] / 1048576, 'errors': r['errors'], 'behind': r['behind']}


BIGGER_IS_BETTER = ('MB/s', 'records/s')
SHOWN = ('MB/s', 'CPU-s/GB', 'us CPU/request', 'p50 ms', 'p99 ms', 'p99.9 ms', 'p99.99 ms', 'e2e p50 ms', 'e2e p99.9 ms',
         'RSS MiB')


class Comparison:
    def __init__(self, args, placement, pair):
        self.args, self.placement, self.pair = args, placement, pair
        self.broker_cpus, self.client_cpu = ('0', '1') if placement == 'split' else (None, None)
        self.rows, self.maxima = [], {}

    def pair_of_brokers(self, directory):
        ours = 'relaxed' if self.pair.startswith('D0') else 'group'
        return (brokers.Millrace(os.path.join(directory, 'millrace'), ours, 1 if self.placement == 'split' else 2),
                brokers.Kafka(os.path.join(directory, 'kafka'), flushes=self.pair.endswith('D2')))

    def warm_up(self, broker):
        """Until the rate of two runs in a row differs by less than 5 % (a JVM needs it), at most 60 s."""
        last, begin = 0, time.time()
        while time.time() - begin < 60 * self.args.scale:
            now = run_load(broker, ['--partitions', '16', '--producers', '4', '--batch-size', '16384'], None,
                           max(2, 8 * self.args.scale), 0, self.client_cpu)['mb_per_s']
            if last and abs(now - last) / last < 0.05:
                break
            last = now

    def row(self, both, name, options, rate):
        if isinstance(rate, str):
            rate = self.maxima.get(rate.split(':', 1)[1], 20000) / 2
        seconds, warmup = max(2, 20 * self.args.scale), max(1, 3 * self.args.scale)
        got = {b.name: [] for b in both}
        for broker in (both[0], both[1], both[1], both[0]):
            got[broker.name].append(figures(run_load(broker, options, rate, seconds, warmup, self.client_cpu)))
        if rate is None:
            self.maxima[name] = median([f['records/s'] for f in got['kafka']])
        self.rows.append({'name': name, 'rate': rate, 'options': options, 'placement': self.placement,
                          'pair': self.pair, 'millrace': got['millrace'], 'kafka': got['kafka']})
        self.print_row(self.rows[-1])

    def print_row(self, row):
        print('\n%s  [%s, %s]%s' % (row['name'], row['pair'], row['placement'],
                                    '' if row['rate'] is None else '  at %.0f records/s' % row['rate']))
        print('  %-16s %12s %12s %10s   %s' % ('', 'millrace', 'kafka', 'ratio', 'spread ours, theirs'))
        for key in SHOWN:
            a, b = [f[key] for f in row['millrace']], [f[key] for f in row['kafka']]
            if not any(a) and not any(b):
                continue
            ratio = median(a) / median(b) if median(b) else float('inf')
            better = ratio if key in BIGGER_IS_BETTER else (1 / ratio if ratio else float('inf'))
            print('  %-16s %12.3f %12.3f %9.2fx   %.0f %%, %.0f %%' % (
                key, median(a), median(b), better, 100 * (max(a) - min(a)) / max(median(a), 1e-9),
                100 * (max(b) - min(b)) / max(median(b), 1e-9)))
        errors = sum(f['errors'] for f in row['millrace'] + row['kafka'])
        if errors:
            print('  answers with an error: %d' % errors)
        sys.stdout.flush()

    def curve(self, both, name, options):
        """Latency at shares of each broker's own maximum."""
        own = {b.name: median([f['records/s'] for r in self.rows if r['name'] == name for f in r[b.name]]) for b in both}
        print('\nlatency at shares of each broker\'s own maximum, %s  [%s, %s]' % (name, self.pair, self.placement))
        for broker in both:
            for share in CURVE:
                f = figures(run_load(broker, options, own[broker.name] * share, max(2, 15 * self.args.scale),
                                     max(1, 3 * self.args.scale), self.client_cpu))
                print('  %-9s %3.0f %% = %9.0f records/s   p50 %.3f  p99 %.3f  p99.9 %.3f  p99.99 %.3f ms%s' % (
                    broker.name, share * 100, own[broker.name] * share, f['p50 ms'], f['p99 ms'], f['p99.9 ms'],
                    f['p99.99 ms'], '   BEHIND' if f['behind'] > f['records/s'] * 0.01 else ''))
                sys.stdout.flush()

    def run(self, directory, workloads):
        both = self.pair_of_brokers(directory)
        try:
            for broker in both:
                took = broker.start(self.broker_cpus)
                print('%s is ready after %.2f s; settings beyond its defaults: %s' % (broker.name, took, broker.settings))
                self.warm_up(broker)
            for name, options, rate in workloads:
                if not self.args.only or name in self.args.only.split(','):
                    self.row(both, name, options, rate)
            if any(r['name'] == '1-topic-16-partitions-1kb' for r in self.rows):
                self.curve(both, '1-topic-16-partitions-1kb', WORKLOADS[1][1])
        finally:
            for broker in both:
                broker.wipe()
        return self.rows


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--full', action='store_true', help='both placements, D2/D2 as well, 10,000 partitions')
    p.add_argument('--scale', type=float, default=1.0, help='factor on all durations (1: 20 s per run)')
    p.add_argument('--only', default='', help='names of workloads, by comma')
    p.add_argument('--pairs', default='D0/D0,D2/D0')
    p.add_argument('--out', default=os.path.join(brokers.ROOT, 'build', 'bench-kafka.json'))
    args = p.parse_args()
    placements = ['shared', 'split'] if args.full else ['shared']
    pairs = args.pairs.split(',') + (['D2/D2'] if args.full else [])
    if os.getloadavg()[0] > 1.0:
        print('bench-kafka: the machine is busy (load %.2f): compare with care' % os.getloadavg()[0])
    print('scale factor %g: every run measures %.0f s; placements: %s' % (args.scale, 20 * args.scale, placements))
    rows = []
    with tempfile.TemporaryDirectory(prefix='millrace-bench-', dir=os.path.join(brokers.ROOT, 'build')) as directory:
        for placement in placements:
            for pair in pairs:
                c = Comparison(args, placement, pair)
                rows += c.run(os.path.join(directory, pair.replace('/', '-')),
                              WORKLOADS + (FULL_WORKLOADS if args.full else []))
    with open(args.out, 'w') as f:
        json.dump(rows, f, indent=1)
    print('\n%d rows; all figures in %s' % (len(rows), os.path.relpath(args.out)))


if __name__ == '__main__':
    main()
