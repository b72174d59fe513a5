"""Node clients: kafkajs and @platformatic/kafka (node/): topics, idempotent producers, a group, commits, a seek, admin.

matrix.py looks at what is left.
"""
import os
import shutil
import subprocess

import lib
import matrix

RECORDS = 3000
CLIENTS = (('kafkajs', '2.2.4', 'kafkajs.js'), ('@platformatic/kafka', '1.35.0', 'platformatic.mjs'))


def fetch(package, version, program):
    """-> a folder in build/ with the client and its package; skips when npm cannot bring it."""
    folder = os.path.join(lib.ROOT, 'build', 'node-clients', package.strip('@').replace('/', '-'))
    os.makedirs(folder, exist_ok=True)
    shutil.copy(os.path.join(lib.HERE, 'node', program), folder)
    if not os.path.isdir(os.path.join(folder, 'node_modules', package)):
        lib.want('npm')
        try:
            p = subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--prefix', folder, package + '@' + version],
                               capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            lib.skip('npm did not bring %s within 60 s' % package)
        if p.returncode != 0:
            lib.skip('npm could not bring %s: %s' % (package, lib.tail(p.stderr, 1)))
    return folder


def test(t):
    lib.want('node')
    folders = [fetch(*client) for client in CLIENTS]
    broker = t.broker(workers=3, settings={'group.initial.rebalance.delay.ms': '0'})
    for folder, (package, version, program) in zip(folders, CLIENTS):
        topic = t.topic(program.split('.')[0])
        _, out, _ = lib.run('node', os.path.join(folder, program), broker.bootstrap, topic, topic + '-group', timeout=90)
        matrix.check(broker, topic, topic + '-group', RECORDS)
        t.say('%s %s: %s' % (package, version, out.decode().strip()))


lib.main(test)
