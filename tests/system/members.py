"""Members of groups as processes of their own: started, killed, stopped for a while; what they saw and committed.

next_member.py is such a member; any program that prints the same lines is one too.
"""
import os
import signal
import subprocess
import sys
import threading
import time

import lib
import pace

VENV = os.path.join(lib.ROOT, 'build', 'confluent')


def has_protocol(python):
    code = 'import confluent_kafka as c; exit(c.libversion()[1] < 0x020c0000)'
    return os.path.exists(python) and subprocess.run([python, '-c', code], capture_output=True).returncode == 0


def python_with_protocol(t):
    """A Python whose librdkafka is 2.12 or newer; NEXT_PYTHON names one."""
    for python in (os.environ.get('NEXT_PYTHON', ''), sys.executable, os.path.join(VENV, 'bin', 'python')):
        if python and has_protocol(python):
            return python
    t.say('fetching confluent-kafka with pip into %s' % VENV)
    for command in ([sys.executable, '-m', 'venv', VENV], [os.path.join(VENV, 'bin', 'pip'), 'install', '-q',
                                                          'confluent-kafka>=2.12']):
        try:
            if subprocess.run(command, capture_output=True, timeout=120).returncode != 0:
                lib.skip('%s failed' % ' '.join(command))
        except (OSError, subprocess.TimeoutExpired) as e:
            lib.skip('%s: %s' % (' '.join(command), e))
    if not has_protocol(os.path.join(VENV, 'bin', 'python')):
        lib.skip('the librdkafka that pip brings is older than 2.12')
    return os.path.join(VENV, 'bin', 'python')


class Member:
    def __init__(self, command, log):
        self.events, self.errors = [], log
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=open(log, 'wb'), text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.events.append(line.split())

    def of(self, kind):
        return [tuple(int(w) for w in e[1:]) for e in list(self.events) if e[0] == kind]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(pace.limit(20))
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.reader.join(5)


def seen_of(members):
    return {(p, o) for m in members for _, p, o in m.of('seen')}


def order_check(members):
    """No record is seen after one behind it was committed."""
    events = sorted([(at, 1, p, o) for m in members for at, p, o in m.of('seen')] +
                    [(at, 0, p, o) for m in members for at, p, o in m.of('committed')])
    committed = {}
    for _, is_seen, p, o in events:
        if is_seen:
            lib.check(o >= committed.get(p, 0), 'record %d of partition %d is seen after %d was committed' % (
                o, p, committed.get(p, 0)))
        else:
            committed[p] = max(committed.get(p, 0), o)
    return committed


def produce(bootstrap, python, topic, partitions, first, n, rate):
    code = ('import sys, time\nfrom confluent_kafka import Producer\n'
            'p = Producer({"bootstrap.servers": sys.argv[1], "enable.idempotence": True})\n'
            'for i in range(int(sys.argv[3]), int(sys.argv[3]) + int(sys.argv[4])):\n'
            '    p.produce(sys.argv[2], str(i), partition=i %% %d)\n    p.poll(0)\n'
            '    time.sleep(1 / float(sys.argv[5]))\nexit(p.flush(600))\n' % partitions)
    return subprocess.Popen([python, '-c', code, bootstrap, topic, str(first), str(n), str(rate)])


def start_again(t, broker):
    """A client that connects to the port while nobody listens may be given that very port and hold it for a moment."""
    for _ in range(20):
        try:
            return broker.start()
        except lib.Failed:
            lib.check('the port is in use' in lib.tail(broker.log().encode(), 2), 'the broker starts again')
            t.say('a client sits on the port')
            time.sleep(0.5)
    raise lib.Failed('the port stays in use')


class Team:
    """Members of one group over one topic."""

    def __init__(self, t, python, bootstrap, group, topic):
        self.t, self.python, self.bootstrap, self.group, self.topic = t, python, bootstrap, group, topic
        self.members = []

    def command(self, *options):
        return [self.python, os.path.join(lib.HERE, 'next_member.py'), self.bootstrap, self.group, self.topic, *options]

    def start(self, *options):
        log = os.path.join(self.t.directory, '%s-%d' % (self.group, len(self.members)))
        member = Member(self.command(*options), log)
        self.members.append(member)
        return member

    def stop(self):
        for m in self.members:
            m.stop()

    def wait_all(self, partitions, records, seconds=60):
        """Every record is seen and committed, none after one behind it was committed."""
        everything = {(i % partitions, i // partitions) for i in range(records)}
        lib.wait_until(lambda: seen_of(self.members) >= everything, seconds, 'every record is seen')
        lib.wait_until(lambda: sum(order_check(self.members).values()) == records, seconds, 'everything is committed')

    def say(self, name, records):
        saw = [len(m.of('seen')) for m in self.members]
        self.t.say('%s: %d records, %d seen twice, members saw %s' % (name, records, sum(saw) - records, saw))


def kill_add_pause(team, broker, name, partitions, records, options=lambda i: ()):
    """Three members; one is killed -9, one added, one stands still, the broker is killed -9 and started again."""
    producer = produce(broker.bootstrap, team.python, team.topic, partitions, 0, records, 400)
    members = [team.start(*options(i)) for i in range(3)]
    try:
        lib.wait_until(lambda: all(m.of('seen') for m in members), 40, 'three members see records')
        members[0].process.kill()
        added = team.start(*options(3))
        time.sleep(1)
        members[1].process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        members[1].process.send_signal(signal.SIGCONT)
        lib.wait_until(lambda: added.of('seen'), 60, 'the member that was added sees records')
        broker.kill()
        start_again(team.t, broker)
        lib.equal(producer.wait(pace.limit(90)), 0, 'the producer ends')
        team.wait_all(partitions, records)
    finally:
        producer.kill()
        team.stop()
    team.say(name, records)
