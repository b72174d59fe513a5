"""Consumer groups with real clients: every record is delivered, offsets and groups survive kill -9 of the broker.

confluent_kafka (range, cooperative-sticky, a static member), kafka-python, kcat -G, and the command line's group commands.
"""
import json
import subprocess
import time

import lib
import wire

PARTITIONS, RECORDS = 6, 600


def fill(broker, topic, first=0):
    from confluent_kafka import Producer
    p = Producer({'bootstrap.servers': broker.bootstrap})
    for i in range(first, first + RECORDS):
        p.produce(topic, value=str(i), partition=i % PARTITIONS)
    lib.equal(p.flush(20), 0, 'records not delivered')


def consumer(broker, group, **more):
    from confluent_kafka import Consumer
    settings = {'bootstrap.servers': broker.bootstrap, 'group.id': group, 'auto.offset.reset': 'earliest',
                'enable.auto.commit': False, 'session.timeout.ms': 6000, 'heartbeat.interval.ms': 500}
    settings.update({k.replace('_', '.'): v for k, v in more.items()})
    return Consumer(settings)


def poll(consumers, until, what, seconds=30, seen=None):
    deadline = time.monotonic() + seconds
    while not until():
        lib.check(time.monotonic() < deadline, 'not within %d s: %s' % (seconds, what))
        for c in consumers:
            m = c.poll(0.05)
            if m is not None and m.error() is None and seen is not None:
                seen.append(int(m.value()))


def describe(broker, group):
    with wire.Conn(broker.bootstrap) as c:
        return c.call('DescribeGroups', 5, groups=[group], include_authorized_operations=False)['groups'][0]


def parts(consumers):
    return sorted(len(c.assignment()) for c in consumers)


def test_strategy(t, broker, strategy):
    topic, group, seen = t.topic(strategy), 'g-' + strategy, []
    wire.create_topic(broker.bootstrap, topic, PARTITIONS)
    fill(broker, topic)
    cs = [consumer(broker, group, partition_assignment_strategy=strategy) for _ in range(3)]
    for c in cs:
        c.subscribe([topic])
    poll(cs, lambda: parts(cs) == [2, 2, 2], 'three members with two partitions each', seen=seen)
    poll(cs, lambda: len(set(seen)) == RECORDS, 'every record', seen=seen)
    for c in cs:
        c.commit(asynchronous=False)
    cs.pop().close()
    poll(cs, lambda: parts(cs) == [3, 3], 'two members with three each', seen=seen)
    fill(broker, topic, RECORDS)
    poll(cs, lambda: len(set(seen)) == 2 * RECORDS, 'every record after a member left', seen=seen)
    for c in cs:
        c.commit(asynchronous=False)
    # The broker dies with both members in the group: they go on with the same assignment, without a rebalance.
    generation = [m['member_id'] for m in describe(broker, group)['members']]
    broker.kill()
    broker.start()
    fill(broker, topic, 2 * RECORDS)
    poll(cs, lambda: len(set(seen)) == 3 * RECORDS, 'every record after kill -9', seen=seen)
    lib.equal(sorted(m['member_id'] for m in describe(broker, group)['members']), sorted(generation),
              'members after kill -9')
    t.say('%s: %d records, %d of them twice' % (strategy, 3 * RECORDS, len(seen) - len(set(seen))))
    for c in cs:
        c.close()
    broker.kill()
    broker.start()
    c = consumer(broker, group, partition_assignment_strategy=strategy)
    from confluent_kafka import TopicPartition
    committed = c.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], timeout=20)
    lib.equal([p.offset for p in committed], [2 * RECORDS // PARTITIONS] * PARTITIONS, 'offsets after kill -9')
    c.close()


def test_static(t, broker):
    topic = t.topic('static')
    wire.create_topic(broker.bootstrap, topic, 2)
    c = consumer(broker, 'g-static', group_instance_id='i1')
    c.subscribe([topic])
    poll([c], lambda: parts([c]) == [2], 'a static member')
    before = describe(broker, 'g-static')
    c.close()  # does not leave
    c = consumer(broker, 'g-static', group_instance_id='i1')
    c.subscribe([topic])
    poll([c], lambda: parts([c]) == [2], 'the static member back')
    after = describe(broker, 'g-static')
    lib.equal((after['group_state'], len(after['members'])), ('Stable', 1), 'its group')
    lib.check(before['members'][0]['member_id'] != after['members'][0]['member_id'], 'it has a new id')
    c.close()


def test_kafka_python(t, broker):
    from kafka import KafkaConsumer
    topic = t.topic('kafka-python')
    wire.create_topic(broker.bootstrap, topic, PARTITIONS)
    fill(broker, topic)
    c = KafkaConsumer(topic, group_id='g-python', bootstrap_servers=broker.bootstrap, auto_offset_reset='earliest',
                      enable_auto_commit=False, consumer_timeout_ms=10000)
    seen = set()
    for m in c:
        seen.add(int(m.value))
        if len(seen) == RECORDS:
            break
    lib.equal(len(seen), RECORDS, 'records by kafka-python')
    c.commit()
    c.close()
    lib.equal(describe(broker, 'g-python')['group_state'], 'Empty', 'its group after leaving')


def test_kcat(t, broker):
    topic = t.topic('kcat')
    wire.create_topic(broker.bootstrap, topic, PARTITIONS)
    fill(broker, topic)
    p = subprocess.run(['kcat', '-b', broker.bootstrap, '-G', 'g-kcat', '-q', '-e', '-X', 'auto.offset.reset=earliest',
                        topic], capture_output=True, timeout=40)
    lib.equal(len(set(p.stdout.split())), RECORDS, 'records by kcat -G: %s' % p.stderr[-300:])


def test_reset_modes(t, cli, topic):
    """What kafka-consumer-groups can, by its names and by ours."""
    def now(*words, group='g-cli'):
        return [o['now'] for o in sorted(cli('group', 'reset', group, *words), key=lambda o: o['partition'])]
    each = RECORDS // PARTITIONS
    whole = [each] * PARTITIONS
    lib.equal(now('--to-offset', '10', '--execute'), [10] * PARTITIONS, '--to-offset')
    lib.equal(now('--shift-by', '5', '--execute'), [15] * PARTITIONS, '--shift-by 5')
    lib.equal(now('--shift-by', '-100000'), [0] * PARTITIONS, '--shift-by to before the beginning')
    lib.equal(now('--to', 'current'), [15] * PARTITIONS, '--to current')
    lib.equal(now('--to-current', '--dry-run', '--all-topics'), [15] * PARTITIONS, '--to-current')
    lib.equal(now('--to-earliest'), [0] * PARTITIONS, '--to-earliest')
    lib.equal(now('--to-latest'), whole, '--to-latest')
    lib.equal(now('--by-duration', 'PT24H'), [0] * PARTITIONS, '--by-duration')
    lib.equal(now('--to-datetime', '2020-01-01T00:00:00.000'), [0] * PARTITIONS, '--to-datetime')
    lib.equal(now('--to-datetime', '2100-01-01'), whole, '--to-datetime in the future')
    lib.equal(now('--to-current', '--topic', topic, group='g-new'), whole, '--to-current of what is not committed')
    plan = t.path('plan.csv')
    with open(plan, 'w') as f:
        f.write('%s,0,3\r\n\n%s,1,999999999\n' % (topic, topic))
    lib.equal(now('--from-file', plan, '--execute'), [3, each], '--from-file')
    for words, why in ((('--shift-by', '1', '--topic', topic), 'nothing is committed there'), (('--from-file', __file__), 'expected TOPIC'),
                       (('--to', '1', '--topic', topic + ':77'), 'no such partition'), (('--from-file', plan + '.none'), 'opened'),
                       (('--to-latest', '--to-earliest'), 'only one of'), (('--by-duration', 'soon'), 'expected a time'),
                       (('--to-latest', '--export', '--execute'), 'changes nothing')):
        err = cli('group', 'reset', 'g-new', *words, ok=False)
        lib.check(why in err, '%r: %s' % (words, err))


def test_export(broker, topic):
    """What --export prints is a plan for --from-file."""
    out = lib.run(lib.MILLRACE, '--bootstrap-server', broker.bootstrap, 'group', 'reset', 'g-cli', '--to-current', '--export')[1]
    lines = sorted(line.split(',') for line in out.decode().splitlines())
    lib.equal([[n, p] for n, p, _ in lines], [[topic, str(p)] for p in range(PARTITIONS)], 'a plan')


def test_balance(cli, broker, topic):
    """All that is behind is in one partition; nobody reads."""
    def explain(window):
        return cli('group', 'explain', 'g-cli', '--admin', '127.0.0.1:%d' % broker.metrics_port, '--window', window)
    cli('group', 'reset', 'g-cli', '--to', 'end', '--execute')
    lib.run(lib.MILLRACE, '--bootstrap-server', broker.bootstrap, 'produce', topic, '--partition', '1',
            stdin=b''.join(b'%d\n' % i for i in range(90)))
    out = explain('100ms')['balance']
    lib.equal([out['lag'], out['lag_imbalance'], out['partitions'][0]['partition']], [90, PARTITIONS, 1], 'how even: %r' % out)
    lib.check(0.1 <= out['seconds'] < 30 and out['committed_per_s'] == 0, 'the window: %r' % out)
    lib.check('balance' not in explain('0'), 'no window')
    text = lib.run(lib.MILLRACE, '--bootstrap-server', broker.bootstrap, 'group', 'explain', 'g-cli', '--admin',
                   '127.0.0.1:%d' % broker.metrics_port)[1].decode()
    lib.check('has 100 % of it' in text and 'nobody has that partition' in text, 'the text: ' + text)


def test_cli(t, broker):
    topic = t.topic('cli')
    wire.create_topic(broker.bootstrap, topic, PARTITIONS)
    fill(broker, topic)
    c = consumer(broker, 'g-cli')
    seen = []
    c.subscribe([topic])
    poll([c], lambda: len(set(seen)) == RECORDS, 'every record', seen=seen)
    c.commit(asynchronous=False)

    def cli(*words, ok=True):
        status, out, err = lib.run(lib.MILLRACE, '--bootstrap-server', broker.bootstrap, '--json', *words, ok=False)
        lib.check((status == 0) == ok, 'millrace %s: status %d: %s' % (' '.join(words), status, err))
        return json.loads(out) if ok else err
    lib.check(['g-cli', 'Stable'] in [[g['group'], g['state']] for g in cli('group', 'list')], 'g-cli is listed')
    out = cli('group', 'describe', 'g-cli')
    lib.equal([sum(o['lag'] for o in out['offsets']), len(out['members'])], [0, 1], 'lag and members')
    lib.check(all(o['member'] == out['members'][0]['member'] for o in out['offsets']), 'the member has all partitions')
    lib.check('members' in cli('group', 'reset', 'g-cli', '--to', 'beginning', '--execute', ok=False), 'reset is refused')
    lib.check('members' in cli('group', 'delete', 'g-cli', ok=False), 'delete is refused')
    out = cli('group', 'explain', 'g-cli', '--admin', '127.0.0.1:%d' % broker.metrics_port)
    lib.equal(out['rebalances'][0]['cause'], 'the first member joined', 'why it rebalanced')
    pauses = out['rebalances'][-1]['pauses']
    lib.check([p['member'] for p in pauses] == [cli('group', 'describe', 'g-cli')['members'][0]['member']] and
              pauses[0]['ms'] > 0, 'who paused: %r' % pauses)
    c.close()
    out = cli('group', 'reset', 'g-cli', '--to', '-7', '--topic', topic + ':1')
    lib.equal([o['now'] for o in out], [RECORDS // PARTITIONS - 7], 'what a reset would do')
    cli('group', 'reset', 'g-cli', '--to', 'beginning', '--execute')
    lib.equal(sum(o['lag'] for o in cli('group', 'describe', 'g-cli')['offsets']), RECORDS, 'lag after the reset')
    test_reset_modes(t, cli, topic)
    test_export(broker, topic)
    test_balance(cli, broker, topic)
    lib.equal(cli('group', 'delete', 'g-cli', '--topic', topic + ':0')['deleted'], [dict(topic=topic, partition=0)], 'one partition')
    lib.check('nothing is committed' in cli('group', 'delete', 'g-cli', '--topic', topic + ':0', ok=False), 'again')
    lib.equal(len(cli('group', 'delete', 'g-cli', '--topic', topic)['deleted']), PARTITIONS - 1, 'the topic')
    lib.equal(cli('group', 'delete', 'g-cli'), {'deleted': ['g-cli']}, 'delete')
    lib.check('no such group' in cli('group', 'describe', 'g-cli', ok=False), 'a deleted group')


def test(t):
    broker = t.broker(workers=3, settings={'node.id': '1', 'group.initial.rebalance.delay.ms': '0'})
    for strategy in ('range', 'cooperative-sticky'):
        test_strategy(t, broker, strategy)
    test_static(t, broker)
    test_kafka_python(t, broker)
    test_kcat(t, broker)
    test_cli(t, broker)


lib.main(test)
