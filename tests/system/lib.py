"""lib.py - what every system test stands on: a broker of its own on a free port in a temporary directory.

    import lib
    def test(t):
        broker = t.broker(workers=3)
        ...
    lib.main(test)

A test ends with status 0 (passed), 1 (failed: the reason and the end of each broker's log are printed) or 77
(skipped: lib.skip says why). Whatever it started is stopped by process id and its directory is removed.

Environment:
  MILLRACED      the broker (default build/millraced beside this checkout)
  MILLRACE       the command line (default build/millrace)
  SYSTEM_PORTS   ports to choose from (default 20800-20879); a lock file per port keeps parallel tests apart
  SYSTEM_PEER    host:port of a running Kafka broker to test instead of ours; tests that must control the broker skip
  SYSTEM_KAFKA=1 each test gets an Apache Kafka of its own in place of our broker (apache.py)
  SYSTEM_KEEP=1  keep the directories
  FULL=1         the long form of tests that have one
"""
import contextlib
import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

import pace
import wire

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MILLRACED = os.environ.get('MILLRACED', os.path.join(ROOT, 'build', 'millraced'))
MILLRACE = os.environ.get('MILLRACE', os.path.join(ROOT, 'build', 'millrace'))
APACHE = os.environ.get('SYSTEM_KAFKA') == '1'
PEER = os.environ.get('SYSTEM_PEER') or ('Apache Kafka' if APACHE else None)
FULL = os.environ.get('FULL') == '1'
CODECS = ('none', 'gzip', 'snappy', 'lz4', 'zstd')
START_S = 30.0
# What an Apache Kafka needs to run as one node; ours answers DescribeConfigs alike with the same settings.
ONE_NODE = {
    'offsets.topic.replication.factor': '1', 'transaction.state.log.replication.factor': '1',
    'transaction.state.log.min.isr': '1', 'share.coordinator.state.topic.replication.factor': '1',
    'share.coordinator.state.topic.min.isr': '1'}
STOP_S = 20.0


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(condition, text):
    if not condition:
        raise Failed(text)


def equal(got, expected, what):
    if got != expected:
        raise Failed('%s: expected %r, got %r' % (what, expected, got))


def skip(reason):
    raise Skipped(reason)


def need(program):
    """A program that tools/setup installs: its absence is a failure."""
    check(shutil.which(program), '%s is not installed: run tools/setup' % program)


def want(program):
    """A program that a machine may lack: its absence skips the test."""
    if not shutil.which(program):
        skip('%s is not installed' % program)


def own_broker_only():
    if PEER:
        skip('needs a broker that it can stop and start, SYSTEM_PEER is set')


def wait_until(condition, limit_s, what):
    begin = time.monotonic()
    while not condition():
        took = time.monotonic() - begin
        check(took < pace.limit(limit_s), 'not within %.0f s: %s' % (took, what))
        time.sleep(0.02)


def run(*command, stdin=None, timeout=60, env=None, ok=True, cwd=None):
    """Runs a program -> (status, stdout bytes, stderr text); with ok, a status other than 0 fails the test."""
    timeout = pace.limit(timeout)
    try:
        p = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, env=env, cwd=cwd)
    except subprocess.TimeoutExpired as e:
        raise Failed('%s: no end after %d s; stderr: %s' % (' '.join(command), timeout, tail(e.stderr or b'')))
    except OSError as e:
        raise Failed('%s: %s' % (command[0], e))
    if ok and p.returncode != 0:
        raise Failed('%s: status %d: %s' % (' '.join(command), p.returncode, tail(p.stderr) or tail(p.stdout)))
    return p.returncode, p.stdout, p.stderr.decode('utf-8', 'replace')


def tail(data, lines=12):
    return '\n'.join(data.decode('utf-8', 'replace').splitlines()[-lines:])


# ── ports ────────────────────────────────────────────────────────────────────────────────────────────────────
_ports_held = []


def free_port():
    """A port nobody listens on, held against other tests by a lock until this process ends."""
    low, high = (int(x) for x in os.environ.get('SYSTEM_PORTS', '20800-20879').split('-'))
    ports = list(range(low, high + 1))
    random.shuffle(ports)
    for port in ports:
        f = open(os.path.join(tempfile.gettempdir(), 'millrace-port-%d.lock' % port), 'w')
        with contextlib.suppress(OSError):
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.bind(('127.0.0.1', port))
            _ports_held.append(f)
            return port
        f.close()
    raise Failed('no free port in %d-%d' % (low, high))


# ── the broker ───────────────────────────────────────────────────────────────────────────────────────────────
class Broker:
    """One broker process. Its directory outlives kill() and stop(), so start() continues the same data."""

    def __init__(self, test, workers=1, settings=None):
        self.test, self.process, self.starts_n = test, None, 0
        self.directory = os.path.join(test.directory, 'broker-%d' % len(test.brokers))
        os.mkdir(self.directory)
        self.data = os.path.join(self.directory, 'data')
        self.port, self.metrics_port = free_port(), free_port()
        self.bootstrap = '127.0.0.1:%d' % self.port
        self.log_path = os.path.join(self.directory, 'log')
        self.settings = {
            'node.id': '1',
            'listeners': 'PLAINTEXT://127.0.0.1:%d' % self.port,
            'log.dirs': self.data,
            'dataplane.workers': str(workers),
            'admin.listeners': '127.0.0.1:%d' % self.metrics_port,
        }
        self.settings.update({k: str(v) for k, v in (settings or {}).items()})

    @property
    def pid(self):
        return self.process.pid

    def write_settings(self):
        path = os.path.join(self.directory, 'server.properties')
        with open(path, 'w') as f:
            f.writelines('%s=%s\n' % kv for kv in self.settings.items())
        return path

    def start(self, wait=True):
        check(os.access(MILLRACED, os.X_OK), '%s is not built: run make' % MILLRACED)
        self.starts_n += 1
        with open(self.log_path, 'ab') as log:
            log.write(b'---- start %d\n' % self.starts_n)
            log.flush()
            self.process = subprocess.Popen([MILLRACED, self.write_settings()], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        if wait:
            self.wait_ready()
        return self

    def answers(self):
        try:
            with wire.Conn(self.bootstrap, timeout=2) as c:
                return c.call('ApiVersions', 0)['error_code'] == 0
        except (OSError, ValueError):
            return False

    def wait_ready(self, limit_s=START_S):
        begin = time.monotonic()
        while not self.answers():
            took = time.monotonic() - begin
            check(self.process.poll() is None, 'the broker ended at its start with status %s' % self.process.poll())
            check(took < pace.limit(limit_s), 'the broker does not answer %.0f s after its start' % took)
            time.sleep(0.02)

    def wait_end(self, limit_s=STOP_S):
        """-> exit status (negative: the signal)."""
        limit_s = pace.limit(limit_s)
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise Failed('the broker does not end within %.0f s' % limit_s)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.wait_end()
        equal(status, 0, 'exit status after SIGTERM')

    def kill(self):
        self.process.kill()
        self.process.wait()

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def log(self):
        with open(self.log_path, 'rb') as f:
            return f.read().decode('utf-8', 'replace')

    def rss_bytes(self):
        with open('/proc/%d/status' % self.pid) as f:
            for line in f:
                if line.startswith('VmRSS'):
                    return int(line.split()[1]) << 10
        raise Failed('no VmRSS of process %d' % self.pid)

    def metrics_text(self):
        url = 'http://127.0.0.1:%d/metrics' % self.metrics_port
        with urllib.request.urlopen(url, timeout=pace.limit(5)) as f:
            return f.read().decode()

    def metric(self, name):
        """The sum of a metric's series (over workers); 0 when it is not there."""
        total = 0.0
        for line in self.metrics_text().splitlines():
            if line and not line.startswith('#'):
                series, _, value = line.rpartition(' ')
                if series.split('{')[0] == name:
                    total += float(value)
        return total

    def cleanup(self):
        if self.is_running():
            self.kill()


class PeerBroker:
    """A broker that somebody else runs (SYSTEM_PEER): same face, for what does not need control of it."""

    def __init__(self):
        self.bootstrap = PEER
        self.port = int(PEER.rsplit(':', 1)[1])

    def start(self, wait=True):
        return self

    def is_running(self):
        return True

    def stop(self):
        pass

    def cleanup(self):
        pass

    def log(self):
        return ''


# ── one test ─────────────────────────────────────────────────────────────────────────────────────────────────
class Test:
    def __init__(self):
        self.name = os.path.basename(sys.argv[0]).rsplit('.', 1)[0]
        self.directory = tempfile.mkdtemp(prefix='millrace-%s-' % self.name)
        self.brokers, self.children, self.began = [], [], time.monotonic()
        self.run_id = '%x' % (time.time_ns() // 1000 & 0xffffff)

    def say(self, text):
        print('[%6.2f s] %s' % (time.monotonic() - self.began, text), flush=True)

    def broker(self, workers=1, settings=None, start=True):
        if APACHE:
            import apache
            broker = apache.Broker(self, settings)
        else:
            broker = PeerBroker() if PEER else Broker(self, workers, settings)
        self.brokers.append(broker)
        return broker.start() if start else broker

    def topic(self, name):
        """A topic name; unique when the broker is shared with other runs."""
        return '%s-%s' % (name, self.run_id) if PEER and not APACHE else name

    def path(self, name):
        return os.path.join(self.directory, name)

    def spawn(self, *command, **options):
        """A child process that is killed at the end of the test."""
        child = subprocess.Popen(command, **options)
        self.children.append(child)
        return child

    def end(self, is_failed):
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()
        for broker in self.brokers:
            if is_failed and not isinstance(broker, PeerBroker) and os.path.exists(broker.log_path):
                state = 'running' if broker.is_running() else \
                    'ended' if broker.process is None else 'status %s' % broker.process.poll()
                print('---- the end of the log of %s (%s)' % (broker.bootstrap, state))
                print('\n'.join(broker.log().splitlines()[-40:]))
            broker.cleanup()
        if os.environ.get('SYSTEM_KEEP') == '1':
            print('kept: %s' % self.directory)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)


def main(test):
    t = Test()
    # A test that is ended from outside (the runner's time limit) must not leave its broker behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    status = 1
    try:
        test(t)
        status = 0
    except Skipped as e:
        print('skipped: %s' % e)
        status = 77
    except (Failed, AssertionError) as e:
        frames = [f for f in traceback.extract_tb(e.__traceback__) if f.filename != __file__]
        where = ' (%s:%d)' % (os.path.basename(frames[-1].filename), frames[-1].lineno) if frames else ''
        print('failed: %s%s' % (e, where))
    except Exception:
        traceback.print_exc()
        print('failed: %s' % traceback.format_exc().splitlines()[-1])
    finally:
        t.end(status == 1)
    sys.stdout.flush()
    # Client libraries leave threads behind; they must not hold up the exit.
    os._exit(status)
