"""brokers.py - starts and stops the brokers that are compared: millrace and Apache Kafka, each in a directory of its own.

A broker has: name, port, pid, start(cpus), stop(), settings (what differs from its defaults, printed with every
table). Everything that is started is stopped by pid, also after an error.
"""
import glob
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.dirname(os.path.abspath(__file__))
KAFKA_VERSION = '4.3.1'
JARS = os.path.join(ROOT, 'build', 'peers', 'kafka-' + KAFKA_VERSION)
READY_S = 90
DELETE_DELAY_MS = 1000  # topics of one run must not fill the disk of the next


def die(text):
    print('bench-kafka: ' + text, file=sys.stderr)
    sys.exit(1)


def fetch_kafka():
    """Apache Kafka's jars into build/peers; returns the folder."""
    if all(glob.glob(os.path.join(JARS, name)) for name in ('kafka_2.13-%s.jar' % KAFKA_VERSION, 'kafka-tools-*.jar',
                                                            'log4j-slf4j-impl-*.jar')):
        return JARS
    for program in ('mvn', 'java'):
        if shutil.which(program) is None:
            die('%s is not installed (Debian: apt-get install maven default-jre-headless)' % program)
    print('bench-kafka: fetching Apache Kafka %s with mvn (once, about 130 MB)' % KAFKA_VERSION, file=sys.stderr)
    os.makedirs(JARS, exist_ok=True)
    command = ['mvn', '-B', '-q', '-f', os.path.join(HERE, 'pom.xml'), '-Dkafka.version=' + KAFKA_VERSION,
               'dependency:copy-dependencies', '-DincludeScope=runtime', '-DoutputDirectory=' + JARS]
    if subprocess.run(command).returncode != 0:
        die('mvn could not bring Apache Kafka; its output is above')
    return JARS


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def answers(port):
    """Does a Kafka broker answer ApiVersions there?"""
    try:
        with socket.create_connection(('127.0.0.1', port), timeout=2) as s:
            s.settimeout(2)
            s.sendall(b'\0\0\0\x0b\0\x12\0\0\0\0\0\1\0\1x')
            return len(s.recv(4)) == 4
    except OSError:
        return False


class Broker:
    """What both have in common."""

    def __init__(self, name, directory):
        self.name, self.directory, self.process, self.port = name, directory, None, free_port()
        self.settings = {}    # what differs from the defaults and may change a figure
        self.conditions = {}  # what the bench needs: small, and the same idea for both

    @property
    def pid(self):
        return self.process.pid if self.process else 0

    def launch(self, command, cpus, env=None):
        os.makedirs(self.directory, exist_ok=True)
        if cpus is not None:
            command = ['taskset', '-c', cpus] + command
        log = open(os.path.join(self.directory, 'broker.log'), 'ab')
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=env)
        started = time.time()
        while not answers(self.port):
            if self.process.poll() is not None or time.time() - started > READY_S:
                self.stop()
                die('%s did not start; the end of %s/broker.log:\n%s' % (self.name, self.directory, self.log_end()))
            time.sleep(0.02)
        return time.time() - started

    def log_end(self):
        with open(os.path.join(self.directory, 'broker.log'), errors='replace') as f:
            return ''.join(f.readlines()[-10:])

    def stop(self, how=signal.SIGTERM):
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def wipe(self):
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Millrace(Broker):
    def __init__(self, directory, durability, workers):
        super().__init__('millrace', directory)
        self.settings = {'storage.durability': durability}
        if workers:  # 0: the default, one less than there are cores
            self.settings['dataplane.workers'] = workers
        self.conditions = {'log.segment.delete.delay.ms': DELETE_DELAY_MS}
        self.wrapper = []  # valgrind and the like

    def start(self, cpus=None):
        command = self.wrapper + [os.path.join(ROOT, 'build', 'millraced')]
        for key, value in {'log.dirs': os.path.join(self.directory, 'data'), 'admin.listeners': '',
                           'listeners': 'PLAINTEXT://127.0.0.1:%d' % self.port, **self.settings, **self.conditions}.items():
            command += ['--override', '%s=%s' % (key, value)]
        return self.launch(command, cpus)


class Kafka(Broker):
    """KRaft, broker and controller in one process, with the JVM settings of kafka-server-start.sh and the
    documentation's G1 advice (docs/operations: Java version)."""
    HEAP = '1g'

    def __init__(self, directory, flushes):
        super().__init__('kafka', directory)
        self.controller_port = free_port()
        self.settings = {'log.flush.interval.messages': 1} if flushes else {}
        self.settings['heap'] = self.HEAP + ', G1'
        self.conditions = {'log.segment.delete.delay.ms': DELETE_DELAY_MS, 'group.initial.rebalance.delay.ms': 0}

    def jvm(self):
        return ['java', '-server', '-Xms' + self.HEAP, '-Xmx' + self.HEAP, '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20',
                '-XX:InitiatingHeapOccupancyPercent=35', '-XX:+ExplicitGCInvokesConcurrent',
                '-XX:MaxInlineLevel=15', '-Djava.awt.headless=true',
                '-Dlog4j2.configurationFile=file:' + os.path.join(self.directory, 'log4j2.properties'),
                '-cp', os.path.join(JARS, '*')]

    def configure(self):
        os.makedirs(self.directory, exist_ok=True)
        with open(os.path.join(self.directory, 'log4j2.properties'), 'w') as f:
            f.write('rootLogger.level=WARN\nappender.out.type=Console\nappender.out.name=out\n'
                    'appender.out.layout.type=PatternLayout\nappender.out.layout.pattern=[%d] %p %m (%c)%n\n'
                    'rootLogger.appenderRef.out.ref=out\n')
        properties = {
            'process.roles': 'broker,controller', 'node.id': 1, 'controller.listener.names': 'CONTROLLER',
            'controller.quorum.voters': '1@127.0.0.1:%d' % self.controller_port,
            'listeners': 'PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d' % (self.port, self.controller_port),
            'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
            'log.dirs': os.path.join(self.directory, 'data'), 'offsets.topic.replication.factor': 1,
            'transaction.state.log.replication.factor': 1, 'transaction.state.log.min.isr': 1,
            **{k: v for k, v in self.settings.items() if k != 'heap'}, **self.conditions}
        path = os.path.join(self.directory, 'server.properties')
        with open(path, 'w') as f:
            f.writelines('%s=%s\n' % item for item in properties.items())
        return path

    def start(self, cpus=None):
        fetch_kafka()
        path = self.configure()
        if not os.path.exists(os.path.join(self.directory, 'data', 'meta.properties')):
            done = subprocess.run(self.jvm() + ['kafka.tools.StorageTool', 'format', '-t', 'bWlsbHJhY2UtYmVuY2gtMQ',
                                                '-c', path], capture_output=True)
            if done.returncode != 0:
                die('formatting the Kafka directory failed: ' + done.stderr.decode(errors='replace')[-500:])
        return self.launch(self.jvm() + ['kafka.Kafka', path], cpus)
