"""matrix_python.py CLIENT BOOTSTRAP TOPIC GROUP - one Python client's part of b_python.py, run by the Python that has it.

CLIENT is confluent (librdkafka) or kafka_python; the first line printed is its version. `confluent consumer` joins by
the protocol of KIP-848.
"""
import sys
import time

PARTITIONS, RECORDS = 3, 3000
PER = RECORDS // PARTITIONS
LIMIT_S = 60


def check(offset, partition, key, value, headers):
    i = b'%d' % (offset * PARTITIONS + partition)
    if (key, value, headers) != (b'k' + i, b'v' + i, [('n', i)]):
        raise SystemExit('record %s came back as %r %r %r' % (i, key, value, headers))


def confluent(bootstrap, topic, group, protocol):
    import confluent_kafka as ck
    import confluent_kafka.admin as ca
    print('librdkafka', ck.libversion()[0])
    common = {'bootstrap.servers': bootstrap}
    admin = ca.AdminClient(common)
    for f in admin.create_topics([ca.NewTopic(topic, PARTITIONS, 1, config={'retention.ms': '7200000'})]).values():
        f.result(20)
    failures = []
    producer = ck.Producer({**common, 'enable.idempotence': True, 'compression.type': 'lz4', 'linger.ms': 5})
    for i in range(RECORDS):
        producer.produce(topic, b'v%d' % i, b'k%d' % i, i % PARTITIONS, headers=[('n', b'%d' % i)],
                         on_delivery=lambda e, _: failures.append(e) if e else None)
        producer.poll(0)
    if producer.flush(30) or failures:
        raise SystemExit('not delivered: %s' % failures[:3])
    options = {**common, 'group.id': group, 'auto.offset.reset': 'earliest', 'enable.auto.commit': False}
    strategies = ('range', 'roundrobin', 'cooperative-sticky')
    runs = [{'group.protocol': 'consumer'}] if protocol else [{'partition.assignment.strategy': s} for s in strategies]
    for n, run in enumerate(runs):
        one = {**options, **run, 'group.id': group if n == 0 else '%s-%d' % (group, n)}
        consumer = ck.Consumer(one)
        consumer.subscribe([topic])
        confluent_read(ck, consumer, RECORDS)
        consumer.commit(asynchronous=False)
        consumer.seek(ck.TopicPartition(topic, 0, PER - 10))
        confluent_read(ck, consumer, 10)
        consumer.commit(offsets=[ck.TopicPartition(topic, p, PER) for p in range(PARTITIONS)], asynchronous=False)
        committed = consumer.committed([ck.TopicPartition(topic, p) for p in range(PARTITIONS)], 20)
        if [p.offset for p in committed] != [PER] * PARTITIONS:
            raise SystemExit('committed: %s' % committed)
        consumer.close()
    if topic not in admin.list_topics(timeout=20).topics:
        raise SystemExit('the topic is not listed')
    resource = ca.ConfigResource(ca.ConfigResource.Type.TOPIC, topic)
    if admin.describe_configs([resource])[resource].result(20)['retention.ms'].value != '7200000':
        raise SystemExit('retention.ms is not described')


def confluent_read(ck, consumer, n):
    end = time.monotonic() + LIMIT_S
    while n > 0:
        m = consumer.poll(1.0)
        if m is not None and m.error():
            raise SystemExit('poll: %s' % m.error())
        if m is not None:
            check(m.offset(), m.partition(), m.key(), m.value(), m.headers())
            n -= 1
        if time.monotonic() > end:
            raise SystemExit('%d records are missing' % n)


def kafka_python(bootstrap, topic, group, protocol):
    import kafka
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic
    print('kafka-python', kafka.__version__)
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])
    producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, acks='all', compression_type='gzip', linger_ms=5)
    sent = [producer.send(topic, b'v%d' % i, b'k%d' % i, [('n', b'%d' % i)], i % PARTITIONS) for i in range(RECORDS)]
    producer.flush(30)
    for f in sent:
        f.get(30)
    consumer = kafka.KafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=group, auto_offset_reset='earliest',
                                   enable_auto_commit=False)
    kafka_python_read(consumer, RECORDS)
    consumer.commit()
    first = kafka.TopicPartition(topic, 0)
    consumer.seek(first, PER - 10)
    kafka_python_read(consumer, 10)
    consumer.commit()
    if [consumer.committed(kafka.TopicPartition(topic, p)) for p in range(PARTITIONS)] != [PER] * PARTITIONS:
        raise SystemExit('what was committed is not what is told')
    if consumer.end_offsets([first])[first] != PER or consumer.beginning_offsets([first])[first] != 0:
        raise SystemExit('ends: %r' % consumer.end_offsets([first]))
    consumer.close()
    if topic not in admin.list_topics():
        raise SystemExit('the topic is not listed')
    admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])


def kafka_python_read(consumer, n):
    end = time.monotonic() + LIMIT_S
    while n > 0:
        for records in consumer.poll(timeout_ms=500).values():
            for r in records:
                check(r.offset, r.partition, r.key, r.value, list(r.headers))
                n -= 1
        if time.monotonic() > end:
            raise SystemExit('%d records are missing' % n)


if __name__ == '__main__':
    {'confluent': confluent, 'kafka_python': kafka_python}[sys.argv[1]](
        sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5:] == ['consumer'])
    print('%d records' % RECORDS)
