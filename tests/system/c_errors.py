"""What wrong requests are answered with: error code and message of each, as Apache Kafka 4.3.1 answers them.

The rows below are the expectations; the whole answers are compared with those of Apache Kafka as well (golden.py). A
row's message is compared when it is given; ANY is for texts that are free.
"""
import struct
import time

import golden
import lib
import wire

ANY = object()
ROWS = []
ID = {}  # topic ids by name, filled by prepare()
NO_ID = bytes(16)
LOST_ID = bytes(range(16))


def row(name, api, version, code, values, message=ANY):
    """values: a dict, or a function (it runs when the topics exist) that gives one."""
    ROWS.append((name, api, version, code, message, values))


# ── CreateTopics, DeleteTopics ───────────────────────────────────────────────────────────────────────────────
def create(name, code, message=ANY, version=7, partitions=1, factor=1, validate=False, topic='made', configs=None,
           assignments=None, twice=False):
    one = dict(name=topic, num_partitions=partitions, replication_factor=factor,
               configs=[dict(name=k, value=v) for k, v in (configs or {}).items()],
               assignments=[dict(partition_index=p, broker_ids=b) for p, b in assignments or ()])
    row(name, 'CreateTopics', version, code, message=message, values=dict(
        topics=[one, one] if twice else [one], timeout_ms=10000, validate_only=validate))


CHARACTERS = "contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"
create('new topic', 0, topic='fresh')
create('name in use', 36, "Topic 'ok1' already exists.", topic='ok1')
create('name in use, v2', 36, "Topic 'ok1' already exists.", topic='ok1', version=2)
create('empty name', 17, 'Topic name is invalid: the empty string is not allowed', topic='')
create('name with a space', 17, "Topic name is invalid: 'bad name' " + CHARACTERS, topic='bad name')
create('name with /', 17, "Topic name is invalid: 'a/b' " + CHARACTERS, topic='a/b')
create('name .', 17, "Topic name is invalid: '.' is not allowed", topic='.')
create('name ..', 17, "Topic name is invalid: '..' is not allowed", topic='..')
create('name of 250 characters', 17, topic='x' * 250)
create('__cluster_metadata', 42, 'Creation of internal topic __cluster_metadata is prohibited.',
       topic='__cluster_metadata')
create('a.b', 0, topic='a.b')
create('a_b while a.b exists', 17, "Topic 'a_b' collides with existing topic: a.b", topic='a_b')
create('twice in one request', 42, 'Duplicate topic name.', twice=True)
create('partitions 0', 37, 'Number of partitions was set to an invalid non-positive value.', partitions=0)
create('partitions -1 (default)', 0, topic='default-partitions', partitions=-1)
create('partitions -2', 37, 'Number of partitions was set to an invalid non-positive value.', partitions=-2)
create('replication factor 3', 38, factor=3)
create('replication factor 0', 38, 'Replication factor must be larger than 0, or -1 to use the default value.', factor=0)
create('20000 partitions', 44, 'Excessively large number of partitions per request.', partitions=20000)
create('unknown config', 40, 'Unknown topic config name: no.such', configs={'no.such': '1'})
create('bad config value', 40, 'Invalid value abc for configuration retention.ms: Not a number of type LONG',
       configs={'retention.ms': 'abc'})
create('config out of range', 40, 'Invalid value 1000 for configuration segment.bytes: Value must be at least 1048576',
       configs={'segment.bytes': '1000'})
create('bad cleanup.policy', 40,
       'Invalid value foo for configuration cleanup.policy: String must be one of: compact, delete',
       configs={'cleanup.policy': 'foo'})
create('null config value', 40, 'Null value not supported for topic configs: retention.ms', configs={'retention.ms': None})
create('assignments and counts', 42,
       'A manual partition assignment was specified, but replication factor was not set to -1.',
       partitions=-1, assignments=[(0, [1])])
create('assignment to an unknown broker', 39,
       'The manual partition assignment includes broker 9, but no such broker is registered.',
       partitions=-1, factor=-1, assignments=[(0, [9])])
create('assignment not from 0', 39, 'partitions should be a consecutive 0-based integer sequence',
       partitions=-1, factor=-1, assignments=[(1, [1])])
create('assignment with a broker twice', 39, 'The manual partition assignment includes the broker 1 more than once.',
       partitions=-1, factor=-1, assignments=[(0, [1, 1])])
create('validate_only', 0, topic='only-looked-at', validate=True)
create('validate_only, exists', 36, "Topic 'ok1' already exists.", topic='ok1', validate=True)
row('create nothing', 'CreateTopics', 7, 0, dict(topics=[], timeout_ms=1000))


def delete(name, code, message=ANY, version=6, topic=None, topic_id=NO_ID):
    values = dict(topic_names=[topic]) if version < 6 else dict(topics=[dict(name=topic, topic_id=topic_id)])
    row(name, 'DeleteTopics', version, code, message=message, values=dict(values, timeout_ms=5000))


delete('delete an unknown name', 3, 'This server does not host this topic-partition.', topic='nosuch')
delete('delete an unknown id', 100, 'This server does not host this topic ID.', topic_id=LOST_ID)
delete('delete null name and zero id', 42, 'Neither topic name nor id were specified.')
delete('delete an unknown name, v1', 3, version=1, topic='nosuch')
delete('delete a topic', 0, topic='fresh')


# ── DescribeConfigs, Metadata, FindCoordinator, InitProducerId, ApiVersions, DescribeCluster ─────────────────
def describe(name, code, kind, resource, message=ANY, keys=None):
    row(name, 'DescribeConfigs', 4, code, message=message, values=dict(
        resources=[dict(resource_type=kind, resource_name=resource, configuration_keys=keys)]))


describe('configs of a topic', 0, 2, 'ok1')
describe('configs of an unknown topic', 3, 2, 'nosuch', message='')
describe('configs of a bad topic name', 17, 2, 'a b', message="Topic name is invalid: 'a b' " + CHARACTERS)
describe('configs of another broker', 42, 4, '7',
         message='Unexpected broker id, expected 1 or empty string, but received 7')
describe('configs of broker x', 42, 4, 'x', message='Broker id must be an integer, but it is: x')
describe('configs of type 99', 42, 99, 'x')
describe('an unknown key', 0, 2, 'ok1', keys=['no.such'])
describe('configs of broker 1', 0, 4, '1')


def metadata(title, code, version=12, auto=False, **topic):
    row(title, 'Metadata', version, code, dict(topics=[topic], allow_auto_topic_creation=auto))


metadata('metadata', 0, name='ok1')
metadata('metadata by id', 0, name=None, topic_id='ok1')
metadata('metadata unknown', 3, name='nosuch')
metadata('metadata invalid name', 17, name='a b')
metadata('metadata invalid name, autocreate', 17, name='a b', auto=True)
metadata('metadata unknown id', 100, name=None, topic_id=LOST_ID)
metadata('metadata zero id null name', -1, name=None)

row('coordinator key type 9', 'FindCoordinator', 6, 42, dict(key_type=9, coordinator_keys=['g']))
row('coordinator key type 9, v1', 'FindCoordinator', 1, 42, dict(key_type=9, key='g'))
row('coordinator key type 2', 'FindCoordinator', 6, 42, dict(key_type=2, coordinator_keys=['g']))

row('init empty transactional id', 'InitProducerId', 4, 42, dict(transactional_id='', transaction_timeout_ms=1000))
row('init a producer id', 'InitProducerId', 4, 0, dict(transactional_id=None, transaction_timeout_ms=1000))
row('init with a producer id but no transaction', 'InitProducerId', 4, 0, dict(
    transactional_id=None, transaction_timeout_ms=1000, producer_id=4000, producer_epoch=2))

row('ApiVersions', 'ApiVersions', 4, 0, dict(client_software_name='test', client_software_version='1'))
row('ApiVersions, empty software name', 'ApiVersions', 3, 42, dict(client_software_version='1'))
row('ApiVersions, bad software name', 'ApiVersions', 3, 42, dict(client_software_name='a b', client_software_version='1'))
row('cluster, endpoint type 9', 'DescribeCluster', 2, 115, dict(endpoint_type=9), 'Unsupported endpoint type 9')
row('cluster, controllers', 'DescribeCluster', 2, 114, dict(endpoint_type=2),
    'The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER')
row('cluster', 'DescribeCluster', 2, 0, dict(endpoint_type=1))


# ── Produce ──────────────────────────────────────────────────────────────────────────────────────────────────
def produce(name, code, data, message=ANY, topic='ok1', partition=0, acks=-1, version=9, topic_id=NO_ID):
    def values():
        records = data() if callable(data) else data
        return dict(acks=acks, timeout_ms=5000, topic_data=[dict(
            name=topic, topic_id=ID.get(topic_id, topic_id),
            partition_data=[dict(index=partition, records=records)])])
    row(name, 'Produce', version, code, message=message, values=values)


ONE = [(b'k', b'v')]
GOOD = wire.batch(ONE)


def wrong_magic(magic):
    data = bytearray(GOOD)
    data[16] = magic
    return bytes(data)


produce('produce', 0, GOOD)
produce('produce v13', 0, GOOD, version=13, topic_id='ok1')
produce('produce v13 to an unknown id', 100, GOOD, version=13, topic_id=LOST_ID)
produce('produce to an unknown topic', 3, GOOD, topic='nosuch')
produce('produce to an unknown partition', 3, GOOD, partition=77)
produce('produce to partition -1', 3, GOOD, partition=-1)
produce('acks=7', 21, GOOD, acks=7)
produce('acks=2, v3', 21, GOOD, acks=2, version=3)
produce('bad crc', 2, wire.batch(ONE, crc_xor=1))
produce('too large', 10, lambda: wire.batch([(None, bytes(1 << 20))] + ONE))
produce('empty records', 87, b'')
produce('two batches', 87, GOOD + GOOD)
produce('a truncated batch', 87, GOOD[:-3])
produce('magic 1', 87, wrong_magic(1))
produce('magic 3', 2, wrong_magic(3), message='Invalid magic found in record: 3')
produce('record count too high', 87, wire.batch(ONE * 3, count=4))
produce('last offset delta wrong', 87, wire.batch(ONE * 3, last_delta=7))
produce('record count 0', 87, wire.batch([], last_delta=-1))
produce('codec 7', -1, wire.batch(ONE, attributes=7))
produce('control bit', 87, wire.batch(ONE, attributes=32))
produce('transactional bit without a producer id', 53, wire.batch(ONE, attributes=16))
produce('no key to a compacted topic', 87, wire.batch([(None, b'v')]), topic='cpt')
produce('timestamp too far ahead', 32, lambda: wire.batch(ONE, timestamp=wire.now_ms() + 7200000 * 12))
produce('timestamp -1', 0, wire.batch(ONE, timestamp=-1))
produce('base offset 77', 87, wire.batch(ONE, base_offset=77))
produce('min.insync.replicas 2, acks=all', 0, GOOD, topic='isr2')
produce('to __consumer_offsets', 17, GOOD, topic='__consumer_offsets')
produce('a key to a compacted topic', 0, GOOD, topic='cpt')


def idempotent(name, code, sequence, epoch=0, producer=5000, n=1, acks=-1):
    produce('idempotent: ' + name, code, wire.batch(ONE * n, producer_id=producer, producer_epoch=epoch,
                                                    sequence=sequence), partition=1, acks=acks)


idempotent('seq 0', 0, 0)
idempotent('duplicate seq 0', 0, 0)
idempotent('gap: seq 5', 45, 5)
idempotent('seq 1, six records', 0, 1, n=6)
for next_sequence in range(7, 12):
    idempotent('seq %d' % next_sequence, 0, next_sequence)
idempotent('duplicate beyond the last five', 45, 0)
idempotent('an unknown producer with seq 3', 0, 3, producer=6000)
idempotent('new epoch with seq 5', 45, 5, epoch=1)
idempotent('new epoch with seq 0', 0, 0, epoch=1)
idempotent('stale epoch', 47, 1, epoch=0)
idempotent('acks=1', 0, 1, epoch=1, acks=1)
idempotent('producer id without a sequence', 87, -1, producer=7000)


# ── Fetch, ListOffsets, OffsetForLeaderEpoch ─────────────────────────────────────────────────────────────────
def fetch(name, code, version=12, topic='ok1', topic_id=NO_ID, partition=0, offset=0, epoch=-1, last_epoch=-1,
          max_bytes=1 << 20, partition_bytes=1 << 20, session=0, session_epoch=-1):
    def values():
        at = end(topic) + 1000 if offset == 'beyond' else end(topic) if offset == 'end' else offset
        return dict(max_wait_ms=10, min_bytes=0, max_bytes=max_bytes, session_id=session, session_epoch=session_epoch,
                    topics=[dict(topic=topic, topic_id=topic_id, partitions=[dict(
                        partition=partition, fetch_offset=at, current_leader_epoch=epoch, last_fetched_epoch=last_epoch,
                        partition_max_bytes=partition_bytes)])])
    row(name, 'Fetch', version, code, values)


def end(topic):
    with wire.Conn(end.bootstrap) as c:
        return wire.end_offset(c, topic)


fetch('fetch', 0)
fetch('fetch beyond the end', 1, offset='beyond')
fetch('fetch at the end', 0, offset='end')
fetch('fetch offset -1', 1, offset=-1)
fetch('fetch unknown topic', 3, topic='nosuch')
fetch('fetch unknown partition', 3, partition=77)
fetch('fetch unknown id', 100, version=16, topic_id=LOST_ID)
fetch('fetch with a bad session id', 70, session=999, session_epoch=1)
fetch('fetch with a leader epoch too high', 75, epoch=1000)
fetch('fetch max bytes 0', 0, max_bytes=0)
fetch('fetch partition max bytes 1', 0, partition_bytes=1)
fetch('fetch, new session', 0, session_epoch=0)


def offsets(name, code, timestamp, version=9, topic='ok1', partition=0, epoch=-1, twice=False):
    one = dict(partition_index=partition, timestamp=timestamp, current_leader_epoch=epoch)
    row('offsets ' + name, 'ListOffsets', version, code, dict(
        replica_id=-1, isolation_level=0, timeout_ms=5000,
        topics=[dict(name=topic, partitions=[one, one] if twice else [one])]))


for special in (-1, -2, -3, -4, -5):
    offsets('timestamp %d' % special, 0, special)
offsets('timestamp -6', 35, -6)
offsets('timestamp -7', 35, -7)
offsets('timestamp -6, v11', 0, -6, version=11)
offsets('timestamp -3, v6', 35, -3, version=6)
offsets('by time', 0, 1700000000000)
offsets('of an unknown topic', 3, -1, topic='nosuch')
offsets('of an unknown partition', 3, -1, partition=77)
offsets('epoch too high', 75, -1, epoch=1000)
offsets('the same partition twice', 42, -1, version=7, twice=True)
offsets('of an empty topic by time', 0, 1700000000000, version=7, topic='empty')


def leader_epoch(name, code, topic='ok1', current=-1, epoch=0):
    row('leader epoch ' + name, 'OffsetForLeaderEpoch', 4, code, dict(replica_id=-2, topics=[dict(
        topic=topic, partitions=[dict(partition=0, current_leader_epoch=current, leader_epoch=epoch)])]))


leader_epoch('0', 0)
leader_epoch('of an unknown topic', 3, topic='nosuch')
leader_epoch('in the future', 0, epoch=1000)
leader_epoch('current too high', 75, current=1000)

# ── frames: no request is decoded ────────────────────────────────────────────────────────────────────────────
TAIL = b'system-test'


def framed(key, version, rest=b'', client=struct.pack('>h', len(TAIL)) + TAIL):
    data = struct.pack('>hhi', key, version, 7) + client + rest
    return struct.pack('>i', len(data)) + data


NULL_TOPICS = struct.pack('>i', -1)
FRAMES = [
    ('length 0', struct.pack('>i', 0), 'closed'),
    ('length -1', struct.pack('>i', -1), 'closed'),
    ('length -2147483648', struct.pack('>i', -2147483648), 'closed'),
    ('length 104857600', struct.pack('>i', 104857600) + bytes(100), 'open'),
    ('length 104857601', struct.pack('>i', 104857601), 'closed'),
    ('length 4, four zero bytes', struct.pack('>i', 4) + bytes(4), 'closed'),
    ('length 7, short header', struct.pack('>i', 7) + b'\0\x12\0\0\0\0\0', 'closed'),
    ('ApiVersions v0, null client id', framed(18, 0, client=b'\xff\xff'), 'answered'),
    ('api key 999', framed(999, 0), 'closed'),
    ('api key -1', framed(-1, 0), 'closed'),
    ('api key 4, LeaderAndIsr', framed(4, 0), 'closed'),
    ('api key 52, Vote', framed(52, 0, b'\0'), 'closed'),
    ('Metadata v99', framed(3, 99), 'closed'),
    ('Metadata v-1', framed(3, -1), 'closed'),
    ('Produce v2', framed(0, 2), 'closed'),
    ('Fetch v3', framed(1, 3), 'closed'),
    ('InitProducerId v6', framed(22, 6, b'\0'), 'closed'),
    ('Metadata v1, truncated array', framed(3, 1, struct.pack('>i', 3)), 'closed'),
    ('Metadata v1, array of 2^31-1', framed(3, 1, struct.pack('>i', 2147483647)), 'closed'),
    ('Metadata v1, array of -2', framed(3, 1, struct.pack('>i', -2)), 'answered'),
    ('Metadata v1, string of -5', framed(3, 1, struct.pack('>ih', 1, -5)), 'closed'),
    ('Metadata v1, trailing bytes', framed(3, 1, NULL_TOPICS + b'abc'), 'answered'),
    ('Metadata v9, overlong varint', framed(3, 9, b'\0' + b'\xff' * 6), 'closed'),
    ('Metadata v9, unknown tag in the header', framed(3, 9, b'\1\x63\2ab' + b'\0\0\0\0\0'), 'answered'),
    ('client id of -2', framed(18, 0, client=struct.pack('>h', -2)), 'answered'),
    ('client id longer than the frame', framed(18, 0, client=struct.pack('>h', 100) + b'x'), 'closed'),
    ('client id of invalid UTF-8', framed(18, 0, client=struct.pack('>h', 3) + b'\xff\xfe\x80'), 'answered'),
    ('HTTP', b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', 'closed'),
    ('TLS', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + b'r' * 200, 'closed'),
]


# Where we answer otherwise on purpose: name -> our code, and why.
OURS = {
    'codec 7': (76, 'UNSUPPORTED_COMPRESSION_TYPE says what is wrong; Apache Kafka answers UNKNOWN_SERVER_ERROR'),
}


# ── running them ─────────────────────────────────────────────────────────────────────────────────────────────
def prepare(bootstrap):
    end.bootstrap = bootstrap
    with wire.Conn(bootstrap) as c:
        names = ['ok1', 'cpt', 'isr2', 'empty', 'fresh', 'a.b', 'default-partitions']
        c.call('DeleteTopics', 6, topics=[dict(name=n) for n in names], timeout_ms=10000)

        def is_gone():
            topics = c.call('Metadata', 12, topics=[dict(name=n) for n in names])['topics']
            return all(t['error_code'] == 3 for t in topics)
        lib.wait_until(is_gone, 20, 'topics of an earlier run are gone')
        # The first producer id after a start may have to wait for its block.
        lib.wait_until(lambda: c.call('InitProducerId', 4, transactional_id=None, transaction_timeout_ms=1)['error_code'] == 0,
                       20, 'a producer id')

        # Some rows need __consumer_offsets; where it does not come, they say so themselves.
        def has_coordinator():
            out = c.call('FindCoordinator', 6, key_type=0, coordinator_keys=['g'])
            return out['coordinators'][0]['error_code'] == 0
        deadline = time.monotonic() + 10
        while not has_coordinator() and time.monotonic() < deadline:
            time.sleep(0.1)
    ID['ok1'] = wire.create_topic(bootstrap, 'ok1', 2)
    wire.create_topic(bootstrap, 'cpt', 1, {'cleanup.policy': 'compact'})
    wire.create_topic(bootstrap, 'isr2', 1, {'min.insync.replicas': '2'})
    wire.create_topic(bootstrap, 'empty')


def has_topic(bootstrap, name):
    with wire.Conn(bootstrap) as c:
        return c.call('Metadata', 12, topics=[dict(name=name)])['topics'][0]['error_code'] == 0


def values_of(values, api):
    values = values() if callable(values) else values
    if api == 'Metadata':
        values = dict(values, topics=[dict(t, topic_id=ID.get(t.get('topic_id'), t.get('topic_id', NO_ID)))
                                      for t in values['topics']])
    return values


def ask(bootstrap, api, version, values):
    """-> (code, messages, the whole answer), or ('closed', [], 'closed')"""
    try:
        with wire.Conn(bootstrap, timeout=8) as c:
            out = c.call(api, version, **values_of(values, api))
    except wire.Closed:
        return 'closed', [], 'closed'
    except OSError as e:
        return 'no answer (%s)' % e, [], 'no answer'
    except ValueError as e:
        return 'unreadable answer (%s)' % e, [], 'unreadable answer'
    codes, messages = wire.found_in(out)
    return (sorted(codes)[0] if len(codes) == 1 else sorted(codes) if codes else 0), messages, out


def answers_of(bootstrap):
    prepare(bootstrap)
    answers = {'has __consumer_offsets': has_topic(bootstrap, '__consumer_offsets')}
    for name, api, version, _, _, values in ROWS:
        answers[name] = ask(bootstrap, api, version, values)
    for name, data, _ in FRAMES:
        with wire.Conn(bootstrap) as c:
            outcome = c.outcome(data, wait=1.0)[0]
            answers[name] = outcome, [], outcome
    return answers


def against_rows(answers):
    wrong = []
    for name, api, version, code, message, _ in ROWS:
        got, messages, _ = answers[name]
        if not lib.PEER and name in OURS:
            code = OURS[name][0]
        if name == 'to __consumer_offsets' and not answers['has __consumer_offsets']:
            code = 3  # without groups there is no such topic
        if got != code:
            wrong.append('%s (%s v%d): expected %s %s, got %s %s' % (
                name, api, version, code, wire.ERRORS.get(code, ''), got, messages))
        elif message is not ANY and message not in messages:
            wrong.append('%s (%s v%d): expected the message %r, got %r' % (name, api, version, message, messages))
    for name, _, outcome in FRAMES:
        if answers[name][0] != outcome:
            wrong.append('frame %s: expected %s, got %s' % (name, outcome, answers[name][0]))
    return wrong


def against_golden(t, answers):
    normal = golden.Normal({v: k for k, v in ID.items()})
    del answers['has __consumer_offsets']
    return golden.compare(t, 'c_errors', {name: normal.of(answer[2]) for name, answer in answers.items()})


def test_unknown_api_versions_version(bootstrap):
    """The one exception: ApiVersions of an unknown version is answered in the form of version 0."""
    for version in (5, 99, 32767, -1):
        with wire.Conn(bootstrap) as c:
            outcome, data = c.outcome(framed(18, version, b'\0' * 5))
            lib.equal((outcome, data[4:]), ('answered', bytes.fromhex('0023 00000001 0012 0000 0004')),
                      'ApiVersions v%d' % version)
            lib.equal(c.call('ApiVersions', 0)['error_code'], 0, 'ApiVersions v0 on the same connection')


def test_acks_0(bootstrap):
    good = dict(acks=0, timeout_ms=1000, topic_data=[dict(name='ok1', partition_data=[dict(index=0, records=GOOD)])])
    with wire.Conn(bootstrap) as c:
        c.send(wire.frame('Produce', 9, 1, **good))
        lib.equal(c.call('ApiVersions', 0)['error_code'], 0, 'the answer behind a produce with acks=0')
    with wire.Conn(bootstrap) as c:
        good['topic_data'][0]['name'] = 'nosuch'
        lib.equal(c.outcome(wire.frame('Produce', 9, 1, **good))[0], 'closed', 'acks=0 to an unknown topic')


def test_pipelining(bootstrap):
    with wire.Conn(bootstrap) as c:
        c.send(b''.join(wire.frame('ApiVersions', 0, n) for n in range(1, 4)))
        lib.equal([wire.read_response('ApiVersions', 0, c.receive_frame())[0] for _ in range(3)], [1, 2, 3],
                  'correlation ids of three requests in one write')


def test_null_records(bootstrap):
    """Apache Kafka never answers this; we answer 87 and the connection goes on."""
    with wire.Conn(bootstrap) as c:
        lib.equal(wire.produce(c, 'ok1', None)['error_code'], 87, 'null records')
        lib.equal(c.call('ApiVersions', 0)['error_code'], 0, 'the request behind null records')


def test(t):
    lib.check(len({r[0] for r in ROWS} | {f[0] for f in FRAMES}) == len(ROWS) + len(FRAMES), 'two rows of one name')
    broker = t.broker(workers=3, settings={'node.id': '1', 'auto.create.topics.enable': 'false',
                                           **lib.ONE_NODE})
    answers = answers_of(broker.bootstrap)
    wrong = against_rows(answers)
    for check in (test_unknown_api_versions_version, test_acks_0, test_pipelining):
        try:
            check(broker.bootstrap)
        except (lib.Failed, OSError, ValueError) as e:
            wrong.append('%s: %s' % (check.__name__, e))
    if not lib.PEER:
        try:
            test_null_records(broker.bootstrap)
        except (lib.Failed, OSError, ValueError) as e:
            wrong.append('test_null_records: %s' % e)
    wrong += against_golden(t, answers)
    for line in wrong:
        t.say(line)
    lib.check(not wrong, '%d of %d rows differ, the first: %s' % (len(wrong), len(ROWS) + len(FRAMES), (wrong or [''])[0]))
    t.say('%d rows and %d frames as expected' % (len(ROWS), len(FRAMES)))


lib.main(test)
