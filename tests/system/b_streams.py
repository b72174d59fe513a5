"""Kafka Streams: words are counted through a repartition topic into a store with a changelog. The broker is killed -9 and
started again, the application is replaced by another that reads its store from the changelog: every word counts once.

What needs transactions (exactly_once_v2) or the groups of KIP-1071 (group.protocol=streams) is refused with an error that
ends the application and says why.
"""
import collections

import kafka_java
import lib
import members
import wire

WORDS = ('the', 'mill', 'race', 'turns', 'the', 'wheel')
SETTINGS = {'group.initial.rebalance.delay.ms': 0, 'offsets.topic.num.partitions': 4, 'auto.create.topics.enable': 'false'}
PARTITIONS = 3
APPLICATION = 'word-count'


class Count:
    """What was written, and what the application has counted."""

    def __init__(self, broker, source, target):
        self.broker, self.source, self.target = broker, source, target
        self.expected, self.lines_n = collections.Counter(), 0

    def write(self, n):
        with wire.Conn(self.broker.bootstrap, timeout=30) as c:
            for i in range(self.lines_n, self.lines_n + n):
                line = ' '.join(WORDS[:1 + i % len(WORDS)] + ('only-%d' % i,))
                out = wire.produce(c, self.source, wire.batch([(b'%d' % i, line.encode())]), i % PARTITIONS)
                lib.equal(out['error_code'], 0, 'error code of a produce')
                self.expected.update(line.split())
        self.lines_n += n

    def counted(self):
        """-> {word: its last count}"""
        out = {}
        with wire.Conn(self.broker.bootstrap, timeout=30) as c:
            for partition in range(PARTITIONS):
                for _, key, value in wire.fetch_all(c, self.target, partition):
                    out[key.decode()] = int(value)
        return out

    def wait(self, what):
        lib.wait_until(lambda: self.counted() == self.expected, 90, '%s: every word is counted once' % what)


def wait_committed(broker, count):
    """What the application read is committed, so that another goes on behind it."""
    def is_committed():
        with wire.Conn(broker.bootstrap) as c:
            out = c.call('OffsetFetch', 8, groups=[dict(group_id=APPLICATION, topics=None)], require_stable=False)['groups'][0]
            topics = {t['name']: t['partitions'] for t in out['topics']}
            if sum(p['committed_offset'] for p in topics.get(count.source, [])) != count.lines_n:
                return False
            inner = next((n for n in topics if n.endswith('words-repartition')), None)
            return inner and all(p['committed_offset'] == wire.end_offset(c, inner, p['partition_index'])
                                 for p in topics[inner])
    lib.wait_until(is_committed, 60, 'the application has committed everything')


def check_topics(broker):
    """The changelog is compacted; of the repartition topic, what was read is deleted by the application."""
    changelog, inner = APPLICATION + '-counts-changelog', APPLICATION + '-words-repartition'
    with wire.Conn(broker.bootstrap) as c:
        out = c.call('DescribeConfigs', 4, resources=[
            dict(resource_type=2, resource_name=n, configuration_keys=['cleanup.policy']) for n in (changelog, inner)],
            include_synonyms=False, include_documentation=False)
        lib.equal([r['configs'][0]['value'] for r in out['results']], ['compact', 'delete'], 'cleanup.policy')
        lib.wait_until(lambda: sum(wire.end_offset(c, inner, p, -2) for p in range(PARTITIONS)) > 0, 60,
                       'the repartition topic is purged')


def start(t, driver, name, count, *settings):
    driver.start(name, 'WordCount', count.broker.bootstrap, APPLICATION if name != 'refused' else t.topic('refused'),
                 count.source, count.target, 'state.dir=' + t.path('state-' + name), *settings)


def refused(t, driver, count, setting, expected):
    """The application ends by itself and says why."""
    start(t, driver, 'refused', count, setting)

    def status():
        return driver.read('refused')[0]
    lib.wait_until(lambda: status() is not None, 90, 'an application with %s ends by itself' % setting)
    status, out, err = driver.read('refused')
    said = [line for line in (out + err).splitlines() if expected in line]
    lib.check(status == 1 and said, '%s: status %s: %s %s' % (setting, status, out, err[-1500:]))
    t.say('%s: %s' % (setting, said[0]))


def test(t):
    lib.own_broker_only()
    kafka_java.want(t)
    kafka_java.want_jar('kafka-streams')
    broker = t.broker(workers=3, settings=SETTINGS)
    count = Count(broker, 'lines', 'counts')
    for name in ('lines', 'counts'):
        wire.create_topic(broker.bootstrap, name, PARTITIONS)
    driver = kafka_java.Driver(t)
    start(t, driver, 'one', count)
    count.write(300)
    count.wait('at first')
    check_topics(broker)
    wait_committed(broker, count)
    broker.kill()
    members.start_again(t, broker)
    count.write(200)
    count.wait('after kill -9 of the broker')
    wait_committed(broker, count)
    status, out, err = driver.stop('one')
    lib.equal(status, 0, 'exit status of the application: %s %s' % (out, err[-1500:]))
    start(t, driver, 'two', count)
    count.write(200)
    count.wait('another application with the store of the first')
    driver.stop('two')
    t.say('%d lines, %d different words, each counted once' % (count.lines_n, len(count.expected)))
    refused(t, driver, count, 'processing.guarantee=exactly_once_v2', 'TransactionalId')
    refused(t, driver, count, 'group.protocol=streams', 'UnsupportedVersion')


lib.main(test)
