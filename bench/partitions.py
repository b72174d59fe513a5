#!/usr/bin/python3
"""partitions.py - what idle partitions cost: memory, create, stop and start, with none and with half of them written.

    bench/partitions.py [PARTITIONS ...]     default: 10000 100000; at most 1,000 per topic

Runs build/millraced with one worker on a directory of its own and prints one table. Memory is resident bytes above
those of the empty broker, by partition; a start is timed from exec to the first answer.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'system'))
import lib  # noqa: E402
import wire  # noqa: E402

TOPICS = 100


class Run:
    def __init__(self, directory):
        self.directory, self.port = directory, lib.free_port()
        self.address, self.settings = '127.0.0.1:%d' % self.port, os.path.join(directory, 'properties')
        with open(self.settings, 'w') as f:
            f.write('node.id=1\nlisteners=PLAINTEXT://%s\nlog.dirs=%s/data\ndataplane.workers=1\nadmin.listeners=\n'
                    % (self.address, directory))

    def start(self):
        began = time.monotonic()
        with open(os.path.join(self.directory, 'log'), 'ab') as log:
            self.process = subprocess.Popen([os.path.join(ROOT, 'build', 'millraced'), self.settings],
                                            stdout=log, stderr=log)
        while True:
            try:
                with wire.Conn(self.address, timeout=60) as c:
                    c.call('ApiVersions', 0)
                    return time.monotonic() - began
            except OSError:
                if self.process.poll() is not None:
                    sys.exit('the broker ended: %s' % os.path.join(self.directory, 'log'))
                time.sleep(0.005)

    def stop(self):
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(120) != 0:
            sys.exit('the stop was not clean')
        return time.monotonic() - began

    def resident(self):
        with open('/proc/%d/status' % self.process.pid) as f:
            return next(int(line.split()[1]) << 10 for line in f if line.startswith('VmRSS'))

    def files(self):
        return len(os.listdir('/proc/%d/fd' % self.process.pid))


def create(run, n):
    began = time.monotonic()
    with wire.Conn(run.address, timeout=120) as c:
        for i in range(TOPICS):
            topic = dict(name='t%d' % i, num_partitions=n // TOPICS, replication_factor=1, assignments=[], configs=[])
            out = c.call('CreateTopics', 7, topics=[topic], timeout_ms=60000, validate_only=False)
            if out['topics'][0]['error_code'] != 0:
                sys.exit('create: %s' % out)
    return time.monotonic() - began


def write_half(run, n):
    began, data = time.monotonic(), wire.batch([(b'k', b'v')])
    with wire.Conn(run.address, timeout=120) as c:
        for i in range(0, TOPICS, 2):
            parts = [dict(index=k, records=data) for k in range(n // TOPICS)]
            out = c.call('Produce', 9, transactional_id=None, acks=-1, timeout_ms=60000,
                         topic_data=[dict(name='t%d' % i, partition_data=parts)])
            if any(p['error_code'] for r in out['responses'] for p in r['partition_responses']):
                sys.exit('produce failed')
    return time.monotonic() - began


def measure(n):
    directory = tempfile.mkdtemp(prefix='millrace-partitions-')
    run = Run(directory)
    try:
        run.start()
        empty, files = run.resident(), run.files()

        def row(what, seconds):
            print('| %d | %s | %.2f | %d | %.0f | %d |' % (n, what, seconds, (run.resident() - empty) // n,
                                                           run.resident() / (1 << 20), run.files() - files), flush=True)
        row('created, none written', create(run, n))
        run.stop()
        row('clean start, none written', run.start())
        if n <= 10000:
            row('one record to half of them', write_half(run, n))
            run.stop()
            row('clean start, half written', run.start())
        run.stop()
    finally:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
        shutil.rmtree(directory, ignore_errors=True)


print('| partitions | what | seconds | bytes per partition | MiB resident | more open files |')
print('|---|---|---|---|---|---|')
for count in [int(x) for x in sys.argv[1:]] or [10000, 100000]:
    measure(count)
