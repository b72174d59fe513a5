"""Groups of KIP-848 with real clients: the current librdkafka (of PyPI's confluent-kafka) and Java's consumer.

Three members work while records come in; one is killed -9, one is added, one stands still for a while, the broker is
killed -9 and started again. Every record is seen, and none is seen after one behind it was committed.
"""
import os
import signal
import subprocess
import sys
import threading
import time

import kafka_java
import lib

PARTITIONS, RECORDS = 6, 6000
SETTINGS = {'group.consumer.min.session.timeout.ms': 6000, 'group.consumer.session.timeout.ms': 6000,
            'group.consumer.min.heartbeat.interval.ms': 500, 'group.consumer.heartbeat.interval.ms': 500,
            'offsets.topic.num.partitions': 4}
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
                self.process.wait(20)
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


def produce(bootstrap, python, topic, first, n, rate):
    code = ('import sys, time\nfrom confluent_kafka import Producer\n'
            'p = Producer({"bootstrap.servers": sys.argv[1], "enable.idempotence": True})\n'
            'for i in range(int(sys.argv[3]), int(sys.argv[3]) + int(sys.argv[4])):\n'
            '    p.produce(sys.argv[2], str(i), partition=i %% %d)\n    p.poll(0)\n'
            '    time.sleep(1 / float(sys.argv[5]))\nexit(p.flush(60))\n' % PARTITIONS)
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


def kill_add_pause(t, broker, python, is_static):
    name = 'static' if is_static else 'dynamic'
    topic, group = t.topic('next-' + name), 'group-' + name
    lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'topic', 'create', topic, '--partitions', str(PARTITIONS))
    here = os.path.join(lib.HERE, 'next_member.py')

    def member(i):
        instance = ['instance-%d' % i] if is_static else []
        return Member([python, here, broker.bootstrap, group, topic] + instance,
                      os.path.join(t.directory, 'member-%s-%d' % (name, i)))
    producer = produce(broker.bootstrap, python, topic, 0, RECORDS, 400)
    members = [member(i) for i in range(3)]
    try:
        lib.wait_until(lambda: all(m.of('seen') for m in members), 30, 'three members see records')
        members[0].process.kill()
        members.append(member(3))
        time.sleep(1)
        members[1].process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        members[1].process.send_signal(signal.SIGCONT)
        lib.wait_until(lambda: members[3].of('seen'), 30, 'the member that was added sees records')
        broker.kill()
        start_again(t, broker)
        lib.equal(producer.wait(60), 0, 'the producer ends')
        everything = {(i % PARTITIONS, i // PARTITIONS) for i in range(RECORDS)}
        lib.wait_until(lambda: seen_of(members) >= everything, 40, 'every record is seen')
        lib.wait_until(lambda: sum(order_check(members).values()) == RECORDS, 20, 'everything is committed')
    finally:
        producer.kill()
        for m in members:
            m.stop()
    total = sum(len(m.of('seen')) for m in members)
    t.say('%s: %d records, %d seen twice, members saw %s' % (name, RECORDS, total - RECORDS, [len(m.of('seen'))
                                                                                         for m in members]))


def java(t, broker):
    """Two console consumers of Java share a topic with the protocol; one leaves, the other gets all."""
    if not kafka_java.library() and not os.environ.get('KAFKA_LIB'):
        t.say('no jars: Java is left out')
        return
    topic = t.topic('next-java')
    lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'topic', 'create', topic, '--partitions', '4')

    def consumer(i):
        return Member(kafka_java.command(
            'org.apache.kafka.tools.consumer.ConsoleConsumer', '--bootstrap-server', broker.bootstrap, '--topic', topic,
            '--group', 'java', '--from-beginning', '--consumer-property', 'group.protocol=consumer',
            '--formatter-property', 'print.partition=true'), os.path.join(t.directory, 'java-%d' % i))

    def write(first, n):
        lines = b''.join(b'%d\n' % i for i in range(first, first + n))
        lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'produce', topic, stdin=lines)

    def values(consumers):
        return {int(e[-1]) for c in consumers for e in list(c.events) if e and e[-1].isdigit()}
    consumers = [consumer(i) for i in range(2)]
    try:
        write(0, 200)
        lib.wait_until(lambda: values(consumers) >= set(range(200)), 40, 'two Java consumers see everything')
        _, out, _ = kafka_java.tool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand', '--bootstrap-server',
                                    broker.bootstrap, '--describe', '--group', 'java', '--members', '--verbose')
        t.say(out.decode().strip())
        consumers[0].process.kill()
        write(200, 200)
        lib.wait_until(lambda: values(consumers) >= set(range(400)), 40, 'the one that is left sees everything')
        _, out, _ = kafka_java.tool('org.apache.kafka.tools.consumer.group.ConsumerGroupCommand', '--bootstrap-server',
                                    broker.bootstrap, '--describe', '--group', 'java', '--state')
        lib.check(b'Stable' in out and b'uniform' in out, 'the state of the group: %s' % out.decode())
    finally:
        for c in consumers:
            c.stop()


def test(t):
    lib.own_broker_only()
    python = python_with_protocol(t)
    broker = t.broker(workers=3, settings=SETTINGS)
    kill_add_pause(t, broker, python, False)
    kill_add_pause(t, broker, python, True)
    java(t, broker)


lib.main(test)
