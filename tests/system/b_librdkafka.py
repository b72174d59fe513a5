"""librdkafka's C API (librdkafka_client.c): idempotent producer, headers, timestamps, assigned consumer, offsets."""
import os

import lib
import wire


def test(t):
    lib.need('gcc')
    program = t.path('client')
    status, _, err = lib.run('gcc', '-O1', '-Wall', '-Wextra', '-Werror', os.path.join(lib.HERE, 'librdkafka_client.c'),
                             '-lrdkafka', '-o', program, ok=False)
    lib.check(status == 0, 'librdkafka_client.c does not build (librdkafka-dev; tools/setup): %s' % err[-500:])
    broker = t.broker(workers=3)
    for codec in lib.CODECS:
        topic = t.topic('librdkafka-' + codec)
        # The records carry timestamps of years ago.
        wire.create_topic(broker.bootstrap, topic, partitions=3, configs={'retention.ms': '-1'})
        _, out, _ = lib.run(program, broker.bootstrap, topic, codec)
        t.say(out.decode().strip())


lib.main(test)
