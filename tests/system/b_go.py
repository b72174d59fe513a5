"""Go clients: franz-go with each of its balancers, sarama, segmentio/kafka-go (go/*/main.go).

Each produces, consumes in a group, commits, seeks and uses its admin side; matrix.py looks at what is left.
"""
import os
import shutil
import subprocess

import lib
import matrix

RECORDS = 6000
CLIENTS = {'franz': 'franz-go', 'sarama': 'sarama', 'kafkago': 'segmentio/kafka-go'}
MODULES = {
    'github.com/twmb/franz-go': 'v1.18.0', 'github.com/twmb/franz-go/pkg/kmsg': 'v1.9.0',
    'github.com/IBM/sarama': 'v1.50.3', 'github.com/segmentio/kafka-go': 'v0.4.51',
}


def build(t):
    """-> the folder of the programs, made in build/go-clients; skips when the modules cannot be had."""
    folder = os.path.join(lib.ROOT, 'build', 'go-clients')
    for client in CLIENTS:
        os.makedirs(os.path.join(folder, client), exist_ok=True)
        shutil.copy(os.path.join(lib.HERE, 'go', client, 'main.go'), os.path.join(folder, client))
    mod = 'module clients\n\ngo 1.21\n\nrequire (\n%s)\n' % ''.join('\t%s %s\n' % m for m in MODULES.items())
    kept = os.path.join(folder, 'modules')  # what the go.mod there, which go itself completes, was made from
    if not os.path.exists(kept) or open(kept).read() != mod:
        for path in ('go.mod', 'modules'):
            with open(os.path.join(folder, path), 'w') as f:
                f.write(mod)
    env = dict(os.environ, GOFLAGS='-mod=mod', CGO_ENABLED='0')
    try:
        p = subprocess.run(['go', 'build', '-o', folder + '/bin/', './...'], cwd=folder, env=env, capture_output=True,
                           timeout=140)
    except subprocess.TimeoutExpired:
        lib.skip('go build did not end within 140 s')
    if p.returncode != 0:
        text = p.stderr.decode('utf-8', 'replace')
        lib.check('main.go:' not in text, 'go/ does not build: %s' % text)
        os.unlink(kept)
        lib.skip('go build: %s' % lib.tail(p.stderr, 1))
    return os.path.join(folder, 'bin')


def test(t):
    lib.want('go')
    folder = build(t)
    broker = t.broker(workers=3, settings={'group.initial.rebalance.delay.ms': '0'})
    for client, name in CLIENTS.items():
        topic = t.topic(client)
        _, out, _ = lib.run(os.path.join(folder, client), broker.bootstrap, topic, topic + '-group', timeout=90)
        matrix.check(broker, topic, topic + '-group', RECORDS)
        t.say('%s: %s' % (name, out.decode().strip()))


lib.main(test)
