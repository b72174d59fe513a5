"""fairness.py - Apache Kafka's own kafka-producer-perf-test beside our generator: is ours a fair load?

Both send the same rate of the same records in batches of the same size to the same broker. A broker must need about
the same CPU for each: then what the generator measures is what a stock client would see. The clients' latencies are
not compared: kafka-producer-perf-test counts from the real send, in whole milliseconds.

Three things would differ without being a part of the load, so they are made equal:

- The broker has core 0, the client core 1. The tool's threads come and go on every core they may use, the generator
  never sleeps: on shared cores both decide where and when the broker runs.
- millrace runs with one worker. Either client has one connection, and of two workers the one that got it hands none,
  half or all of the 16 partitions' batches to the other: 0 to 2 mails a request, by chance, run by run.
- What is counted begins START_S after the client's start, when the JVM has compiled what it needs.

The shape of the load (requests, batches, turns and sleeps per GB, from millrace's own counters) is printed beside the
CPU: requests and batches are the same on any machine, turns and sleeps say whether they came as evenly.
"""
import glob
import json
import os
import random
import re
import subprocess
import tempfile
import time
import urllib.request

import brokers
import runs

RECORD, BATCH = 1024, 16384
START_S = 4
TOPIC = 'perf-test'
BROKER_CPU, CLIENT_CPU = '0', '1'
LINE = re.compile(r'(\d+) records sent, ([\d.]+) records/sec .*?([\d.]+) ms avg latency, ([\d.]+) ms max latency')
SHAPE = {'requests': 'millrace_requests_total', 'batches': 'millrace_produce_batches_total',
         'turns': 'millrace_turns_busy_total', 'sleeps': 'millrace_sleeps_total'}
ORDER = ('perf_test', 'generator', 'generator', 'perf_test', 'perf_test', 'generator')


def payload_file(directory):
    """Lines of RECORD random printable bytes: no compression, and no regeneration per record as with
    --record-size."""
    path = os.path.join(directory, 'payload.txt')
    rng = random.Random(1)
    with open(path, 'w') as f:
        for _ in range(512):
            f.write(''.join(chr(33 + rng.randrange(90)) for _ in range(RECORD)) + '\n')
    return path


def counters(broker):
    """What SHAPE names and the bytes, over all threads; {} of a broker that has no such counters."""
    if not hasattr(broker, 'admin_port'):
        return {}
    with urllib.request.urlopen('http://127.0.0.1:%d/metrics' % broker.admin_port, timeout=10) as f:
        lines = [line.rsplit(' ', 1) for line in f.read().decode().splitlines() if not line.startswith('#')]
    return {name: sum(float(value) for series, value in lines if series.split('{')[0] == metric)
            for name, metric in {**SHAPE, 'bytes': 'millrace_produce_bytes_total'}.items()}


def appended_bytes(broker, counted):
    """What was appended so far: millrace counts it, Apache Kafka's files grow by it."""
    if counted:
        return counted['bytes']
    found = glob.glob(os.path.join(broker.directory, 'data', TOPIC + '-*', '*.log'))
    return sum(os.path.getsize(path) for path in found)


def window(broker, seconds):
    """The next `seconds` of a steady load -> CPU and SHAPE per GB."""
    cpu, before = runs.cpu_of(broker.pid), counters(broker)
    bytes_before = appended_bytes(broker, before)
    time.sleep(seconds)
    used, after = runs.cpu_of(broker.pid) - cpu, counters(broker)
    gb = (appended_bytes(broker, after) - bytes_before) / 1e9
    if gb <= 0:
        raise runs.Failed('%s took no byte in %g s' % (broker.name, seconds))
    return {'GB': gb, 'broker CPU-s/GB': used / gb, **{k: (after[k] - before[k]) / gb for k in SHAPE if k in after}}


def producer_perf(broker, rate, seconds):
    """-> {'records/s', 'broker CPU-s/GB', ...} of ProducerPerformance. Its batches are whole (linger.ms, partitions in
    even turns) and each is a request of its own, as the generator's are."""
    with tempfile.TemporaryDirectory(prefix='millrace-perf-') as directory:
        command = ['taskset', '-c', CLIENT_CPU, 'java', '-Xms256m', '-Xmx256m', '-cp', os.path.join(brokers.JARS, '*'),
                   '-Dlog4j2.level=ERROR', 'org.apache.kafka.tools.ProducerPerformance', '--topic', TOPIC,
                   '--num-records', str(int(rate * (START_S + seconds + 1))), '--throughput', str(int(rate)),
                   '--payload-file', payload_file(directory), '--producer-props',
                   'bootstrap.servers=127.0.0.1:%d' % broker.port, 'acks=all', 'batch.size=%d' % BATCH,
                   'linger.ms=1000', 'partitioner.adaptive.partitioning.enable=false', 'enable.idempotence=false',
                   'compression.type=none', 'buffer.memory=67108864', 'max.request.size=%d' % (BATCH + 4096)]
        p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(START_S)
            figures = window(broker, seconds)
            out, err = p.communicate(timeout=seconds * 3 + 60)
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()
    found = LINE.findall(out)
    if p.returncode != 0 or not found:
        raise runs.Failed('ProducerPerformance against %s: %s' % (broker.name, (err or out).strip()[-500:]))
    n, per_s, average, worst = found[-1]
    return {'records': int(n), 'records/s': float(per_s), 'avg ms': float(average), 'max ms': float(worst), **figures}


def generator(broker, rate, seconds):
    """The same of the generator."""
    options = ['--partitions', '16', '--record-size', str(RECORD), '--batch-size', str(BATCH), '--topic', TOPIC,
               '--bootstrap-server', '127.0.0.1:%d' % broker.port, '--rate', '%g' % rate, '--warmup', str(START_S),
               '--duration', '%g' % (seconds + 1), '--keep-topic', '--quiet', '--cpu', CLIENT_CPU]
    with tempfile.NamedTemporaryFile(suffix='.json') as out:
        p = subprocess.Popen([runs.MILLRACE, 'bench', '--json', out.name] + options, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(START_S)
            figures = window(broker, seconds)
            _, err = p.communicate(timeout=60)
        finally:
            if p.poll() is None:
                p.kill()
                p.wait()
        if p.returncode not in (0, runs.INCOMPLETE):
            raise runs.Failed('the generator against %s: %s' % (broker.name, err.strip()[-500:]))
        with open(out.name) as f:
            r = json.load(f)['results'][-1]
    return {'records/s': r['records_per_s'], 'own stalls max ms': r['own_stalls_ms']['max'], **figures}


def compare_one(broker, rate, seconds):
    """-> the row of one broker, printed."""
    options = ['--partitions', '16', '--record-size', str(RECORD), '--batch-size', str(BATCH)]
    runs.run_load(broker, options, rate, 1, 0.5, CLIENT_CPU, topic=TOPIC)  # makes the topic
    got = {'perf_test': [], 'generator': []}
    for which in ORDER:
        run = producer_perf if which == 'perf_test' else generator
        got[which].append(run(broker, rate, seconds))
    keys = [k for k in ('broker CPU-s/GB', *SHAPE) if k in got['generator'][0]]
    a, b = ({k: [f[k] for f in got[w]] for k in keys} for w in ('perf_test', 'generator'))
    cpu = keys[0]
    noise = max(runs.spread(a[cpu]), runs.spread(b[cpu]), 10)
    apart = 100 * (runs.median(b[cpu]) / max(runs.median(a[cpu]), 1e-9) - 1)
    runs.say('  %-9s broker CPU-s/GB: perf-test %s, generator %s: %+.0f %%, noise %.0f %% -> %s' % (
        broker.name, runs.short(runs.median(a[cpu])), runs.short(runs.median(b[cpu])), apart, noise,
        'agree' if abs(apart) <= noise else 'DIFFER: see bench/peers/README.md'))
    for k in keys[1:]:
        runs.say('  %-9s %s per GB: perf-test %s, generator %s: %+.0f %%' % (
            '', k, runs.short(runs.median(a[k])), runs.short(runs.median(b[k])),
            100 * (runs.median(b[k]) / max(runs.median(a[k]), 1e-9) - 1)))
    slow = [w for w in got if min(f['records/s'] for f in got[w]) < 0.95 * rate]
    if slow:
        runs.say('  %-9s %s did not keep the rate: no result' % ('', ' and '.join(slow)))
    return {'broker': broker.name, 'rate': rate, **got, 'apart_percent': apart, 'noise_percent': noise,
            'agrees': abs(apart) <= noise and not slow, 'did_not_keep_the_rate': slow}


def compare(kafka, directory, rate, seconds):
    """Prints the comparison on both brokers -> rows for the JSON. The order A B B A A B cancels drift."""
    runs.say('\nkafka-producer-perf-test beside the generator: %.0f records/s of %d B, batches of %d B, acks=all,'
             ' 16 partitions; broker on core %s, client on core %s' % (rate, RECORD, BATCH, BROKER_CPU, CLIENT_CPU))
    if (os.cpu_count() or 1) < 2:
        runs.say('  left out: it needs two cores')
        return []
    ours = brokers.Millrace(os.path.join(directory, 'fairness'), 'relaxed', 1)
    ours.admin_port = brokers.free_port()
    ours.conditions['admin.listeners'] = '127.0.0.1:%d' % ours.admin_port
    try:
        ours.start(BROKER_CPU)
        rows = [compare_one(ours, rate, seconds)]
    finally:
        ours.wipe()
    subprocess.run(['taskset', '-a', '-cp', BROKER_CPU, str(kafka.pid)], stdout=subprocess.DEVNULL, check=True)
    return rows + [compare_one(kafka, rate, seconds)]
