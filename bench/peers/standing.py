"""standing.py - what a broker costs that has data and nothing to do: its starts, its memory, its idle CPU.

Each broker in a fresh directory, with PARTITIONS partitions that all have records. Memory per partition is what the
broker holds after a clean start, less what it held after its first, empty one. Idle CPU is the process's own.
"""
import signal
import time

import runs

PARTITIONS, SETTLE_S, IDLE_S = 1000, 3, 5
TOPIC = 'bench-standing'
OPTIONS = ['--partitions', str(PARTITIONS), '--producers', '4', '--record-size', '1024', '--batch-size', '4096']
WHAT = [('empty start s', 'start of an empty broker, s'), ('clean start s', 'T14 start after a clean stop, s'),
        ('kill start s', 'T14 start after kill -9, s'), ('KiB per partition', 'T15 memory per partition, KiB'),
        ('idle %', 'T17 idle CPU, % of a core')]


def resident(broker):
    time.sleep(SETTLE_S)
    return runs.rss_of(broker.pid)


def idle_percent(broker):
    before = runs.cpu_of(broker.pid)
    time.sleep(IDLE_S)
    return 100 * (runs.cpu_of(broker.pid) - before) / IDLE_S


def measure(broker, cpus, client_cpu):
    """-> figures by the names of WHAT."""
    try:
        f = {'empty start s': broker.start(cpus)}
        empty = resident(broker)
        runs.prime(broker, OPTIONS, PARTITIONS, client_cpu, TOPIC)
        broker.stop()
        f['clean start s'] = broker.start(cpus)
        f['KiB per partition'] = max(resident(broker) - empty, 0) / 1024 / PARTITIONS
        f['idle %'] = idle_percent(broker)
        runs.run_load(broker, OPTIONS, None, 2, 0, client_cpu, TOPIC)
        broker.stop(signal.SIGKILL)
        f['kill start s'] = broker.start(cpus)
        return f
    finally:
        broker.wipe()


def compare(both, cpus, client_cpu):
    """Prints a line per figure -> {broker: figures} for the JSON."""
    got = {b.name: measure(b, cpus, client_cpu) for b in both}
    runs.say('\nwith %d partitions that have records, and nothing to do' % PARTITIONS)
    runs.say('  %-32s %12s %12s %9s' % ('', 'millrace', 'kafka', 'better'))
    for key, name in WHAT:
        ours, theirs = got['millrace'][key], got['kafka'][key]
        runs.say('  %-32s %12s %12s %8sx' % (name, runs.short(ours), runs.short(theirs),
                                             runs.short(theirs / max(ours, 1e-9))))
    return got
