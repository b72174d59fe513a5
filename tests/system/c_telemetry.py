"""Client telemetry (KIP-714): subscriptions, who is matched, what is refused, and the numbers at /metrics.

The payloads are protobuf written here by hand. Then clients that push by themselves: Java's, and librdkafka 2.5 or newer.
"""
import gzip
import os
import struct
import subprocess
import sys
import time

import b_python
import c_metrics
import kafka_java
import lib
import wire

NONE, INVALID_REQUEST, UNSUPPORTED_CODEC, INVALID_RECORD, THROTTLED, UNKNOWN_SUBSCRIPTION, TOO_LARGE = \
    0, 42, 76, 87, 89, 117, 118
NEW = bytes(16)


# ── OTLP ────────────────────────────────────────────────────────────────────────────────────────────────────
def tag(number, wire_type):
    return wire.uvarint(number << 3 | wire_type)


def message(number, data):
    return tag(number, 2) + wire.uvarint(len(data)) + data


def attribute(key, value):
    return message(1, key.encode()) + message(2, message(1, value.encode()))


def point(value, **attributes):
    number = tag(4, 1) + struct.pack('<d', value) if isinstance(value, float) else tag(6, 1) + struct.pack('<q', value)
    return message(1, number + b''.join(message(7, attribute(k, v)) for k, v in attributes.items()))


def gauge(name, *points):
    return message(2, message(1, name.encode()) + message(5, b''.join(points)))


def total(name, is_delta, *points):
    return message(2, message(1, name.encode()) + message(7, b''.join(points) + tag(2, 0) + bytes([1 if is_delta else 2]) +
                                                          tag(3, 0) + b'\1'))


def payload(*metrics, **resource):
    head = message(1, b''.join(message(1, attribute(k, v)) for k, v in resource.items()))
    return message(1, head + message(2, b''.join(metrics)))


# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────
def subscribe(broker, name, *settings):
    lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'config', 'set', 'client-metrics', name,
            *settings)


def get(c, instance=NEW):
    return c.call('GetTelemetrySubscriptions', 0, client_instance_id=instance)


def push(c, told, metrics, codec=0, is_last=False, subscription=None):
    return c.call('PushTelemetry', 0, client_instance_id=told['client_instance_id'], terminating=is_last,
                  subscription_id=told['subscription_id'] if subscription is None else subscription,
                  compression_type=codec, metrics=metrics)['error_code']


def series(broker):
    return {k: v for k, v in c_metrics.parse(broker.metrics_text()).items() if k.startswith('client_')}


def of(broker, name):
    return sorted(v for k, v in series(broker).items() if k.split('{')[0] == name)


def listed(c):
    return {a['api_key'] for a in c.call('ApiVersions', 4, client_software_name='me', client_software_version='1.2.3')[
        'api_keys']}


def test_rules(broker):
    with wire.Conn(broker.bootstrap) as c:
        lib.check(listed(c) >= {71, 72}, 'the requests are offered')
        told = get(c)
        lib.equal((told['error_code'], told['requested_metrics'], told['push_interval_ms']), (0, [], 300000),
                  'nobody subscribes')
        lib.equal(told['accepted_compression_types'], [4, 3, 1, 2], 'codecs')
        lib.check(told['client_instance_id'] != NEW, 'an id was given')
        lib.equal(get(c, told['client_instance_id'])['error_code'], THROTTLED, 'asked again at once')
        subscribe(broker, 'rules', 'metrics=org.apache.kafka.,another.', 'interval.ms=100',
                  'match=client_software_name=me,client_software_version=1\\..*')
        subscribe(broker, 'others', 'metrics=*', 'interval.ms=200', 'match=client_software_name=you')
        told = get(c, told['client_instance_id'])
        lib.equal((told['error_code'], told['requested_metrics'], told['push_interval_ms']),
                  (0, ['another.', 'org.apache.kafka.'], 100), 'what the subscription says, at once')
        data = payload(gauge('org.apache.kafka.a.b', point(1.5, x='y'), point(7)), group='g"1')
        lib.equal(push(c, told, data, subscription=1), UNKNOWN_SUBSCRIPTION, 'another subscription id')
        told = get(c, told['client_instance_id'])
        lib.equal(told['error_code'], 0, 'asked again after an unknown subscription')
        wait(told)
        lib.equal(push(c, told, data), NONE, 'pushed')
        lib.equal(push(c, told, data), THROTTLED, 'pushed again at once')
        name = 'client_org_apache_kafka_a_b'
        lib.equal(of(broker, name), [1.5, 7.0], 'two points')
        one = [k for k, v in series(broker).items() if v == 1.5][0]
        lib.check('client_id="system-test"' in one and 'x="y"' in one and 'group="g\\"1"' in one, 'labels: ' + one)
        wait(told)
        lib.equal(push(c, told, gzip.compress(payload(gauge('org.apache.kafka.a.b', point(2.5, x='y'), point(8)),
                                                      group='g"1')), codec=1), NONE, 'gzip')
        lib.equal(of(broker, name), [2.5, 8.0], 'the newest numbers count')
        for what, code, bytes_, codec in (('an unknown codec', UNSUPPORTED_CODEC, data, 9),
                                          ('no protobuf', INVALID_RECORD, b'\xff' * 40, 0),
                                          ('no gzip', INVALID_RECORD, b'\1\2\3', 1),
                                          ('too large', TOO_LARGE, bytes(20001), 0),
                                          ('too large inflated', TOO_LARGE, gzip.compress(bytes(1 << 20)), 1)):
            wait(told)
            lib.equal(push(c, told, bytes_, codec), code, what)
        lib.equal(of(broker, name), [2.5, 8.0], 'what is refused changes nothing')
        for expected in (3.0, 6.0):
            wait(told)
            lib.equal(push(c, told, payload(total('org.apache.kafka.t', True, point(3)))), NONE, 'a delta')
            lib.equal(of(broker, 'client_org_apache_kafka_t'), [expected], 'deltas are added')
        lib.equal(push(c, told, data, is_last=True), NONE, 'the last push may come early')
        lib.equal(push(c, told, data), INVALID_REQUEST, 'after the last one')
        lib.equal(c.call('PushTelemetry', 0, client_instance_id=NEW, subscription_id=0, terminating=False,
                         compression_type=0, metrics=b'')['error_code'], INVALID_REQUEST, 'no instance id')


def wait(told):
    time.sleep(told['push_interval_ms'] / 1e3)


def test_budget(broker):
    """One client has an eighth of telemetry.series.max, all together not more than that."""
    subscribe(broker, 'budget', 'metrics=*', 'interval.ms=100', 'match=client_software_name=many')
    data = payload(*[gauge('m%d' % i, point(i)) for i in range(100)])
    for _ in range(10):
        with wire.Conn(broker.bootstrap) as c:
            c.call('ApiVersions', 4, client_software_name='many', client_software_version='1')
            lib.equal(push(c, get(c), data), NONE, 'pushed')
    shown = [k for k in series(broker) if k.startswith('client_m')]
    lib.check(60 * 8 / 8 < len(shown) <= 480, '%d series' % len(shown))
    lib.check(len(series(broker)) <= 480, 'all series: %d' % len(series(broker)))
    lib.check(broker.metric('millrace_telemetry_points_left_out_total') > 0, 'what is left out is counted')


def test_resources(broker):
    _, out, _ = lib.run(lib.MILLRACE, '--bootstrap', broker.bootstrap, 'config', 'describe', 'client-metrics', 'rules')
    lib.check(b'interval.ms' in out and b'100' in out, 'described: %s' % out)
    with wire.Conn(broker.bootstrap) as c:
        found = {r['resource_name'] for r in c.call('ListConfigResources', 1, resource_types=[16])['config_resources']}
    lib.check(found >= {'rules', 'others', 'budget'}, 'listed: %s' % found)
    broker.stop()
    broker.start()
    with wire.Conn(broker.bootstrap) as c:
        listed(c)
        lib.equal(get(c)['requested_metrics'], ['another.', 'org.apache.kafka.'], 'subscriptions after a restart')


def test_java(t, broker):
    if not kafka_java.library():
        t.say('no jars: Java is left out')
        return
    subscribe(broker, 'java', 'metrics=org.apache.kafka.producer.', 'interval.ms=1000',
              'match=client_software_name=apache-kafka-java')
    child = t.spawn(*kafka_java.command('org.apache.kafka.tools.ConsoleProducer', '--bootstrap-server', broker.bootstrap,
                                        '--topic', t.topic('pushed'), '--command-property', 'client.id=javac'),
                    stdin=subprocess.PIPE)
    child.stdin.write(b'a line\n' * 100)
    child.stdin.flush()
    lib.wait_until(lambda: any('javac' in k for k in series(broker)), 60, 'metrics of a Java producer')
    found = [k for k in series(broker) if 'javac' in k]
    t.say('java pushes %d series, such as %s' % (len(found), found[0]))
    child.stdin.close()
    lib.equal(child.wait(30), 0, 'the console producer ends')


LIBRDKAFKA = """
import sys, confluent_kafka as ck
p = ck.Producer({'bootstrap.servers': sys.argv[1], 'client.id': 'rdk'})
for i in range(100):
    p.produce(sys.argv[2], b'v%d' % i)
p.flush(30)
sys.stdin.read()
"""


def test_librdkafka(t, broker):
    python, why = b_python.fetch(t)
    if python is None:
        t.say('no librdkafka of today: ' + why)
        return
    subscribe(broker, 'rdk', 'metrics=*', 'interval.ms=1000', 'match=client_software_name=.*librdkafka.*|confluent.*')
    child = t.spawn(python, '-c', LIBRDKAFKA, broker.bootstrap, t.topic('pushed'), stdin=subprocess.PIPE)
    lib.wait_until(lambda: any('"rdk"' in k for k in series(broker)), 60, 'metrics of librdkafka')
    found = [k for k in series(broker) if '"rdk"' in k]
    t.say('librdkafka pushes %d series, such as %s' % (len(found), found[0]))
    child.stdin.close()
    lib.equal(child.wait(30), 0, 'librdkafka ends')


def test_not_offered(t):
    broker = t.broker(settings={'telemetry.series.max': '0'})
    with wire.Conn(broker.bootstrap) as c:
        lib.check(not listed(c) & {71, 72}, 'nothing to push to: not offered')
        lib.equal(get(c)['error_code'], 0, 'answered all the same, as by Apache Kafka')


def test(t):
    lib.own_broker_only()
    broker = t.broker(workers=2, settings={'telemetry.max.bytes': '20000', 'telemetry.series.max': '480'})
    test_rules(broker)
    test_budget(broker)
    test_resources(broker)
    test_not_offered(t)
    full = t.broker(workers=2)
    test_java(t, full)
    test_librdkafka(t, full)


if __name__ == '__main__':
    lib.main(test)
