"""Python clients, Debian's and the current ones of PyPI: librdkafka 2.0 and a current one (confluent-kafka), kafka-python.

Each does the job of matrix_python.py; matrix.py looks at what is left. Debian's must be there; the others are fetched
with pip into build/python-clients, and when they cannot be had the test is skipped after Debian's have passed.
"""
import os
import subprocess
import sys

import lib
import matrix

RECORDS = 3000
VENV = os.path.join(lib.ROOT, 'build', 'python-clients')
PACKAGES = ('confluent-kafka==2.16.1', 'kafka-python==3.0.12')


def fetch(t):
    """-> the Python that has PyPI's clients, or None and why."""
    python, mark = os.path.join(VENV, 'bin', 'python'), os.path.join(VENV, 'has-' + '-'.join(PACKAGES))
    if os.path.exists(mark):
        return python, ''
    t.say('fetching %s with pip into %s' % (', '.join(PACKAGES), VENV))
    for command in ([sys.executable, '-m', 'venv', VENV], [python, '-m', 'pip', 'install', '-q', *PACKAGES]):
        try:
            p = subprocess.run(command, capture_output=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as e:
            return None, str(e)
        if p.returncode != 0:
            return None, lib.tail(p.stderr, 1) or lib.tail(p.stdout, 1)
    open(mark, 'w').close()
    return python, ''


def run(t, broker, python, client, name, *words):
    topic = t.topic('py-' + name)
    _, out, _ = lib.run(python, os.path.join(lib.HERE, 'matrix_python.py'), client, broker.bootstrap, topic,
                        topic + '-group', *words, timeout=100)
    matrix.check(broker, topic, topic + '-group', RECORDS)
    t.say('%s %s' % (' '.join(out.decode().split('\n')[:2]), ' '.join(words)))


def test(t):
    broker = t.broker(workers=3, settings={
        'group.initial.rebalance.delay.ms': '0', 'group.consumer.min.heartbeat.interval.ms': '500',
        'group.consumer.heartbeat.interval.ms': '500'})
    run(t, broker, sys.executable, 'confluent', 'rdkafka-debian')
    run(t, broker, sys.executable, 'kafka_python', 'kafka-python-debian')
    python, why = fetch(t)
    if python is None:
        lib.skip('Debian\'s clients passed; PyPI\'s cannot be had: %s' % why)
    run(t, broker, python, 'confluent', 'rdkafka-current')
    run(t, broker, python, 'confluent', 'rdkafka-current-848', 'consumer')
    run(t, broker, python, 'kafka_python', 'kafka-python-current')


if __name__ == '__main__':
    lib.main(test)
