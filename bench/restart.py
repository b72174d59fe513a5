#!/usr/bin/python3
"""restart.py - kill -9 at full rate to the first acknowledged produce on every partition that was written at the kill.

    bench/restart.py [--partitions N] [--fill MIB ...] [--rounds N] [--syscalls]    default: 64 partitions, 16 and 4096 MiB

`make bench` has it for 1 and 6 GiB; FILL='16 quarter' (here --fill): others, quarter is a quarter of the free space.

For each fill a broker with one worker and default settings gets that much, then two connections write batches of 64 KiB to
all partitions as fast as they can until it is killed. The time runs from exec to the last answer of a produce (acks=all) of
one record to each of these partitions. It has to depend on what the journal holds, not on the bytes on the disk. The page
cache is warm; --syscalls: counts those of the start (strace), which says where a start spends itself.
"""
import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'system'))
import lib  # noqa: E402
import wire  # noqa: E402

BATCH = 64 << 10
TOPIC_PARTITIONS = 1000  # of one topic, at most
TOGETHER = 16            # batches in one request


class Run:
    def __init__(self, directory, partitions, tracer):
        self.directory, self.tracer = directory, tracer
        self.address = '127.0.0.1:%d' % lib.free_port()
        self.settings = os.path.join(directory, 'properties')
        self.parts = [('t%d' % (i // TOPIC_PARTITIONS), i % TOPIC_PARTITIONS) for i in range(partitions)]
        self.process = None
        with open(self.settings, 'w') as f:
            f.write('node.id=1\nlisteners=PLAINTEXT://%s\nlog.dirs=%s/data\ndataplane.workers=1\nadmin.listeners=\n'
                    % (self.address, directory))

    def start(self, tracer=()):
        with open(os.path.join(self.directory, 'log'), 'ab') as log:
            self.process = subprocess.Popen([*tracer, os.path.join(ROOT, 'build', 'millraced'), self.settings],
                                            stdout=log, stderr=log)

    def conn(self):
        while True:
            try:  # the port of a broker that was just killed may still take connections, and end them
                c = wire.Conn(self.address, timeout=120)
                c.call('ApiVersions', 0)
                return c
            except (OSError, EOFError):
                if self.process.poll() is not None:
                    sys.exit('the broker ended: %s' % os.path.join(self.directory, 'log'))
                time.sleep(0.002)

    def create(self):
        with self.conn() as c:
            for name in sorted({t for t, _ in self.parts}):
                topic = dict(name=name, num_partitions=sum(t == name for t, _ in self.parts), replication_factor=1,
                             assignments=[], configs=[])
                out = c.call('CreateTopics', 7, topics=[topic], timeout_ms=60000, validate_only=False)
                if out['topics'][0]['error_code'] != 0:
                    sys.exit('create: %s' % out)

    def produce(self, c, parts, data):
        topics = {}
        for topic, p in parts:
            topics.setdefault(topic, []).append(dict(index=p, records=data))
        out = c.call('Produce', 9, transactional_id=None, acks=-1, timeout_ms=60000,
                     topic_data=[dict(name=t, partition_data=ps) for t, ps in topics.items()])
        bad = [p for t in out['responses'] for p in t['partition_responses'] if p['error_code']]
        if bad:
            sys.exit('produce: %s' % bad[0])

    def write(self, data, bytes_max, until=None):
        """Batches to one part of the partitions after the other."""
        done, at = 0, 0
        try:
            with self.conn() as c:
                while done < bytes_max and not (until and until.is_set()):
                    self.produce(c, [self.parts[(at + k) % len(self.parts)] for k in range(min(TOGETHER, len(self.parts)))],
                                 data)
                    at, done = at + TOGETHER, done + TOGETHER * len(data)
        except (OSError, EOFError, wire.struct.error):
            if until is None:
                raise

    def kill_at_full_rate(self, data):
        stop = threading.Event()
        writers = [threading.Thread(target=self.write, args=(data, 1 << 60, stop)) for _ in range(2)]
        for w in writers:
            w.start()
        time.sleep(1.5)
        self.process.kill()
        stop.set()
        self.process.wait()
        for w in writers:
            w.join()

    def first_answers(self):
        began = time.monotonic()
        self.start(self.tracer)
        one = wire.batch([(b'k', b'v')])
        with self.conn() as c:
            opened = time.monotonic() - began
            for i in range(0, len(self.parts), TOPIC_PARTITIONS):
                self.produce(c, self.parts[i:i + TOPIC_PARTITIONS], one)
        return opened, time.monotonic() - began

    def end(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def fill_mib(text, directory):
    """What --fill says, in MiB: a number, or a quarter of the space that is free."""
    return shutil.disk_usage(directory).free // 4 >> 20 if text == 'quarter' else int(text)


def measure(directory, partitions, fill, rounds, tracer=()):
    """Yields (MiB on the disk, s to the first connection, s to the last first answer) of each kill."""
    run = Run(tempfile.mkdtemp(prefix='millrace-restart-', dir=directory), partitions, tracer)
    data = wire.batch([(b'k', bytes(BATCH - 100))])
    try:
        run.start()
        run.create()
        run.write(data, max(fill << 20, partitions * BATCH))
        for _ in range(rounds):
            run.kill_at_full_rate(data)
            opened, answered = run.first_answers()
            du = subprocess.run(['du', '-sk', run.directory], capture_output=True, text=True, check=True)
            yield int(du.stdout.split()[0]) >> 10, opened, answered
    finally:
        run.end()


def syscalls_print(trace):
    while not os.path.exists(trace) or os.path.getsize(trace) == 0:  # strace is no child of ours
        time.sleep(0.05)
    with open(trace) as f:
        print(''.join(f.readlines()[:16]))
    os.unlink(trace)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--partitions', type=int, default=64)
    p.add_argument('--fill', nargs='+', default=['16', '4096'], help='MiB, or quarter')
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--syscalls', action='store_true')
    args = p.parse_args()
    print('| partitions | MiB on the disk | s to the first connection | s to the last first answer |\n|---|---|---|---|')
    trace = os.path.join(tempfile.gettempdir(), 'millrace-restart.strace.%d' % os.getpid())
    tracer = ['strace', '-D', '-f', '-c', '-S', 'calls', '-o', trace] if args.syscalls else []
    for fill in args.fill:
        for mib, opened, answered in measure(None, args.partitions, fill_mib(fill, tempfile.gettempdir()), args.rounds, tracer):
            print('| %d | %d | %.2f | %.2f |' % (args.partitions, mib, opened, answered), flush=True)
        if args.syscalls:
            syscalls_print(trace)


if __name__ == '__main__':
    main()
