#!/usr/bin/python3
"""c_bench.py - `millrace bench` does not cheat its own clock, and says so when it has no result.

No test here judges a speed: pauses are made (SIGSTOP), and what must be seen of them is known beforehand.
"""
import json
import os
import re
import signal
import subprocess
import threading
import time
import xml.etree.ElementTree

import lib

LATENCY = ('count', 'p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max', 'mean')
RESULT = ('rate', 'seconds', 'records', 'bytes', 'requests', 'errors', 'first_error', 'due', 'behind', 'is_behind',
          'unanswered', 'unmatched', 'is_complete', 'consumed_records', 'consumed_bytes', 'records_per_s', 'mb_per_s',
          'requests_per_s', 'broker_cpu_s', 'client_cpu_s', 'machine_cpu_s', 'steal_s', 'broker_rss_bytes')


def bench(t, broker, name, *options, bootstrap=None, meanwhile=None):
    """-> (status, stdout, stderr, the JSON or None)"""
    path = t.path(name + '.json')
    p = t.spawn(lib.MILLRACE, 'bench', '--bootstrap-server', bootstrap or broker.bootstrap, '--quiet', '--json', path,
                *options, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    other = threading.Thread(target=meanwhile) if meanwhile else None
    if other:
        other.start()
    out, err = p.communicate(timeout=60)
    if other:
        other.join()
    data = json.load(open(path)) if os.path.exists(path) else None
    t.say('%s: status %d %s' % (name, p.returncode, err.strip()))
    return p.returncode, out, err, data


def complete_report(t, broker):
    """Three seconds with everything on: every field of the JSON is there and belongs to the others."""
    page = t.path('all.html')
    status, out, err, data = bench(t, broker, 'all', '--rate', '2000,4000', '--duration', '1.5', '--warmup', '0.3',
                                   '--partitions', '3', '--producers', '2', '--consumers', '1', '--readers', '2',
                                   '--codec', 'zstd', '--entropy', '0.5', '--batch-size', '4096', '--broker-pid',
                                   str(broker.pid), '--html', page, '--label', 'a <b> & c')
    lib.equal(status, 0, 'status of the complete run: %s %s' % (err, out))
    lib.equal(len(data['results']), 2, 'steps')
    for key in ('cpu', 'cores', 'kernel', 'file_system', 'date', 'memory_bytes', 'load_before'):
        lib.check(key in data['host'], 'host.%s is missing' % key)
    for r in data['results']:
        for key in RESULT:
            lib.check(key in r, 'results.%s is missing' % key)
        for part in ('produce_ms', 'end_to_end_ms', 'own_stalls_ms'):
            for key in LATENCY:
                lib.check(key in r[part], 'results.%s.%s is missing' % (part, key))
            values = [r[part][k] for k in ('p50', 'p90', 'p99', 'p99.9', 'p99.99', 'max')]
            lib.equal(values, sorted(values), part + ' grows with the percentile')
        lib.equal(r['produce_ms']['count'], r['due'], 'every request that was due has a latency')
        lib.equal(r['end_to_end_ms']['count'], r['due'], 'and was received')
        lib.check(r['broker_cpu_s'] >= 0 and r['broker_rss_bytes'] > 0, 'the broker\'s cost is known')
        lib.equal(len(r['series']), 1, 'whole seconds of the series')
    text = open(page).read()
    tree = xml.etree.ElementTree.fromstring(text.removeprefix('<!doctype html>\n'))
    lib.check('a <b> & c' in tree.find('head/title').text, 'the label is escaped')
    lib.equal(len(tree.findall('body/svg')), 4, 'plots of a run in steps')
    lib.check(not re.search(r'\b(nan|inf)\b', text, re.I), 'no plot holds what is not a number')


def pauses_are_seen(t, broker):
    """0.2 s of every second nothing is answered. Two requests under way at 500 per second: counted from their send,
    only 2 of 500 would be slow, and the 99th percentile would not show it. Counted from when they were due, one in
    five is."""
    def stop_and_go():
        time.sleep(0.7)
        for _ in range(4):
            broker.process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            broker.process.send_signal(signal.SIGCONT)
            time.sleep(0.8)
    status, out, _, data = bench(t, broker, 'pauses', '--rate', '500', '--record-size', '100', '--batch-size', '1',
                                 '--window', '2', '--duration', '3', '--warmup', '0.5', meanwhile=stop_and_go)
    lib.check(status in (0, 3), 'status: ' + out)  # 3: a machine too busy to catch up; the latencies count all the same
    p = data['results'][0]['produce_ms']
    lib.equal(p['count'], 1500, 'every request that was due has a latency')
    lib.check(p['p99'] >= 130 and p['max'] >= 180, 'pauses of 200 ms show: p99 %.1f, max %.1f' % (p['p99'], p['max']))
    lib.check(p['p90'] >= 60, 'as many requests are late as were due meanwhile: p90 %.1f' % p['p90'])


def pause_at_the_end_is_seen(t, broker):
    """What was due before the end and is answered after it counts, too."""
    def stop_over_the_end():
        time.sleep(0.8)
        broker.process.send_signal(signal.SIGSTOP)
        time.sleep(1.4)
        broker.process.send_signal(signal.SIGCONT)
    status, out, _, data = bench(t, broker, 'end', '--rate', '500', '--record-size', '100', '--batch-size', '1',
                                 '--duration', '1', '--warmup', '0.3', meanwhile=stop_over_the_end)
    lib.equal(status, 0, 'status: ' + out)
    p = data['results'][0]['produce_ms']
    lib.check(p['count'] == 500 and p['max'] >= 1000, 'the pause shows: %d, max %.1f' % (p['count'], p['max']))


def wrong_address(t):
    with_nobody = '127.0.0.1:%d' % lib.free_port()
    for what in (with_nobody, 'no-such-host.invalid'):
        status, out, err, data = bench(t, None, 'wrong', '--rate', '10', bootstrap=what if ':' in what else what + ':9092')
        lib.equal((status, out, data), (1, '', None), 'a wrong address')
        lib.check(what in err, 'the address is named: ' + err)


def impossible_rate(t, broker):
    status, out, _, data = bench(t, broker, 'impossible', '--rate', '50M', '--record-size', '10', '--batch-size', '1',
                                 '--window', '1', '--duration', '0.5', '--warmup', '0')
    lib.equal(status, 3, 'status of a rate that is not reached')
    lib.check('BEHIND' in out and data['results'][0]['is_behind'], 'the report says so: ' + out)
    lib.check(data['results'][0]['produce_ms']['p50'] > 50, 'what was never sent counts with its age')


def broker_dies(t):
    broker = t.broker()
    def die():
        time.sleep(1.0)
        broker.kill()
    status, out, err, data = bench(t, broker, 'dies', '--rate', '1000', '--producers', '3', '--consumers', '1',
                                   '--duration', '20', '--warmup', '0', meanwhile=die)
    lib.equal((status, out, data), (1, '', None), 'the broker died: ' + err)
    lib.equal(len(err.strip().splitlines()), 1, 'one line says so: ' + err)
    lib.check('no result is reported' in err and broker.bootstrap in err, err)


def broker_stalls(t):
    """Stopped in the middle and for good: there is no half of a result."""
    broker = t.broker()
    def stall():
        time.sleep(1.0)
        broker.process.send_signal(signal.SIGSTOP)
    status, out, err, data = bench(t, broker, 'stalls', '--rate', '1000', '--producers', '3', '--duration', '40',
                                   '--warmup', '0', '--keep-topic', meanwhile=stall)
    broker.process.send_signal(signal.SIGCONT)
    lib.equal((status, out, data), (1, '', None), 'the broker stalled: ' + err)
    lib.equal(len(err.strip().splitlines()), 1, 'one line says so: ' + err)
    lib.check('answered nothing for 10 s' in err and 'no result is reported' in err and broker.bootstrap in err, err)


def ceiling(t):
    status, out, err, data = bench(t, None, 'ceiling', '--ceiling', '--duration', '0.5', '--warmup', '0.1',
                                   '--producers', '2', bootstrap='127.0.0.1:1')
    lib.equal(status, 0, 'status of --ceiling: ' + err)
    lib.check(data['results'][0]['requests'] > 100, 'the null server answers')
    lib.equal('the machine was busy' in out, data['host']['load_before'] > 1, 'a busy machine is said: ' + out)


def test(t):
    lib.own_broker_only()
    broker = t.broker(settings={'storage.durability': 'relaxed'})
    complete_report(t, broker)
    pauses_are_seen(t, broker)
    pause_at_the_end_is_seen(t, broker)
    wrong_address(t)
    impossible_rate(t, broker)
    broker_dies(t)
    broker_stalls(t)
    ceiling(t)


lib.main(test)
