#!/usr/bin/env python3
"""bench_kafka.py - millrace and Apache Kafka under the same generator in one run, interleaved A B B A.

    bench_kafka.py [--full] [--scale 0.1] [--only NAME,...] [--out FILE.json] [--markdown]
    bench_kafka.py --from FILE.json --markdown        README's tables of an earlier run, no measuring

Rows are OpenMessaging's workload shapes, scaled by one printed factor. Classes of durability, never mixed silently:

    D0/D0   neither flushes before it answers (millrace: storage.durability=relaxed)
    D2/D0   millrace durable before it answers (its default), Apache Kafka as its users run it (no flush)
    D2/D2   both durable before they answer (Apache Kafka: log.flush.interval.messages=1); one row, all with --full

Figures: the whole machine's busy CPU less the client's, per produced GB; the broker process's own CPU; throughput;
latency from the intended send time. Each row prints both medians, their ratio (above 1: millrace is better), and the
spread over the repeats. --full: both placements (shared: brokers and generator on all cores; split: broker on core 0,
generator on core 1), D2/D2, 10,000 partitions, twice the repeats.
"""
import argparse
import collections
import glob
import json
import math
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import brokers
import fairness
import runs
from runs import MANY, PRIME_S, median, run_load, say, short, spread
import standing

# rate: records/s, None = max, ('half', row). many: so many partitions that their first records would be what is
# measured; a topic of its own, in which each has some before the first run, serves all runs of the row
Row = collections.namedtuple('Row', 'name options rate many')


def workload(name, partitions=16, producers=4, record=1024, batch=65536, rate=None, topics=1, more=()):
    options = ['--partitions', str(partitions), '--producers', str(producers), '--record-size', str(record),
               '--batch-size', str(batch), '--topics', str(topics), *more]
    return Row(name, options, rate, partitions * topics if partitions * topics >= MANY else 0)


CATCH_UP = 'catch-up-read'
BACKLOG_GB, READ_S = 6, 4  # more than is read in that time, and twelve times what our own cache holds
MAIN = '1-topic-16-partitions-1kb'
WORKLOADS = [
    workload('1-topic-1-partition-1kb', partitions=1, producers=1),
    workload(MAIN),
    workload('1-topic-16-partitions-100b', record=100, batch=16384),
    workload('1-topic-16-partitions-64kb', record=65536),
    workload('small-requests', producers=16, record=100, batch=1, more=['--window', '4']),
    workload('100-topics-1kb', partitions=1, batch=16384, topics=100),
    workload('half-rate-end-to-end', batch=16384, rate=('half', MAIN), more=['--consumers', '1']),
    workload('fan-out-4', producers=2, rate=('half', MAIN), more=['--consumers', '1', '--readers', '4']),
    workload('1000-partitions-1kb', partitions=1000, batch=4096),
    workload(CATCH_UP),
]
DURABLE = workload('64-producers-16kb-batches', producers=64, batch=16384)
FULL_WORKLOADS = [workload('10000-partitions-1kb', partitions=1000, batch=4096, topics=10)]
CURVE = (0.2, 0.5, 0.8, 0.95)
SAME_RATE = 0  # in place of a share: both brokers at one rate
CURVE_POINTS_N = 2 * len(CURVE) + 4
RUN_S, WARMUP_S, CURVE_S, PERF_S, BETWEEN_S = 9, 3, 6, 8, 3
PERF_RATE = 20000
FAIRNESS = 'fairness'  # a name for --only: kafka-producer-perf-test beside the generator, and nothing else
SMALLER, BIGGER = 'smaller', 'bigger'
FIGURES = [('MB/s', BIGGER), ('records/s', BIGGER), ('CPU-s/GB', SMALLER), ('broker CPU-s/GB', SMALLER),
           ('us CPU/request', SMALLER), ('p50 ms', SMALLER), ('p99 ms', SMALLER), ('p99.9 ms', SMALLER),
           ('p99.99 ms', SMALLER), ('e2e p50 ms', SMALLER), ('e2e p99.9 ms', SMALLER), ('RSS MiB', SMALLER)]


def figures(r):
    """What a table shows of one result."""
    gb = max(r['bytes'] / 1e9, 1e-9)
    busy = max(r['machine_cpu_s'] - r['client_cpu_s'], 0)
    return {'MB/s': r['mb_per_s'], 'records/s': r['records_per_s'], 'CPU-s/GB': busy / gb,
            'broker CPU-s/GB': r['broker_cpu_s'] / gb, 'us CPU/request': busy * 1e6 / max(r['requests'], 1),
            'p50 ms': r['produce_ms']['p50'], 'p99 ms': r['produce_ms']['p99'], 'p99.9 ms': r['produce_ms']['p99.9'],
            'p99.99 ms': r['produce_ms']['p99.99'], 'max ms': r['produce_ms']['max'],
            'e2e p50 ms': r['end_to_end_ms']['p50'], 'e2e p99.9 ms': r['end_to_end_ms']['p99.9'],
            'RSS MiB': r['broker_rss_bytes'] / 1048576, 'steal s': r['steal_s'], 'errors': r['errors'],
            'unanswered': r['unanswered'], 'unmatched': r['unmatched'], 'is_behind': r['is_behind']}


def read_figures(r):
    """The same of a run that only reads: per consumed GB, and the rate of the seconds before the backlog's end."""
    consumed = [s['consumed_bytes'] for s in r['series']]
    whole = consumed[:consumed.index(0) - 1] if 0 in consumed[1:] else []
    r = dict(r, bytes=r['consumed_bytes'], mb_per_s=median(whole) / 1e6 if whole else r['consumed_bytes'] / r['seconds'] / 1e6,
             records_per_s=0, requests=0)
    return dict(figures(r), **{'us CPU/request': 0})


def share_text(share):
    return 'same' if share == SAME_RATE else '%.0f %%' % (share * 100)


def ratio_of(row, key, direction):
    """How many times better millrace is; None when there is nothing to compare."""
    ours, theirs = (median([f[key] for f in row[b]]) for b in ('millrace', 'kafka'))
    if ours <= 0 or theirs <= 0:
        return None
    return ours / theirs if direction == BIGGER else theirs / ours


class Comparison:
    """One pair of durability classes in one placement."""

    def __init__(self, args, placement, pair):
        self.args, self.placement, self.pair = args, placement, pair
        self.broker_cpus, self.client_cpu = ('0', '1') if placement == 'split' else (None, None)
        self.rows, self.curves, self.perf, self.settings = [], [], [], {}

    def pair_of_brokers(self, directory):
        ours = 'relaxed' if self.pair.startswith('D0') else 'group'
        workers = 1 if self.placement == 'split' else 0
        return (brokers.Millrace(os.path.join(directory, 'millrace'), ours, workers),
                brokers.Kafka(os.path.join(directory, 'kafka'), flushes=self.pair.endswith('D2')))

    def warm_up(self, broker):
        """Until three runs in a row are within 5 % of each other (a JVM compiles for a while), at most 60 s."""
        limit, each, last, begin = max(6, 60 * self.args.scale), max(1.5, 5 * self.args.scale), [], time.time()
        while time.time() - begin < limit:
            for options in (['--batch-size', '16384'], ['--batch-size', '1', '--record-size', '100']):
                now = run_load(broker, ['--partitions', '16', '--producers', '4', *options], None, each, 0.5,
                               self.client_cpu)['mb_per_s']
                if options[1] != '1':
                    last.append(now)
            if len(last) >= 3 and spread(last[-3:]) < 5:
                break
        say('%s is warm after %.0f s: %s MB/s in a row%s' % (
            broker.name, time.time() - begin, ', '.join('%.0f' % v for v in last[-3:]),
            '' if len(last) >= 3 and spread(last[-3:]) < 5 else ' (not level: the machine or the limit of time)'))

    def rate_of(self, w):
        if not isinstance(w.rate, tuple):
            return w.rate
        base = next((r for r in self.rows if r['name'] == w.rate[1]), None)
        return 20000 if base is None else median([f['records/s'] for f in base['kafka']]) / 2

    def row(self, both, w, directory):
        rate = self.rate_of(w)
        seconds, warmup = max(2, RUN_S * self.args.scale), max(1, WARMUP_S * self.args.scale)
        topic = 'bench-' + w.name if w.many else None
        for broker in both if w.many else ():
            runs.prime(broker, w.options, w.many, self.client_cpu, topic)
        got = {b.name: [] for b in both}
        for broker in (both[0], both[1], both[1], both[0]) * (2 if self.args.full else 1):
            runs.settle(directory)
            got[broker.name].append(figures(run_load(broker, w.options, rate, seconds, warmup, self.client_cpu, topic)))
        self.rows.append({'name': w.name, 'rate': rate, 'options': w.options, 'placement': self.placement,
                          'pair': self.pair, 'seconds': seconds, **got})
        self.print_row(self.rows[-1])

    def catch_up_row(self, both, w, directory):
        """One consumer from the beginning of a backlog that no page cache holds."""
        topic, got = 'bench-' + w.name, {b.name: [] for b in both}
        reads = [*w.options, '--producers', '0', '--consumers', '1']
        for broker in both:
            have = 0
            while have < BACKLOG_GB * 1e9:
                have += run_load(broker, w.options, None, 4, 0, self.client_cpu, topic)['bytes']
        for broker in (both[0], both[1], both[1], both[0]) * (2 if self.args.full else 1):
            runs.settle(directory)
            runs.forget(glob.glob(os.path.join(broker.directory, '**', topic + '-*', '*.log'), recursive=True))
            got[broker.name].append(read_figures(run_load(
                broker, reads, None, READ_S, 0, self.client_cpu, topic)))
        self.rows.append({'name': w.name, 'rate': None, 'options': reads, 'placement': self.placement,
                          'pair': self.pair, 'seconds': READ_S, **got})
        self.print_row(self.rows[-1])

    def print_row(self, row):
        say('\n%s  [%s, %s]%s' % (row['name'], row['pair'], row['placement'],
                                  '' if row['rate'] is None else '  at %.0f records/s' % row['rate']))
        say('  %-16s %12s %12s %9s   %s' % ('', 'millrace', 'kafka', 'better', 'spread ours, theirs'))
        for key, direction in FIGURES:
            a, b = [f[key] for f in row['millrace']], [f[key] for f in row['kafka']]
            ratio = ratio_of(row, key, direction)
            if ratio is not None:
                say('  %-16s %12s %12s %8sx   %.0f %%, %.0f %%' % (key, short(median(a)), short(median(b)),
                                                                   short(ratio), spread(a), spread(b)))
        for name in ('millrace', 'kafka'):
            for what in ('errors', 'unanswered', 'unmatched'):
                if sum(f[what] for f in row[name]):
                    say('  %s: %d %s: not a clean result' % (name, sum(f[what] for f in row[name]), what))
            if any(f['is_behind'] for f in row[name]):
                say('  %s: BEHIND, it does not reach this rate' % name)

    def curve(self, both, w, directory):
        """Latency at shares of each broker's own maximum, and of both at one rate: the lowest of these shares of the
        smaller maximum, A B B A."""
        base = next(r for r in self.rows if r['name'] == w.name)
        own = {b.name: median([f['records/s'] for f in base[b.name]]) for b in both}
        say('\nlatency at shares of each broker\'s own maximum, %s  [%s, %s]' % (w.name, self.pair, self.placement))
        for broker in both:
            for share in CURVE:
                self.curve_point(broker, w, directory, share, own[broker.name] * share)
        say('and of both at the same rate')
        for broker in (both[0], both[1], both[1], both[0]):
            self.curve_point(broker, w, directory, SAME_RATE, min(own.values()) * CURVE[0])

    def curve_point(self, broker, w, directory, share, rate):
        runs.settle(directory)
        f = figures(run_load(broker, w.options, rate, max(2, CURVE_S * self.args.scale),
                             max(1, WARMUP_S * self.args.scale), self.client_cpu))
        self.curves.append({'broker': broker.name, 'share': share, 'rate': rate, 'pair': self.pair,
                            'placement': self.placement, **f})
        say('  %-9s %4s = %9.0f records/s   p50 %s  p99 %s  p99.9 %s  p99.99 %s ms%s' % (
            broker.name, share_text(share), rate, short(f['p50 ms']), short(f['p99 ms']), short(f['p99.9 ms']),
            short(f['p99.99 ms']), '   BEHIND' if f['is_behind'] else ''))

    def run(self, directory, workloads, with_perf):
        both = self.pair_of_brokers(directory)
        try:
            for broker in both:
                took = broker.start(self.broker_cpus)
                self.settings[broker.name] = dict(broker.settings, **broker.conditions)
                say('\n%s (pid %d) is ready after %.2f s; it differs from its defaults in: %s' % (
                    broker.name, broker.pid, took, ', '.join('%s=%s' % x for x in self.settings[broker.name].items())))
                self.warm_up(broker)
            for w in workloads:
                if w.name == CATCH_UP:
                    self.catch_up_row(both, w, directory)
                else:
                    self.row(both, w, directory)
                if w.name == MAIN:
                    self.curve(both, w, directory)
            if with_perf and not self.args.no_perf_test:
                both[0].stop()  # this part starts its own
                self.perf = fairness.compare(both[1], directory, PERF_RATE, max(5, PERF_S * self.args.scale))
        finally:
            for broker in both:
                broker.wipe()


# ── README's tables ───────────────────────────────────────────────────────────────────────────────────────────


def shown_figures(row):
    keys = ('CPU-s/GB', 'broker CPU-s/GB', 'p99 ms', 'e2e p99.9 ms') if row['rate'] is not None else \
        ('records/s', 'us CPU/request', 'broker CPU-s/GB', 'p99 ms') if row['name'] == 'small-requests' else \
        ('MB/s', 'CPU-s/GB', 'broker CPU-s/GB', 'p99 ms')
    return [(k, d) for k, d in FIGURES if k in keys]


def value_text(runs_of, key):
    values = [f[key] for f in runs_of]
    marks = ' (behind)' if any(f['is_behind'] for f in runs_of) else ''
    marks += ' (errors)' if any(f['errors'] for f in runs_of) else ''
    return '%s ± %.0f %%%s' % (short(median(values)), spread(values) / 2, marks)


# What performance targets call T1 to T17, the row and figure that stand for each, and the ratio hoped for.
RATIOS = [('T1', 'CPU per GB in bulk', 'D0/D0', MAIN, 'CPU-s/GB', SMALLER, 3),
          ('T2', 'CPU per small request', 'D0/D0', 'small-requests', 'us CPU/request', SMALLER, 5),
          ('T4', 'p99 at half of Apache Kafka\'s rate', 'D0/D0', 'half-rate-end-to-end', 'p99 ms', SMALLER, 5),
          ('T5', 'end-to-end p99.9 there', 'D0/D0', 'half-rate-end-to-end', 'e2e p99.9 ms', SMALLER, 10),
          ('T6', 'both durable, 64 producers, 16 KiB', 'D2/D2', DURABLE.name, 'MB/s', BIGGER, 5),
          ('T10', 'catch-up read', 'D0/D0', CATCH_UP, 'MB/s', BIGGER, 1),
          ('T14', 'start after a clean stop', None, None, 'clean start s', SMALLER, 10),
          ('T14', 'start after kill -9', None, None, 'kill start s', SMALLER, 10),
          ('T15', 'memory per partition', None, None, 'KiB per partition', SMALLER, 10),
          ('T17', 'idle CPU', None, None, 'idle %', SMALLER, 3)]


def ratio_rows(data):
    """-> [(target, what, figure, ours, theirs, ratio, hoped for)] of what was measured."""
    rows = []
    for target, what, pair, name, key, direction, hoped in RATIOS:
        if name is None:
            found = [{b: [f] for b, f in data['standing'].items()}] if data.get('standing') else []
        else:
            found = [r for r in data['rows'] if r['name'] == name and r['pair'] == pair][:1]
        for row in found:
            ratio = ratio_of(row, key, direction)
            if ratio is not None:
                ours, theirs = (median([f[key] for f in row[b]]) for b in ('millrace', 'kafka'))
                rows.append((target, what, key, ours, theirs, ratio, hoped))
    return rows


def ratio_table(data):
    rows = ratio_rows(data)
    out = ['| | what | figure | millrace | Apache Kafka | better by | hoped for |', '|---|---|---|---|---|---|---|']
    out += ['| %s | %s | %s | %s | %s | %s× | %s× |' % (t, what, key, short(a), short(b), short(r), hoped)
            for t, what, key, a, b, r, hoped in rows]
    if rows:
        mean = math.exp(sum(math.log(r[5]) for r in rows) / len(rows))
        out.append('| | geometric mean | | | | %s× | |' % short(mean))
    return '\n'.join(out)


def curve_table(data):
    """Latency over rate: a line for each share and pair of classes, medians where a point was measured more than once."""
    points = collections.defaultdict(list)
    for c in data['curves']:
        points[(c['placement'], c['pair'], c['share']), c['broker']].append(c)
    out = ['| share of its own maximum | durability | millrace: records/s, p50, p99, p99.9 ms | Apache Kafka |', '|---|---|---|---|']
    for place, pair, share in dict.fromkeys(key for key, _ in points):
        texts = []
        for broker in ('millrace', 'kafka'):
            got = points[(place, pair, share), broker]
            texts.append('{:,.0f}: '.format(median([c['rate'] for c in got])) + ', '.join(
                short(median([c[key] for c in got])) for key in ('p50 ms', 'p99 ms', 'p99.9 ms')) + (
                    ' (behind)' if any(c['is_behind'] for c in got) else '') if got else '')
        share = 'both at the same rate' if share == SAME_RATE else share_text(share)
        out.append('| %s | %s | %s |' % (share + ('' if place == 'shared' else ', ' + place), pair, ' | '.join(texts)))
    return '\n'.join(out) if points else ''


def markdown(data):
    """README's table: what was measured, and on what."""
    h = data['host']
    out = ['| workload | durability | figure | millrace | Apache Kafka | better by |', '|---|---|---|---|---|---|']
    for row in data['rows']:
        head = row['name'] + ('' if row['placement'] == 'shared' else ', ' + row['placement'])
        head += '' if row['rate'] is None else ', {:,.0f} records/s'.format(row['rate'])
        head = '%s | %s' % (head, row['pair'])
        for key, direction in shown_figures(row):
            ratio = ratio_of(row, key, direction)
            if ratio is not None:
                out.append('| %s | %s | %s | %s | %s |' % (head, key, value_text(row['millrace'], key), value_text(
                    row['kafka'], key), short(ratio) + '×'))
                head = ' | '
    busy = '' if h['load_before'] <= 1 else ' **The machine did other work at the same time (load %.1f before): not to be ' \
        'quoted.**' % h['load_before']
    out += ['', 'Apache Kafka %s beside millrace %s: %s, %d cores, %d GiB, Linux %s, %s; %s; scale %g (%g s per run, '
            'order A B B A, medians ± half the spread).%s' % (
                brokers.KAFKA_VERSION, h['commit'], h['cpu'], h['cores'], h['memory_gib'], h['kernel'],
                h['file_system'], h['date'], data['scale'], max(2, RUN_S * data['scale']), busy)]
    return '\n'.join(out)


def workloads_of(args, pair):
    """The rows of one pair of classes."""
    those = WORKLOADS + [DURABLE] + FULL_WORKLOADS if args.full else [DURABLE] if pair == 'D2/D2' else WORKLOADS
    return [w for w in those if not args.only or w.name in args.only.split(',')]


def estimate_minutes(args, placements, pairs):
    runs_n, seconds = 8 if args.full else 4, 0
    each = max(2, RUN_S * args.scale) + max(1, WARMUP_S * args.scale) + BETWEEN_S
    at_share = max(2, CURVE_S * args.scale) + max(1, WARMUP_S * args.scale) + BETWEEN_S
    for those in [workloads_of(args, pair) for pair in pairs] * len(placements):
        seconds += bool(those) * (2 * max(6, 60 * args.scale) + 15) + runs_n * len(those) * each
        seconds += sum(w.many for w in those) / MANY * PRIME_S + any(w.name == MAIN for w in those) * CURVE_POINTS_N * at_share
    if not args.only:
        seconds += 60 + PRIME_S
    if not args.no_perf_test and args.only in ('', FAIRNESS):
        seconds += 2 * (2 + len(fairness.ORDER) * (max(5, PERF_S * args.scale) + fairness.START_S + 2))
    return seconds / 60


def measure(args):
    placements = ['shared', 'split'] if args.full else ['shared']
    pairs = [pair for pair in args.pairs.split(',') if workloads_of(args, pair)]
    if args.only == FAIRNESS:
        pairs = ['D0/D0']
    if not pairs:
        brokers.die('--only names none of: ' + ', '.join([w.name for w in WORKLOADS + [DURABLE] + FULL_WORKLOADS] + [FAIRNESS]))
    brokers.fetch_kafka()
    data = {'host': runs.host(), 'scale': args.scale, 'full': args.full, 'rows': [], 'curves': [], 'perf_test': [],
            'settings': {}}
    say(runs.host_text(data['host']))
    say('scale %g: every run measures %g s; about %.0f minutes; placements: %s' % (
        args.scale, max(2, RUN_S * args.scale), estimate_minutes(args, placements, pairs),
        ', '.join(placements)))
    if data['host']['load_before'] > 1.0:
        say('THE MACHINE IS BUSY (load %.2f): nothing below is a result to quote' % data['host']['load_before'])
    os.makedirs(os.path.join(brokers.ROOT, 'build'), exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='millrace-bench-', dir=os.path.join(brokers.ROOT, 'build')) as directory:
        for placement in placements:
            for pair in pairs:
                c = Comparison(args, placement, pair)
                try:
                    is_first = (placement, pair) == (placements[0], pairs[0])
                    where = os.path.join(directory, placement + '-' + pair.replace('/', '-'))
                    c.run(where, workloads_of(args, pair), with_perf=is_first)
                    if is_first and not args.only:
                        data['standing'] = standing.compare(c.pair_of_brokers(where), c.broker_cpus, c.client_cpu)
                finally: # what was measured before a failure is kept
                    data['rows'] += c.rows
                    data['curves'] += c.curves
                    data['perf_test'] += c.perf
                    data['settings']['%s %s' % (placement, pair)] = c.settings
                    with open(args.out, 'w') as f:
                        json.dump(data, f, indent=1)
    say('\n' + ratio_table(data))
    say('\n%d rows; all figures in %s' % (len(data['rows']), os.path.relpath(args.out)))
    return data


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--full', action='store_true', help='both placements, D2/D2, 10,000 partitions, 8 runs per row')
    p.add_argument('--scale', type=float, default=1.0, help='factor on all durations (1: %d s per run)' % RUN_S)
    p.add_argument('--only', default='', help='names of workloads, by comma; or fairness')
    p.add_argument('--pairs', default='D0/D0,D2/D0,D2/D2')
    p.add_argument('--no-perf-test', action='store_true', help='without kafka-producer-perf-test')
    p.add_argument('--out', default=os.path.join(brokers.ROOT, 'build', 'bench-kafka.json'))
    p.add_argument('--markdown', action='store_true', help='print README\'s table at the end')
    p.add_argument('--from', dest='saved', metavar='FILE', help='do not measure: use this JSON')
    args = p.parse_args()
    try:
        data = json.load(open(args.saved)) if args.saved else measure(args)
    except runs.Failed as e:
        brokers.die(str(e))
    except KeyboardInterrupt:
        brokers.die('interrupted; the brokers were stopped and their data removed')
    if args.markdown:
        print('\n'.join(['', ratio_table(data), '', curve_table(data), '', markdown(data)]))


if __name__ == '__main__':
    main()
