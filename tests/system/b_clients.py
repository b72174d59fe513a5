"""kafka-clients 4.3: idempotent producer, consumers with every assignor and both protocols of groups (commit, seek, pause,
offsets for times), static members, expressions; transactions and share groups are refused. java/Clients.java says what.
"""
import time

import kafka_java
import lib

SETTINGS = {'group.consumer.min.heartbeat.interval.ms': 500, 'group.consumer.heartbeat.interval.ms': 500,
            'group.initial.rebalance.delay.ms': 0, 'offsets.topic.num.partitions': 4, 'auto.create.topics.enable': 'false'}
PARTS = 13


def test(t):
    kafka_java.compiled(t)
    broker = t.broker(workers=3, settings=SETTINGS)
    driver, told = kafka_java.Driver(t), 0
    driver.start('clients', 'Clients', broker.bootstrap)
    status = None
    while status is None:  # the run's own limit ends what hangs
        status, out, err = driver.read('clients')
        for line in out.split('\n')[told:-1]:
            t.say(line)
            told += 1
        time.sleep(0.1)
    lib.check(status == 0, 'status %s: %s' % (status, lib.tail(err.encode(), 30)))
    lib.equal(sum(line.startswith('ok ') for line in out.splitlines()), PARTS, 'parts that passed')


lib.main(test)
