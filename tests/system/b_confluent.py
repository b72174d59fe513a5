"""Debian's confluent_kafka: admin client, idempotent producer, headers and timestamps, an assigned consumer."""
import lib


def test_admin(t, broker, topic):
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic
    admin = AdminClient({'bootstrap.servers': broker.bootstrap})
    for future in admin.create_topics([NewTopic(topic, 4, 1, config={'retention.ms': '-1'})]).values():
        future.result(20)
    for future in admin.create_topics([NewTopic(topic, 4, 1)]).values():
        try:
            future.result(20)
            raise lib.Failed('the same topic could be created twice')
        except KafkaException as e:
            lib.equal(e.args[0].code(), 36, 'error of a topic that exists')
    listed = admin.list_topics(timeout=10).topics
    lib.equal(len(listed[topic].partitions), 4, 'partitions listed')
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    configs = admin.describe_configs([resource])[resource].result(20)
    lib.equal(configs['retention.ms'].value, '-1', 'retention.ms of the topic')
    lib.check('cleanup.policy' in configs, 'DescribeConfigs leaves cleanup.policy out: %s' % sorted(configs))
    # The same client is returned: futures of a collected one never end.
    return admin


def test_produce(broker, topic):
    from confluent_kafka import Producer
    failed, done = [], []
    producer = Producer({'bootstrap.servers': broker.bootstrap, 'enable.idempotence': True, 'linger.ms': 5,
                         'compression.type': 'lz4'})

    def delivered(error, message):
        (failed if error else done).append(error or (message.partition(), message.offset()))
    for i in range(2000):
        producer.produce(topic, key=b'k%d' % i, value=b'v%d' % i, partition=i % 4, timestamp=1700000000000 + i,
                         headers=[('h', b'x%d' % i), ('empty', b''), ('null', None)], on_delivery=delivered)
        producer.poll(0)
    producer.flush(30)
    lib.equal(failed[:3], [], 'failed deliveries')
    lib.equal(sorted(done), [(p, o) for p in range(4) for o in range(500)], 'offsets delivered')


def test_consume(broker, topic):
    from confluent_kafka import Consumer, TopicPartition
    consumer = Consumer({'bootstrap.servers': broker.bootstrap, 'group.id': 'none', 'enable.auto.commit': False,
                         'check.crcs': True})
    lib.equal(consumer.get_watermark_offsets(TopicPartition(topic, 1), timeout=10), (0, 500), 'watermarks')
    found = consumer.offsets_for_times([TopicPartition(topic, 2, 1700000000000 + 1002)], timeout=10)
    lib.equal(found[0].offset, 250, 'offset for a time')
    consumer.assign([TopicPartition(topic, p, 0) for p in range(4)])
    got = {}
    while len(got) < 2000:
        messages = consumer.consume(500, timeout=10)
        lib.check(messages, '%d of 2000 messages came, then none for 10 s' % len(got))
        for m in messages:
            lib.check(m.error() is None, 'consume: %s' % m.error())
            got[m.partition(), m.offset()] = (m.key(), m.value(), m.timestamp()[1], m.headers())
    for i in range(2000):
        expected = (b'k%d' % i, b'v%d' % i, 1700000000000 + i, [('h', b'x%d' % i), ('empty', b''), ('null', None)])
        lib.equal(got[i % 4, i // 4], expected, 'message %d' % i)
    consumer.close()


def test_delete(admin, topic):
    for future in admin.delete_topics([topic], operation_timeout=10).values():
        future.result(20)
    lib.wait_until(lambda: topic not in admin.list_topics(timeout=10).topics, 10, 'the topic is no longer listed')


def test(t):
    try:
        import confluent_kafka
    except ImportError as e:
        raise lib.Failed('python3-confluent-kafka is not installed (%s): run tools/setup' % e)
    t.say('confluent_kafka %s, librdkafka %s' % (confluent_kafka.version()[0], confluent_kafka.libversion()[0]))
    broker, topic = t.broker(workers=3), t.topic('confluent')
    admin = test_admin(t, broker, topic)
    test_produce(broker, topic)
    test_consume(broker, topic)
    test_delete(admin, topic)


lib.main(test)
