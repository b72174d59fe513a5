"""Settings while the broker runs: SIGHUP reads server.properties again; dynamic settings act at once, without a restart."""
import os
import signal
import socket

import lib
import wire

STATIC, DYNAMIC_BROKER, DYNAMIC_DEFAULT, DEFAULT = 4, 2, 3, 5
BROKER = 4


def described(broker, *names):
    """-> {name: (value, source)} of the broker."""
    with wire.Conn(broker.bootstrap) as c:
        answer = c.call('DescribeConfigs', 4, resources=[{
            'resource_type': BROKER, 'resource_name': '1', 'configuration_keys': list(names)}],
            include_synonyms=False, include_documentation=False)['results'][0]
    return {e['name']: (e['value'], e['config_source']) for e in answer['configs']}


def hup(broker, text):
    """Signals; waits until the log says `text` once more than before."""
    before = broker.log().count(text)
    broker.write_settings()
    os.kill(broker.pid, signal.SIGHUP)
    lib.wait_until(lambda: broker.log().count(text) > before, 30, 'the log says: ' + text)


def config(broker, verb, name, *words):
    lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'config', verb, 'broker', name, *words)


def test_sighup(t):
    broker = t.broker(workers=2, settings={'log.retention.ms': '1000000', 'num.partitions': '1'})
    lib.equal(described(broker, 'log.retention.ms')['log.retention.ms'], ('1000000', STATIC), 'before')
    wire.create_topic(broker.bootstrap, 'before')
    broker.settings.update({'log.retention.ms': '2000000', 'num.partitions': '3', 'message.max.bytes': '5000',
                            'broker.rack': 'r', 'socket.request.max.bytes': '2000000', 'no.such.thing': '1',
                            'num.io.thread': '4', 'num.network.threads': '7'})
    hup(broker, 'the file was read again')
    log = broker.log()
    for line in ('changed: log.retention.ms: 2000000, was 1000000', 'changed: num.partitions: 3, was 1',
                 'needs a restart: broker.rack: null stays in force, the file has r',
                 'needs a restart: socket.request.max.bytes: 104857600 stays in force, the file has 2000000',
                 'unknown setting: no.such.thing', 'unknown setting: num.io.thread (did you mean num.io.threads?)',
                 'settings: SIGHUP: the file was read again: 4 changed, in force'):
        lib.check(line in log, 'the log does not say: ' + line)
    lib.equal(described(broker, 'log.retention.ms', 'num.partitions', 'message.max.bytes', 'broker.rack',
                        'socket.request.max.bytes'),
              {'log.retention.ms': ('2000000', STATIC), 'num.partitions': ('3', STATIC),
               'message.max.bytes': ('5000', STATIC), 'broker.rack': (None, DEFAULT),
               'socket.request.max.bytes': ('104857600', DEFAULT)}, 'in force after SIGHUP')
    lib.check('millrace_setting_not_honoured{setting="num.network.threads"} 1' in broker.metrics_text(), 'the metric')
    with wire.Conn(broker.bootstrap) as c:
        data = wire.batch([(None, b'x' * 8000)])
        lib.equal(wire.produce(c, 'before', data)['error_code'], 10, 'a batch above message.max.bytes')
    lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'topic', 'create', 'after')
    with wire.Conn(broker.bootstrap) as c:
        topics = c.call('Metadata', 12, topics=[{'topic_id': bytes(16), 'name': 'after'}], allow_auto_topic_creation=False,
                        include_topic_authorized_operations=False)['topics']
    lib.equal(len(topics[0]['partitions']), 3, 'partitions of a new topic')
    test_invalid(broker)
    del broker.settings['log.retention.ms'], broker.settings['message.max.bytes']
    hup(broker, 'the file was read again')
    lib.equal(described(broker, 'log.retention.ms', 'message.max.bytes'),
              {'log.retention.ms': (None, DEFAULT), 'message.max.bytes': ('1048588', DEFAULT)}, 'taken out of the file')
    config(broker, 'set', '1', 'log.retention.ms=77')
    broker.settings['log.retention.ms'] = '88'
    hup(broker, 'the file was read again')
    lib.equal(described(broker, 'log.retention.ms')['log.retention.ms'], ('77', DYNAMIC_BROKER), 'set by a client')
    config(broker, 'delete', '1', 'log.retention.ms')
    lib.equal(described(broker, 'log.retention.ms')['log.retention.ms'], ('88', STATIC), 'the file behind it')
    broker.stop()
    broker.start()
    lib.equal(described(broker, 'broker.rack')['broker.rack'], ('r', STATIC), 'after a restart')


def test_invalid(broker):
    """A file that cannot be used changes nothing, and the log says which line it is."""
    good = dict(broker.settings)
    before = described(broker, 'log.retention.ms', 'message.max.bytes', 'num.partitions')
    for name, value, says in (('message.max.bytes', 'abc', 'Not a number of type INT'),
                              ('authorizer.class.name', 'x.Y', 'refused: line'),
                              ('group.consumer.heartbeat.interval.ms', '60000', 'invalid: ')):
        broker.settings = dict(good)
        broker.settings.update({'log.retention.ms': '5', name: value})
        line = list(broker.settings).index(name) + 1
        hup(broker, 'nothing changed')
        lib.check(says in broker.log(), 'the log does not say ' + says)
        if 'group' not in name:
            lib.check('line %d' % line in broker.log(), 'the log does not name line %d' % line)
        lib.equal(described(broker, *before), before, 'nothing changed')
    broker.settings = good


def is_served(broker, host='127.0.0.1'):
    """A connection is taken and answers."""
    try:
        with wire.Conn('%s:%d' % (host, broker.port), timeout=5) as c:
            c.call('ApiVersions', 0)
            return True
    except (OSError, ConnectionError, socket.timeout):
        return False


def test_connections(t):
    """max.connections and its kin act at once, on one worker exactly."""
    broker = t.broker(workers=1)
    admin = wire.Conn(broker.bootstrap)

    def alter(name, value):
        answer = admin.call('IncrementalAlterConfigs', 1, resources=[{
            'resource_type': BROKER, 'resource_name': '', 'configs': [
                {'name': name, 'config_operation': 1 if value is None else 0, 'value': value}]}], validate_only=False)
        lib.equal(answer['responses'][0]['error_code'], 0, '%s=%s' % (name, value))
    idle = [wire.Conn(broker.bootstrap) for _ in range(5)]
    for c in idle:
        c.call('ApiVersions', 0)
    alter('max.connections.per.ip', '6')
    lib.wait_until(lambda: not is_served(broker), 30, 'a seventh connection of the address is refused')
    alter('max.connections.per.ip.overrides', '127.0.0.1:7')
    lib.wait_until(lambda: is_served(broker), 30, 'the address has a limit of its own')
    alter('max.connections.per.ip', None)
    alter('max.connections.per.ip.overrides', None)
    alter('max.connections', '3')
    lib.wait_until(lambda: broker.metric('millrace_connections') <= 3, 30, 'those beyond the limit are closed')
    lib.check(not is_served(broker), 'a fourth is refused')
    alter('max.connections', None)
    lib.wait_until(lambda: is_served(broker), 30, 'the limit is gone')
    for c in idle:
        c.close()
    admin.close()


def test(t):
    lib.own_broker_only()
    test_sighup(t)
    test_connections(t)


if __name__ == '__main__':
    lib.main(test)
