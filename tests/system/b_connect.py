"""Kafka Connect, distributed and standalone: lines of a file go into a topic and from there into another file.

The broker is killed -9 and started again, the worker is replaced by another: every line arrives, in the order of the file.
Distributed workers keep connectors, positions and states in three compacted topics that they create themselves.
"""
import json
import os
import urllib.error
import urllib.request

import kafka_java
import lib
import members
import wire

SETTINGS = {'group.initial.rebalance.delay.ms': 0, 'offsets.topic.num.partitions': 4}
COMMON = {
    'key.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'value.converter': 'org.apache.kafka.connect.storage.StringConverter',
    'offset.flush.interval.ms': '500', 'plugin.discovery': 'service_load', 'consumer.auto.offset.reset': 'earliest',
    'consumer.session.timeout.ms': '6000', 'consumer.heartbeat.interval.ms': '500'}
DISTRIBUTED = {
    'group.id': 'workers', 'config.storage.topic': 'connect-configs', 'offset.storage.topic': 'connect-offsets',
    'status.storage.topic': 'connect-status', 'config.storage.replication.factor': '1',
    'offset.storage.replication.factor': '1', 'status.storage.replication.factor': '1', 'offset.storage.partitions': '3',
    'status.storage.partitions': '2', 'scheduled.rebalance.max.delay.ms': '0', 'session.timeout.ms': '6000',
    'heartbeat.interval.ms': '500'}
TOPICS = ('connect-configs', 'connect-offsets', 'connect-status')


class Files:
    """Lines that are written to the source's file must come out of the sink's."""

    def __init__(self, t, name):
        self.name, self.source, self.sink, self.lines = name, t.path(name + '.in'), t.path(name + '.out'), []

    def write(self, n):
        new = ['%s line %d' % (self.name, len(self.lines) + i) for i in range(n)]
        with open(self.source, 'a') as f:
            f.writelines(line + '\n' for line in new)
        self.lines += new

    def arrived(self):
        if not os.path.exists(self.sink):
            return []
        with open(self.sink) as f:
            return f.read().splitlines()

    def wait(self, what):
        """Each line at least once, first comings in the order of the file: Connect promises no more."""
        lib.wait_until(lambda: list(dict.fromkeys(self.arrived())) == self.lines, 90, '%s: all of %d lines arrive' % (
            what, len(self.lines)))

    def connectors(self):
        """-> {name: settings} of the source and the sink"""
        topic = self.name + '-lines'
        return {
            self.name + '-source': {'connector.class': 'org.apache.kafka.connect.file.FileStreamSourceConnector',
                                    'tasks.max': '1', 'file': self.source, 'topic': topic, 'batch.size': '100'},
            self.name + '-sink': {'connector.class': 'org.apache.kafka.connect.file.FileStreamSinkConnector',
                                  'tasks.max': '1', 'file': self.sink, 'topics': topic}}


def properties(t, name, settings):
    path = t.path(name + '.properties')
    with open(path, 'w') as f:
        f.writelines('%s=%s\n' % kv for kv in settings.items())
    return path


def rest(port, method, path, body=None):
    """-> the answer as JSON; None while the worker does not answer (it is starting, or rebalances)."""
    request = urllib.request.Request('http://127.0.0.1:%d%s' % (port, path), method=method,
                                     data=None if body is None else json.dumps(body).encode(),
                                     headers={'Content-Type': 'application/json'})
    try:
        with urllib.request.urlopen(request, timeout=30) as f:
            return json.loads(f.read() or b'{}')
    except (OSError, urllib.error.HTTPError):
        return None


def wait_running(port, files):
    last = {}

    def is_running():
        for name in files.connectors():
            last[name] = rest(port, 'GET', '/connectors/%s/status' % name)
            if not last[name]:
                return False
        return all([x['state'] for x in [s['connector'], *s['tasks']]] == ['RUNNING', 'RUNNING'] for s in last.values())
    try:
        lib.wait_until(is_running, 60, 'the connectors of %s run' % files.name)
    except lib.Failed as e:
        raise lib.Failed('%s: %s' % (e, last))


def check_topics(broker):
    with wire.Conn(broker.bootstrap) as c:
        out = c.call('DescribeConfigs', 4, resources=[
            dict(resource_type=2, resource_name=n, configuration_keys=['cleanup.policy']) for n in TOPICS],
            include_synonyms=False, include_documentation=False)
        lib.equal([r['configs'][0]['value'] for r in out['results']], ['compact'] * 3, 'cleanup.policy')
        for name, partitions in zip(TOPICS, (1, 3, 2)):
            lib.wait_until(lambda: any(wire.end_offset(c, name, p) for p in range(partitions)), 60, 'records in %s' % name)


def stop(driver, name):
    status, out, err = driver.stop(name, 90)
    lib.check(status is not None, '%s ends when asked: %s' % (name, err[-1500:]))


def distributed(t, driver, broker):
    files, ports = Files(t, 'distributed'), [lib.free_port(), lib.free_port()]
    for i, port in enumerate(ports):
        properties(t, 'worker-%d' % i, {**COMMON, **DISTRIBUTED, 'bootstrap.servers': broker.bootstrap,
                                        'listeners': 'http://127.0.0.1:%d' % port})
    main_class = 'org.apache.kafka.connect.cli.ConnectDistributed'
    driver.start('worker-0', main_class, t.path('worker-0.properties'))
    lib.wait_until(lambda: rest(ports[0], 'GET', '/connectors') == [], 90, 'the worker answers')
    files.write(100)
    for name, settings in files.connectors().items():
        lib.wait_until(lambda: rest(ports[0], 'PUT', '/connectors/%s/config' % name, settings), 60, '%s is accepted' % name)
    wait_running(ports[0], files)
    files.wait('at first')
    check_topics(broker)
    broker.kill()
    members.start_again(t, broker)
    files.write(100)
    files.wait('after kill -9 of the broker')
    wait_running(ports[0], files)
    driver.start('worker-1', main_class, t.path('worker-1.properties'))
    lib.wait_until(lambda: rest(ports[1], 'GET', '/connectors'), 90, 'the second worker knows the connectors')
    stop(driver, 'worker-0')
    files.write(100)
    files.wait('another worker')
    wait_running(ports[1], files)
    stop(driver, 'worker-1')
    t.say('distributed: %d lines, %d came again' % (len(files.lines), len(files.arrived()) - len(files.lines)))


def standalone(t, driver, broker):
    files = Files(t, 'standalone')
    words = [properties(t, 'standalone', {**COMMON, 'bootstrap.servers': broker.bootstrap,
                                          'offset.storage.file.filename': t.path('positions'),
                                          'listeners': 'http://127.0.0.1:%d' % lib.free_port()})]
    words += [properties(t, name, {'name': name, **settings}) for name, settings in files.connectors().items()]
    files.write(100)
    for i in range(2):
        driver.start('standalone-%d' % i, 'org.apache.kafka.connect.cli.ConnectStandalone', *words)
        files.wait('standalone worker %d' % i)
        stop(driver, 'standalone-%d' % i)
        files.write(100)
    t.say('standalone: %d lines, %d came again' % (len(files.lines) - 100, len(files.arrived()) - len(files.lines) + 100))


def exactly_once(t, driver, broker):
    """Needs transactions: the worker ends, or never becomes ready, and says why."""
    path = properties(t, 'exactly', {**COMMON, **DISTRIBUTED, 'bootstrap.servers': broker.bootstrap, 'group.id': 'exactly',
                                     'exactly.once.source.support': 'enabled',
                                     'listeners': 'http://127.0.0.1:%d' % lib.free_port()})
    driver.start('exactly', 'org.apache.kafka.connect.cli.ConnectDistributed', path)

    def said():
        status, out, err = driver.read('exactly')
        return [line for line in (out + err).splitlines() if 'TransactionalIdAuthorization' in line or 'ransaction' in line]
    lib.wait_until(said, 90, 'a worker that needs transactions says why it cannot work')
    t.say('exactly_once: %s' % said()[0])


def test(t):
    lib.own_broker_only()
    kafka_java.want(t)
    kafka_java.want_jar('connect-file')
    broker = t.broker(workers=3, settings=SETTINGS)
    driver = kafka_java.Driver(t)
    distributed(t, driver, broker)
    standalone(t, driver, broker)
    exactly_once(t, driver, broker)


lib.main(test)
