"""next_member.py - one member of a KIP-848 group, run by b_next_groups.py with a librdkafka that has the protocol.

    next_member.py BOOTSTRAP GROUP TOPIC [INSTANCE]
Prints what happens, one event a line: "seen TIME PARTITION OFFSET", "committed TIME PARTITION OFFSET" (after the broker's
answer), "assigned N", "revoked N", "refused TEXT". SIGTERM: it leaves the group and ends.
"""
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException

BATCH = 20


def say(*words):
    print(*words, flush=True)


def main():
    bootstrap, group, topic = sys.argv[1:4]
    running = [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    settings = {'bootstrap.servers': bootstrap, 'group.id': group, 'group.protocol': 'consumer',
                'auto.offset.reset': 'earliest', 'enable.auto.commit': False}
    if len(sys.argv) > 4:
        settings['group.instance.id'] = sys.argv[4]
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

    consumer.subscribe([topic], on_assign=lambda _, p: say('assigned', len(p)), on_revoke=revoked,
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
