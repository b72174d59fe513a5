"""Debian's kafka-python 2.0.2: admin client, producer with gzip, an assigned consumer, offsets for times."""
import lib


def test_admin(broker, topic):
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
    from kafka.errors import InvalidTopicError, TopicAlreadyExistsError
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics([NewTopic(topic, 2, 1, topic_configs={'max.message.bytes': '2000000', 'retention.ms': '-1'})])
    for name, error in ((topic, TopicAlreadyExistsError), ('a name', InvalidTopicError)):
        try:
            admin.create_topics([NewTopic(name, 2, 1)])
            raise lib.Failed('the topic %r could be created' % name)
        except error:
            pass
    lib.check(topic in admin.list_topics(), 'the topic is not listed')
    answer = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])[0]
    configs = {entry[0]: entry[1] for entry in answer.resources[0][4]}
    lib.equal(configs['max.message.bytes'], '2000000', 'max.message.bytes of the topic')
    described = admin.describe_topics([topic])[0]
    lib.equal(len(described['partitions']), 2, 'partitions described')
    return admin


def test_produce(broker, topic):
    from kafka import KafkaProducer
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, acks='all', compression_type='gzip', linger_ms=5)
    sent = [producer.send(topic, key=b'k%d' % i, value=b'v%d' % i * 5, partition=i % 2, timestamp_ms=1600000000000 + i,
                          headers=[('n', b'%d' % i)]) for i in range(1000)]
    producer.flush(30)
    lib.equal([f.get(10).offset for f in sent], [i // 2 for i in range(1000)], 'offsets acknowledged')
    producer.close()


def test_consume(broker, topic):
    from kafka import KafkaConsumer, TopicPartition
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False, group_id=None,
                             consumer_timeout_ms=10000)
    partitions = [TopicPartition(topic, p) for p in (0, 1)]
    consumer.assign(partitions)
    lib.equal(consumer.beginning_offsets(partitions), {p: 0 for p in partitions}, 'beginning offsets')
    lib.equal(consumer.end_offsets(partitions), {p: 500 for p in partitions}, 'end offsets')
    found = consumer.offsets_for_times({partitions[0]: 1600000000000 + 400})
    lib.equal(found[partitions[0]].offset, 200, 'offset for a time')
    consumer.seek_to_beginning()
    got = {}
    for m in consumer:
        got[m.partition, m.offset] = (m.key, m.value, m.timestamp, m.headers)
        if len(got) == 1000:
            break
    for i in range(1000):
        expected = (b'k%d' % i, b'v%d' % i * 5, 1600000000000 + i, [('n', b'%d' % i)])
        lib.equal(got.get((i % 2, i // 2)), expected, 'message %d' % i)
    consumer.close()


def test(t):
    try:
        import kafka
    except ImportError as e:
        raise lib.Failed('python3-kafka is not installed (%s): run tools/setup' % e)
    t.say('kafka-python %s' % kafka.__version__)
    broker, topic = t.broker(workers=3), t.topic('kafka-python')
    admin = test_admin(broker, topic)
    test_produce(broker, topic)
    test_consume(broker, topic)
    admin.delete_topics([topic])
    lib.wait_until(lambda: topic not in admin.list_topics(), 10, 'the topic is no longer listed')


lib.main(test)
