#!/usr/bin/env python3
"""scorecard.py - what millrace costs, each figure beside its floor measured in the same minutes.

    scorecard.py [--scale 0.2] [--only NAME,...] [--record] [--out FILE.json]

A floor is what this machine needs for the same bytes with nothing of a broker around them: the generator against a
server that does nothing (kernel TCP), a bare io_uring append loop, fio, one CRC. Every figure is measured REPEATS times
and shown with its spread; --record appends one line to bench/results.jsonl, which `make bench-diff` compares.
What a part needs and the machine has not (fio, valgrind, room on the disk) is left out with a line that says so.
"""
import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, 'peers'))
sys.path.insert(0, HERE)
import brokers
import classes
import heartbeats
import restart
import runs
from runs import cpu_of, median, rss_of, run_load, say, short, spread

RESULTS = os.path.join(HERE, 'results.jsonl')
REPEATS = 3
BULK = ['--partitions', '16', '--producers', '4', '--record-size', '1024', '--batch-size', '65536']
SMALL = ['--partitions', '16', '--producers', '16', '--record-size', '100', '--batch-size', '1', '--window', '4']


class Card:
    """Collects figures: name -> values, unit, floor."""

    def __init__(self, args):
        self.args, self.figures, self.directory = args, {}, None

    def seconds(self, full):
        return max(1.0, full * self.args.scale)

    def add(self, name, values, unit, floor=None, floor_name='', bigger=False, note=''):
        values = values if isinstance(values, list) else [values]
        self.figures[name] = {'values': values, 'median': median(values), 'unit': unit, 'floor': floor,
                              'floor_name': floor_name, 'bigger_is_better': bigger}
        beside = '' if not floor else '  floor %s (%s): %.2f of it' % (short(floor), floor_name, median(values) / floor)
        say('  %-44s %10s %-14s ± %2.0f %%%s%s' % (name, short(median(values)), unit, spread(values) / 2, beside,
                                                  '  ' + note if note else ''))

    def broker(self, name='millrace', durability='relaxed', **settings):
        b = brokers.Millrace(os.path.join(self.directory, name), durability, 1)
        b.admin_port = brokers.free_port()
        b.conditions.update({'admin.listeners': '127.0.0.1:%d' % b.admin_port, **settings})
        return b


def metric(broker, name):
    """The greatest of a metric's series (workers)."""
    with urllib.request.urlopen('http://127.0.0.1:%d/metrics' % broker.admin_port, timeout=10) as f:
        text = f.read().decode()
    values = [float(line.rsplit(' ', 1)[1]) for line in text.splitlines() if re.match(re.escape(name) + r'[{ ]', line)]
    return max(values, default=0.0)


# ── floors ───────────────────────────────────────────────────────────────────────────────────────────────────
def null_server(card, options):
    """The generator against its null server -> (MB/s, requests/s, its CPU-s/GB, its us/request)."""
    keep = [o for o in options]
    at = keep.index('--partitions')
    del keep[at:at + 2]
    r = run_load(None, keep + ['--ceiling'], None, card.seconds(3), 0.5)
    used = r['broker_cpu_s']
    return r['mb_per_s'], r['requests_per_s'], used / max(r['bytes'] / 1e9, 1e-9), used / max(r['requests'], 1) * 1e6


def micro(program, *arguments):
    path = os.path.join(brokers.ROOT, 'build', 'bench-micro', program)
    return subprocess.run([path, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def append_loop(directory):
    """Bare io_uring appends of 64 KiB, one thread -> CPU-s/GB by kind."""
    text = micro('bench_uring', directory)
    found = re.findall(r'^(.*?write, 64 KiB(?:, registered)?)\s.*?([\d.]+) us with the io workers', text, re.M)
    return {name: float(us) * 1e-6 / 65536 * 1e9 for name, us in found}


def fio(card, kind):
    """Sequential O_DIRECT 1 MiB at depth 8 -> MB/s, or None."""
    if not shutil.which('fio'):
        say('  (fio is not installed: no floor of the disk)')
        return None
    p = subprocess.run(['fio', '--name=x', '--rw=' + kind, '--bs=1M', '--iodepth=8', '--ioengine=io_uring',
                        '--direct=1', '--size=1G', '--filename=' + os.path.join(card.directory, 'fio'),
                        '--output-format=json', '--time_based', '--runtime=%d' % max(2, card.seconds(4))],
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    if p.returncode != 0:
        say('  (fio failed: no floor of the disk)')
        return None
    return json.loads(p.stdout[p.stdout.index('{'):])['jobs'][0][kind]['bw_bytes'] / 1e6


# ── parts ────────────────────────────────────────────────────────────────────────────────────────────────────
def produce(card):
    """T1, T2: what a GB and a request cost, produced."""
    tcp_mb, _, tcp_gb, _ = null_server(card, BULK)
    _, null_rps, _, null_us = null_server(card, SMALL)
    loop = append_loop(card.directory)
    write = min(loop.values(), default=0)
    b = card.broker()
    b.start()
    try:
        bulk, small, turn = [], [], []
        for _ in range(REPEATS):
            runs.settle(card.directory)
            bulk.append(run_load(b, BULK, None, card.seconds(6), 1))
            small.append(run_load(b, SMALL, None, card.seconds(4), 1))
            turn.append(metric(b, 'millrace_turn_longest_nanoseconds') / 1e6)
    finally:
        b.wipe()
    gb = [r['broker_cpu_s'] / (r['bytes'] / 1e9) for r in bulk]
    card.add('T1 produce 64 KiB batches, broker', gb, 'CPU-s/GB', tcp_gb + write, 'kernel TCP %s + bare append %s' % (
        short(tcp_gb), short(write)))
    card.add('T1 the same, machine less client', [(r['machine_cpu_s'] - r['client_cpu_s']) / (r['bytes'] / 1e9)
                                                  for r in bulk], 'CPU-s/GB', tcp_gb + write, 'the same')
    card.add('T1 throughput', [r['mb_per_s'] for r in bulk], 'MB/s', tcp_mb, 'generator\'s ceiling', True)
    card.add('T2 produce 100 B per request, broker', [r['broker_cpu_s'] / r['requests'] * 1e6 for r in small],
             'us/request', null_us, 'kernel TCP')
    card.add('T2 requests', [r['requests_per_s'] for r in small], '/s', null_rps, 'generator\'s ceiling', True)
    card.add('longest turn of a worker, so far', turn, 'ms')


def fetch(card):
    """T9, T10: what a GB costs, fetched: from the tail, by eight readers, and from the disk."""
    _, _, tcp_gb, _ = null_server(card, BULK)
    read = fio(card, 'read')
    b = card.broker()
    b.start()
    try:
        rate = 60000
        tail = ['--consumers', '1'] + BULK
        extra = [[], []]
        for _ in range(3):  # each is the difference of two loads that cost nearly the same
            alone = run_load(b, BULK, rate, card.seconds(3), 1)
            for found, options in zip(extra, (tail, tail + ['--readers', '8'])):
                r = run_load(b, options, rate, card.seconds(3), 1)
                more = r['broker_cpu_s'] / r['seconds'] - alone['broker_cpu_s'] / alone['seconds']
                found.append(max(more / max(r['consumed_bytes'] / r['seconds'] / 1e9, 1e-9), 0.001))
        card.add('T9 fetch from the tail, broker', extra[0], 'CPU-s/GB', tcp_gb, 'kernel TCP')
        card.add('T9 fetch by eight readers, broker', extra[1], 'CPU-s/GB', tcp_gb, 'kernel TCP')
        fill_s = card.seconds(6)
        run_load(b, BULK, None, fill_s, 0.5, topic='backlog')
        b.stop()
        with open('/proc/sys/vm/drop_caches', 'w') as f:
            os.sync()
            f.write('1')
        b.start()
        r = run_load(b, ['--partitions', '16', '--producers', '0', '--consumers', '1'], None, card.seconds(3), 0,
                     topic='backlog')
        busy = [s['consumed_bytes'] / 1e6 for s in r['series'] if s['consumed_bytes']]
        card.add('T10 catch-up read', busy[:1] or [r['consumed_bytes'] / 1e6 / r['seconds']], 'MB/s', read,
                 'fio sequential read', True)
        before = run_load(b, BULK, 10000, card.seconds(3), 0.5, topic='other')
        reader = subprocess.Popen([runs.MILLRACE, 'bench', '--bootstrap-server', '127.0.0.1:%d' % b.port, '--quiet',
                                   '--topic', 'backlog', '--keep-topic', '--partitions', '16', '--producers', '0',
                                   '--consumers', '1', '--warmup', '0', '--duration', '%g' % card.seconds(4)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        during = run_load(b, BULK, 10000, card.seconds(3), 0.5, topic='other')
        reader.wait()
        card.add('T10 produce p99 while another catches up', during['produce_ms']['p99'], 'ms',
                 before['produce_ms']['p99'], 'before it')
    except PermissionError:
        say('  (not root: the page cache cannot be emptied, no catch-up read)')
    finally:
        b.wipe()


def durable(card):
    """T7: appended bytes against fio, flushed before the answer."""
    write = fio(card, 'write')
    b = card.broker(durability='group')
    b.start()
    try:
        r = [run_load(b, BULK + ['--window', '32'], None, card.seconds(5), 1) for _ in range(REPEATS)]
    finally:
        b.wipe()
    card.add('T7 durable produce', [x['mb_per_s'] for x in r], 'MB/s', write, 'fio sequential write', True)
    card.add('T6 durable produce p99', [x['produce_ms']['p99'] for x in r], 'ms')


def store_run(card, *arguments):
    """One run of the storage engine alone, or of its floor (bench/micro/bench_store.c) -> name: figure."""
    at = [card.directory if a == '.' else str(a) for a in arguments]
    return {k: float(v) for k, v in re.findall(r'(\w+)=([\d.]+)', micro('bench_store', *at))}


def storage(card):
    """The storage engine alone, no network: 64 producers on 64 logs, 64 KiB batches; what it appends, what that costs.
    The floor of each round is measured beside it: the same bytes in order past the page cache, into a new file and
    into one written before (what fio measures when it laid its file out)."""
    size = max(256, int(1536 * card.args.scale))
    rounds = []
    for _ in range(REPEATS):
        rounds.append({'new': store_run(card, 'floor', 'new', '.', size),
                       'again': store_run(card, 'floor', 'again', '.', size),
                       'relaxed': store_run(card, 'bulk', 'relaxed', '.', 64, size),
                       'group': store_run(card, 'bulk', 'group', '.', 64, size)})
    for kind, aim, cpu_aim, bytes_aim in (('relaxed', 0.95, 0.15, 1.05), ('group', 0.85, 0.18, 1.2)):
        runs_of = [r[kind] for r in rounds]
        name = 'storage alone, %s: ' % kind
        card.add(name + 'appended', [r['mb_per_s'] for r in runs_of], 'MB/s', median([r['new']['mb_per_s'] for r in rounds]),
                 'in order, new file', True)
        for floor, what in (('new', 'a new file'), ('again', 'a file written before')):
            card.add(name + 'over ' + what, [r[kind]['mb_per_s'] / r[floor]['mb_per_s'] for r in rounds], 'times', bigger=True,
                     note='aim %.2f' % aim if floor == 'again' else '')
        card.add(name + 'CPU', [r['cpu_s_per_gb'] for r in runs_of], 'CPU-s/GB',
                 median([r['new']['cpu_s_per_gb'] for r in rounds]), 'bare writes', note='aim %.2f' % cpu_aim)
        card.add(name + 'device bytes per byte', [r['device_bytes_per_byte'] for r in runs_of], 'times', 1.0, 'once',
                 note='aim %.2f; of this process alone %.2f' % (bytes_aim, median([r['own_bytes_per_byte'] for r in runs_of])))
    card.add('flushes per acknowledged batch, 64 producers', [r['group']['flushes_per_batch'] for r in rounds], '',
             note='aim %.4f; of rings and logs alone %.4f' % (1 / 16, median([r['group']['own_flushes_per_batch'] for r in rounds])))
    for kib, what in ((32, 'straight to the files'), (1024, 'all by the journal')):
        r = store_run(card, 'bulk', 'group', '.', 64, max(256, size // 3), kib)
        card.add('group, %s: appended' % what, r['mb_per_s'], 'MB/s', bigger=True,
                 note='%.2f device bytes per byte, %.2f CPU-s/GB' % (r['device_bytes_per_byte'], r['cpu_s_per_gb']))
    turns(card)
    r = store_run(card, 'trickle', '.', 1000, 160)
    card.add('trickle of 1 KiB on 1,000 logs: device bytes per byte', r['device_bytes_per_byte'], 'times', 1.0, 'once',
             note='aim 2.5; of this process alone %.2f; 16 appends per flush' % r['own_bytes_per_byte'])


def turns(card):
    """A turn of durable 4 KiB appends beside a bare write of the same bytes and a flush."""
    text = micro('bench_journal', card.directory)
    for logs, ours, bare in re.findall(r'(\d+) logs: journal\s+([\d.]+) us, bare write and flush\s+([\d.]+) us', text):
        card.add('a turn of durable 4 KiB to %s logs' % logs, float(ours), 'us', float(bare), 'bare write and flush',
                 note='aim 2')


def latency_classes(card):
    """A critical topic at 1 MB/s beside a full-rate one and a catch-up read: its p99 (bench/classes.py)."""
    r = classes.measure(card.seconds(4), 2, card.directory)
    beside, alone, flush = (r[name] for name in ('beside, critical and bulk', 'alone', classes.FLUSH))
    card.add('critical p99 beside full rate and catch-up', [p99 for _, p99 in beside['all']], 'ms',
             max(alone['p99_ms'], flush['p99_ms']), 'larger of alone and fio\'s flush p99')


def restarts(card):
    """kill -9 at full rate to the first acknowledged produce on every partition written at the kill (bench/restart.py)."""
    for text in card.args.fill:
        fill = restart.fill_mib(text, card.directory)
        if shutil.disk_usage(card.directory).free >> 20 < fill + 4096:
            say('  (no room for %d MiB: left out)' % fill)
            continue
        rounds = list(restart.measure(card.directory, 64, fill, 2))
        card.add('kill -9 with %s%s on the disk to first answers' % (text, ' MiB' if text.isdigit() else ''),
                 [answered for _, _, answered in rounds], 's',
                 note='aim 2; 64 partitions, %.1f GB' % (rounds[-1][0] * 1.048576 / 1000))


def topics_make(broker, name, topics, partitions):
    run_load(broker, ['--topics', str(topics), '--partitions', str(partitions), '--record-size', '100',
                      '--batch-size', '1', '--producers', '1'], 100, 0.2, 0, topic=name)


def partitions(card):
    """T14, T15, T16, T17: what partitions cost: memory, start, throughput, idling."""
    b = card.broker()
    b.start()
    try:
        time.sleep(1)
        empty = rss_of(b.pid)
        card.add('RSS of an empty broker', empty / 1048576, 'MiB')
        for n in (1000, 10000):
            topics_make(b, 'p%d' % n, 10, n // 10)
            time.sleep(1)
            total = n if n == 1000 else 11000
            card.add('T15 RSS per partition at %d' % total, (rss_of(b.pid) - empty) / total / 1024, 'KiB')
        idle(card, b, 'T17 idle CPU with 11,000 partitions')
        few = run_load(b, BULK[:0] + ['--partitions', '10', '--producers', '4', '--batch-size', '4096'], None,
                       card.seconds(4), 1)
        ten = ['--topics', '10', '--partitions', '1000', '--producers', '4', '--batch-size', '4096']
        first = run_load(b, ten, None, card.seconds(3), 0, topic='p10000')
        card.add('T16 partitions that see their first record', first['requests_per_s'], '/s', bigger=True,
                 note='their files are made then')
        many = run_load(b, ten, None, card.seconds(4), card.seconds(60), topic='p10000')
        card.add('T16 throughput, 10,000 partitions', many['mb_per_s'], 'MB/s', few['mb_per_s'], '10 partitions', True)
        card.add('T16 p99, 10,000 partitions', many['produce_ms']['p99'], 'ms', few['produce_ms']['p99'],
                 '10 partitions')
        b.stop()
        card.add('T14 start after a clean stop, 11,000 partitions', b.start(), 's')
        b.stop(signal.SIGKILL)
        card.add('T14 start after kill -9, 11,000 partitions', b.start(), 's')
    finally:
        b.wipe()


def idle(card, broker, name):
    seconds, before = card.seconds(5), cpu_of(broker.pid)
    time.sleep(seconds)
    card.add(name, 100 * (cpu_of(broker.pid) - before) / seconds, '% of a core')


def connections(card):
    """T17, T18: idle connections: memory, time to accept, CPU, and the first message after silence."""
    b = card.broker()
    b.start()
    sockets = []
    try:
        before, n = rss_of(b.pid), 5000
        began = time.monotonic()
        for _ in range(n):
            sockets.append(socket.create_connection(('127.0.0.1', b.port)))
        hello(sockets[-1])
        card.add('T18 accepting 5,000 connections', time.monotonic() - began, 's')
        for s in sockets[:-1]:
            hello(s)
        card.add('T18 memory of an idle connection', (rss_of(b.pid) - before) / n / 1024, 'KiB')
        idle(card, b, 'T17 idle CPU with 5,000 connections')
        waits = []
        for _ in range(5):
            time.sleep(1)
            waits.append(hello(sockets[0]) * 1e6)
        card.add('T17 first answer after 1 s of silence', waits, 'us', note='by a Python client')
    finally:
        for s in sockets:
            s.close()
        b.wipe()


def heartbeat(card):
    """Heartbeats of a small group while 1,000 members of another rebalance over 10,000 partitions."""
    b = card.broker(durability='group', **{'group.initial.rebalance.delay.ms': '100'})
    b.start()
    try:
        found = heartbeats.measure('127.0.0.1:%d' % b.port, card.seconds(5))
    finally:
        b.wipe()
    idle = found.pop('idle')
    card.add('heartbeat p99, nothing else', idle['p99'], 'ms')
    for kind, f in found.items():
        name = '%s rebalance of 1,000 members' % {'classic': 'classic', 'consumer': 'KIP-848'}[kind]
        note = '%d rebalances, p50 %s ms' % (f['rebalances'], short(f['p50']))
        card.add('heartbeat p99, ' + name, f['p99'], 'ms', idle['p99'], 'nothing else', note=note)
    found = re.findall(r'groups heartbeat (\w+)\s+(\d+) members\s+([\d.]+) ns each', micro('bench_groups', 'heartbeats'))
    for kind, members, ns in found:
        name = 'heartbeat at control, %s, %s members' % (kind, members)
        card.add(name, float(ns) / 1000, 'us', 3.0, 'aim', note='one every 3 s: %.2f %% of a core' % (
            float(ns) * int(members) / 3e9 * 100))


HELLO = b'\0\0\0\x0b\0\x12\0\0\0\0\0\1\0\1x'  # ApiVersions 0


def hello(s):
    """One ApiVersions round -> seconds."""
    began = time.monotonic()
    s.sendall(HELLO)
    left = 4 + int.from_bytes(take(s, 4), 'big') - 4
    take(s, left)
    return time.monotonic() - began


def take(s, n):
    data = b''
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise OSError('closed')
        data += part
    return data


def attack(port, stop):
    """Nonsense, impossible lengths, and frames that come one byte at a time, on 20 connections each."""
    slow = [socket.create_connection(('127.0.0.1', port)) for _ in range(20)]
    frame = (1000000).to_bytes(4, 'big') + b'\0\0\0\x09' + bytes(200)
    at = 0
    while not stop.is_set():
        for s in slow:
            try:
                s.send(frame[at % len(frame):at % len(frame) + 1])
            except OSError:
                pass
        at += 1
        for nonsense in (os.urandom(64), b'\x7f\xff\xff\xff', b'\0\0\0\x08\x7f\xff\0\0\0\0\0\1', b'GET / HTTP/1.1\r\n\r\n'):
            try:
                with socket.create_connection(('127.0.0.1', port), timeout=1) as s:
                    s.sendall(nonsense)
            except OSError:
                pass
        time.sleep(0.002)
    for s in slow:
        s.close()


def half_sent(port, stop):
    """64 frames of 100 MiB that begin and do not end: as much of each as the broker takes, and new ones when it lets go."""
    head = (100 << 20).to_bytes(4, 'big') + b'\0\0\0\x09\0\0\0\1\0\0' + bytes(64 << 10)
    open_ones = {}
    while not stop.is_set():
        while len(open_ones) < 64:
            s = socket.create_connection(('127.0.0.1', port), timeout=1)
            s.setblocking(False)
            open_ones[s] = 0
        for s in list(open_ones):
            try:
                if open_ones[s] < 99 << 20:
                    open_ones[s] += s.send(head if open_ones[s] == 0 else bytes(64 << 10))
            except BlockingIOError:
                pass
            except OSError:
                s.close()
                del open_ones[s]
        time.sleep(0.002)
    for s in open_ones:
        s.close()


def hostile(card):
    """The p99 of a small steady client while others send malformed, slow or huge frames; floor: to another broker."""
    b, other = card.broker(), card.broker('other')
    b.start()
    other.start()
    probe = ['--partitions', '1', '--producers', '1', '--record-size', '100', '--batch-size', '1']
    try:
        for kind, name in ((attack, 'malformed and slow clients attack'), (half_sent, '64 frames of 100 MiB are half-sent')):
            got = {b.port: [], other.port: []}
            for target in (b, other, other, b) * 2:
                with attacked(kind, target.port):
                    r = run_load(b, probe, 200, card.seconds(4), 0.5)
                got[target.port].append(r['produce_ms']['p99'])
            card.add('probe p99 while ' + name, got[b.port], 'ms', median(got[other.port]), 'another broker attacked')
    finally:
        b.wipe()
        other.wipe()


@contextlib.contextmanager
def attacked(kind, port):
    stop = threading.Event()
    thread = threading.Thread(target=kind, args=(port, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def instructions(card):
    """T3: callgrind counts the whole broker; the difference of a short and a long load is the cost of a request."""
    if not shutil.which('valgrind'):
        say('  (valgrind is not installed: no instruction counts)')
        return
    one = ['--partitions', '1', '--producers', '1', '--window', '32']
    for name, options in (('produce, 100 B', one + ['--record-size', '100', '--batch-size', '1']),
                          ('produce, 64 KiB', one + ['--batch-size', '65536']),
                          ('produce and fetch, 100 B', one + ['--record-size', '100', '--batch-size', '1',
                                                              '--consumers', '1'])):
        counts = []
        for seconds in (1, 4):
            out = os.path.join(card.directory, 'callgrind-%d' % seconds)
            b = card.broker('callgrind')
            b.wrapper = ['env', 'LD_PRELOAD=' + os.path.join(brokers.ROOT, 'build', 'callgrind_wait.so'),
                         'valgrind', '--tool=callgrind', '--callgrind-out-file=' + out]
            try:
                b.start()
                r = run_load(b, options, None, seconds, 0)
                b.stop()
            finally:
                b.wipe()
            counts.append((total_of(out), r['requests']))
        (a, n), (c, m) = counts
        if m <= n:
            say('  (%s: the machine was too busy to count)' % name)
            continue
        card.add('T3 instructions per request, ' + name, (c - a) / (m - n), '', note='user space of the whole broker')


def total_of(path):
    with open(path) as f:
        for line in f:
            if line.startswith('totals:'):
                return int(line.split()[1])
    raise runs.Failed('callgrind wrote no total into ' + path)


def crc(card):
    text = micro('bench_base')
    found = dict(re.findall(r'^(.+?)\s{2,}([\d.]+) ns', text, re.M))
    for name, ns in found.items():
        if 'crc' in name.lower():
            card.add('T13 isa-l CRC of 16 KiB', 16384 / float(ns), 'GB/s', bigger=True)
            break


PARTS = {'produce': produce, 'fetch': fetch, 'durable': durable, 'storage': storage, 'classes': latency_classes,
         'partitions': partitions, 'restart': restarts,
         'connections': connections, 'hostile': hostile, 'heartbeat': heartbeat, 'crc': crc, 'instructions': instructions}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--scale', type=float, default=1.0, help='factor on the durations')
    p.add_argument('--only', default='', help='parts, by comma: ' + ', '.join(PARTS))
    p.add_argument('--fill', nargs='+', default=['1024', '6144'], help='MiB on the disk of restart; quarter: of the free space')
    p.add_argument('--record', action='store_true', help='append a line to bench/results.jsonl')
    p.add_argument('--out', default=os.path.join(brokers.ROOT, 'build', 'scorecard.json'))
    args = p.parse_args()
    chosen = args.only.split(',') if args.only else list(PARTS)
    for name in chosen:
        if name not in PARTS:
            brokers.die('--only knows: ' + ', '.join(PARTS))
    card, host, began = Card(args), runs.host(), time.time()
    say(runs.host_text(host))
    if host['load_before'] > 1.0:
        say('THE MACHINE IS BUSY (load %.2f): nothing below is a result to quote' % host['load_before'])
    failed = []
    with tempfile.TemporaryDirectory(prefix='millrace-bench-', dir=os.path.join(brokers.ROOT, 'build')) as directory:
        card.directory = directory
        for name in chosen:
            say('\n%s' % PARTS[name].__doc__.split('\n')[0] if PARTS[name].__doc__ else '\nthe checksum')
            try:
                PARTS[name](card)
            except (runs.Failed, OSError, subprocess.SubprocessError) as e:
                failed.append(name)
                say('  FAILED: %s' % e)
    line = {'host': host, 'scale': args.scale, 'seconds': round(time.time() - began),
            'figures': {k: {'values': [round(v, 6) for v in f['values']], 'unit': f['unit'],
                            'floor': f['floor'], 'bigger_is_better': f['bigger_is_better']}
                        for k, f in card.figures.items()}}
    with open(args.out, 'w') as f:
        json.dump(line, f, indent=1)
    if args.record and not failed:
        with open(RESULTS, 'a') as f:
            f.write(json.dumps(line, sort_keys=True) + '\n')
        say('\nrecorded in bench/results.jsonl')
    say('\n%d figures in %.0f s; all of them in %s%s' % (
        len(card.figures), time.time() - began, os.path.relpath(args.out),
        '; FAILED: ' + ', '.join(failed) if failed else ''))
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
