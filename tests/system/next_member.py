"""next_member.py - one member of a group, run by members.py with a librdkafka that has the protocol of KIP-848.

    next_member.py BOOTSTRAP GROUP TOPIC [--instance ID] [--protocol consumer | range | cooperative-sticky]
Prints what happens, one event a line: "seen TIME PARTITION OFFSET", "committed TIME PARTITION OFFSET" (after the broker's
answer), "assigned N", "revoked N", "refused TEXT". SIGTERM: it leaves the group and ends.
"""
import argparse
import signal
import time

from confluent_kafka import Consumer, KafkaException

BATCH = 20


def say(*words):
    print(*words, flush=True)


def main():
    parser = argparse.ArgumentParser()
    for name in ('bootstrap', 'group', 'topic', '--instance'):
        parser.add_argument(name)
    parser.add_argument('--protocol', default='consumer')
    a = parser.parse_args()
    running = [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    settings = {'bootstrap.servers': a.bootstrap, 'group.id': a.group, 'auto.offset.reset': 'earliest',
                'enable.auto.commit': False}
    if a.protocol == 'consumer':
        settings['group.protocol'] = 'consumer'
    else:
        settings.update({'partition.assignment.strategy': a.protocol, 'session.timeout.ms': 6000,
                         'heartbeat.interval.ms': 500})
    if a.instance:
        settings['group.instance.id'] = a.instance
    consumer = Consumer(settings)
    seen = {}

    def commit():
        try:
            for p in consumer.commit(asynchronous=False) or () if seen else ():
                if p.error is None and p.offset >= 0:
                    say('committed', time.monotonic_ns(), p.partition, p.offset)
        except KafkaException as e:
            say('refused', e)
        seen.clear()

    def revoked(_, partitions):
        commit()
        say('revoked', len(partitions))

    consumer.subscribe([a.topic], on_assign=lambda _, p: say('assigned', len(p)), on_revoke=revoked,
                       on_lost=lambda _, p: say('lost', len(p)))
    while running:
        for message in consumer.consume(BATCH, 0.1):
            if message.error() is not None:
                say('refused', message.error())
                continue
            say('seen', time.monotonic_ns(), message.partition(), message.offset())
            seen[message.partition()] = message.offset()
        commit()
    consumer.close()
    say('closed')


main()
