"""fairness.py - Apache Kafka's own kafka-producer-perf-test beside our generator: is ours a fair load?

Both send the same rate of the same records in batches of the same size to the same broker. A broker must need about
the same CPU for each: then what the generator measures is what a stock client would see. The clients' latencies are
not compared: kafka-producer-perf-test counts from the real send, in whole milliseconds.
"""
import os
import random
import re
import subprocess
import tempfile

import brokers
import runs

RECORD, BATCH = 1024, 16384
LINE = re.compile(r'(\d+) records sent, ([\d.]+) records/sec .*?([\d.]+) ms avg latency, ([\d.]+) ms max latency')


def payload_file(directory):
    """Lines of RECORD random printable bytes: no compression, and no regeneration per record as with
    --record-size."""
    path = os.path.join(directory, 'payload.txt')
    rng = random.Random(1)
    with open(path, 'w') as f:
        for _ in range(512):
            f.write(''.join(chr(33 + rng.randrange(90)) for _ in range(RECORD)) + '\n')
    return path


def producer_perf(broker, rate, seconds, topic):
    """-> {'records/s', 'broker CPU-s/GB', ...} of ProducerPerformance."""
    with tempfile.TemporaryDirectory(prefix='millrace-perf-') as directory:
        command = ['java', '-Xms256m', '-Xmx256m', '-cp', os.path.join(brokers.JARS, '*'),
                   '-Dlog4j2.level=ERROR', 'org.apache.kafka.tools.ProducerPerformance', '--topic', topic,
                   '--num-records', str(int(rate * seconds)), '--throughput', str(int(rate)), '--payload-file',
                   payload_file(directory), '--producer-props', 'bootstrap.servers=127.0.0.1:%d' % broker.port,
                   'acks=all', 'batch.size=%d' % BATCH, 'linger.ms=100', 'enable.idempotence=false',
                   'compression.type=none', 'buffer.memory=67108864']
        before = runs.cpu_of(broker.pid)
        p = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                           timeout=seconds * 3 + 60)
        used = runs.cpu_of(broker.pid) - before
    found = LINE.findall(p.stdout)
    if p.returncode != 0 or not found:
        raise runs.Failed('ProducerPerformance against %s: %s' % (broker.name, (p.stderr or p.stdout).strip()[-500:]))
    n, per_s, average, worst = found[-1]
    gb = int(n) * (RECORD + 12) / 1e9
    return {'records': int(n), 'records/s': float(per_s), 'avg ms': float(average), 'max ms': float(worst),
            'broker CPU-s/GB': used / gb}


def compare(both, rate, seconds, cpu):
    """Prints one line per broker -> rows for the JSON. The order A B B A cancels drift."""
    runs.say('\nkafka-producer-perf-test beside the generator: %.0f records/s of %d B, batches of %d B, acks=all,'
             ' 16 partitions' % (rate, RECORD, BATCH))
    rows = []
    for broker in both:
        theirs, ours = [], []
        options = ['--partitions', '16', '--record-size', str(RECORD), '--batch-size', str(BATCH)]
        runs.run_load(broker, options, rate, 1, 0.5, cpu, topic='perf-test')  # makes the topic, with its partitions
        for which in (theirs, ours, ours, theirs):
            if which is theirs:
                which.append(producer_perf(broker, rate, seconds, 'perf-test'))
            else:
                r = runs.run_load(broker, options, rate, seconds, 0.5, cpu, topic='perf-test')
                which.append({'records/s': r['records_per_s'], 'broker CPU-s/GB': r['broker_cpu_s'] / (
                    max(r['bytes'], 1) / 1e9)})
        a, b = ([f['broker CPU-s/GB'] for f in x] for x in (theirs, ours))
        noise = max(runs.spread(a), runs.spread(b), 10)
        apart = 100 * (runs.median(b) / max(runs.median(a), 1e-9) - 1)
        rows.append({'broker': broker.name, 'rate': rate, 'perf_test': theirs, 'generator': ours,
                     'apart_percent': apart, 'noise_percent': noise, 'agrees': abs(apart) <= noise})
        runs.say('  %-9s broker CPU-s/GB: perf-test %s, generator %s: %+.0f %%, noise %.0f %% -> %s' % (
            broker.name, runs.short(runs.median(a)), runs.short(runs.median(b)), apart, noise,
            'agree' if abs(apart) <= noise else 'DIFFER: see bench/peers/README.md'))
    return rows
