"""kafka_java.py - Apache Kafka's own tools, Streams and Connect, for the tests that want them: fetched once with mvn into build/kafka-java.

    KAFKA_LIB=dir   a folder of jars that is there already (an Apache Kafka's libs/)
Without java, or when the jars cannot be had, tests that ask with want() skip.
"""
import fcntl
import glob
import json
import os
import shutil
import signal
import subprocess
import zlib

import lib
import pace
import wire

VERSION = '4.3.1'
FETCHED = os.path.join(lib.ROOT, 'build', 'kafka-java', VERSION)
POM = os.path.join(lib.HERE, 'java', 'pom.xml')
LOG4J = os.path.join(lib.HERE, 'java', 'log4j2.properties')


def stamp():
    """A file that stands in FETCHED when everything that pom.xml names is there."""
    with open(POM, 'rb') as f:
        return os.path.join(FETCHED, '.complete-%08x' % zlib.crc32(f.read()))


def library():
    """The folder of jars, or None."""
    given = os.environ.get('KAFKA_LIB')
    if given and glob.glob(os.path.join(given, 'kafka_2.13-*.jar')):
        return given
    return FETCHED if os.path.exists(stamp()) else None


def fetch(t):
    """Brings the jars here; tests that run at the same time wait for the one that does it."""
    os.makedirs(FETCHED, exist_ok=True)
    with open(os.path.join(FETCHED, '.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if library():
            return
        lib.want('mvn')
        t.say('fetching Apache Kafka %s with mvn into %s' % (VERSION, FETCHED))
        command = ['mvn', '-B', '-q', '-f', POM, '-Dkafka.version=' + VERSION, 'dependency:copy-dependencies',
                   '-DincludeScope=runtime', '-DoutputDirectory=' + FETCHED]
        try:
            p = subprocess.run(command, capture_output=True, timeout=120)
        except subprocess.TimeoutExpired:
            lib.skip('mvn did not bring Apache Kafka within 120 s')
        if p.returncode != 0:
            lib.skip('mvn could not bring Apache Kafka: %s' % lib.tail(p.stdout, 2))
        with open(stamp(), 'w'):
            pass


def want(t):
    lib.want('java')
    if not library():
        fetch(t)
    if not library():
        lib.skip('no Apache Kafka jars in %s' % FETCHED)


def has_jar(jar):
    """A folder of jars that was given (KAFKA_LIB) may lack it."""
    return bool(glob.glob(os.path.join(library(), jar + '-*.jar')))


def want_jar(jar):
    if not has_jar(jar):
        lib.skip('no %s in %s' % (jar, library()))


def command(main_class, *arguments):
    return ['java', '-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Dlog4j2.configurationFile=file:' + LOG4J,
            '-cp', os.path.join(library(), '*'), main_class, *arguments]


def tool(main_class, *arguments, **options):
    """Runs a tool's main class -> (status, stdout bytes, stderr text)."""
    return lib.run(*command(main_class, *arguments), **{'timeout': 90, **options})


def compiled(t):
    """The folder of the tests' own classes (java/*.java), compiled once; tests of the same time wait for it."""
    want(t)
    if not shutil.which('javac'):
        lib.skip('no JDK: javac is not installed')
    sources = sorted(glob.glob(os.path.join(lib.HERE, 'java', '*.java')))
    if not has_jar('kafka-streams'):
        sources.remove(os.path.join(lib.HERE, 'java', 'WordCount.java'))
    key = 0
    for path in sources:
        with open(path, 'rb') as f:
            key = zlib.crc32(f.read(), key)
    folder = os.path.join(lib.ROOT, 'build', 'kafka-java', 'classes')
    done = os.path.join(folder, '.done-%08x' % key)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, '.lock'), 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(done):
            lib.run('javac', '-nowarn', '-cp', os.path.join(library(), '*'), '-d', folder, *sources, timeout=120)
            with open(done, 'w'):
                pass
    return folder


class Driver:
    """One JVM in which main classes run, one after the other or beside each other: java/Driver.java."""

    def __init__(self, t, memory='512m'):
        path = os.path.join(compiled(t), '') + ':' + os.path.join(library(), '*')
        self.log_path = os.path.join(t.directory, 'driver.log')
        self.process = t.spawn(
            'java', '-Xmx' + memory, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto',
            '--add-opens', 'java.base/java.lang=ALL-UNNAMED',
            '-Dlog4j2.configurationFile=file:' + LOG4J, '-cp', path, 'Driver', stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=open(self.log_path, 'wb'))

    def ask(self, **order):
        """-> (exit status or None while it runs, stdout, stderr)"""
        try:
            self.process.stdin.write(json.dumps(order).encode() + b'\n')
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except OSError:
            line = b''
        if not line:
            with open(self.log_path, 'rb') as f:
                raise lib.Failed('the JVM of the tools is gone: %s' % lib.tail(f.read()))
        answer = json.loads(line)
        return answer['status'], answer['out'], answer['err']

    def run(self, main_class, *arguments, stdin='', seconds=60):
        status, out, err = self.ask(do='run', name='run', args=arguments, stdin=stdin, seconds=seconds, **{'class': main_class})
        lib.check(status is not None, '%s %s: no end after %d s: %s %s' % (main_class, arguments, seconds, out[-500:], err[-500:]))
        return status, out, err

    def start(self, name, main_class, *arguments):
        self.ask(do='start', name=name, args=arguments, **{'class': main_class})

    def read(self, name):
        return self.ask(do='read', name=name)

    def stop(self, name, seconds=60):
        return self.ask(do='stop', name=name, seconds=seconds)


class Kafka:
    """An Apache Kafka (broker and controller) on the directories and the port of one of our brokers."""

    def __init__(self, t, broker, settings=()):
        controller = lib.free_port()
        self.bootstrap, self.properties = broker.bootstrap, t.path('kafka.properties')
        with open(self.properties, 'w') as f:
            f.write('\n'.join([
                'process.roles=broker,controller', 'node.id=1', 'log.dirs=' + broker.settings['log.dirs'],
                'controller.quorum.voters=1@127.0.0.1:%d' % controller, 'controller.listener.names=CONTROLLER',
                'listeners=PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d' % (broker.bootstrap, controller),
                'listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
                'offsets.topic.replication.factor=1', 'offsets.topic.num.partitions=1', *settings, '']))
        self.log_path = t.path('kafka.log')
        self.log = open(self.log_path, 'wb')
        self.process = t.spawn(*command('kafka.Kafka', self.properties), stdout=self.log, stderr=self.log)

    def said(self):
        with open(self.log_path, 'rb') as f:
            return lib.tail(f.read(), 15)

    def answers(self, name):
        lib.check(self.process.poll() is None, 'Apache Kafka ended at its start: %s' % self.said())
        try:
            with wire.Conn(self.bootstrap, timeout=2) as c:
                topic = c.call('Metadata', 12, topics=[dict(name=name)])['topics'][0]
                return topic['error_code'] == 0 and all(p['leader_id'] == 1 for p in topic['partitions'])
        except (OSError, ValueError):
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(pace.limit(30))
