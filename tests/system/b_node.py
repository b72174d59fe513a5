"""kafkajs creates a topic, produces with its idempotent producer, asks for offsets (node/client.js).

Its consumer knows only groups: it takes part when the broker lists JoinGroup. Without groups kcat reads back.
"""
import os
import shutil
import subprocess

import lib
import wire

VERSION = '2.2.4'
JOIN_GROUP = 11


def fetch():
    """-> a folder with the client and kafkajs, in build/; skips when npm cannot bring it."""
    folder = os.path.join(lib.ROOT, 'build', 'kafkajs')
    os.makedirs(folder, exist_ok=True)
    shutil.copy(os.path.join(lib.HERE, 'node', 'client.js'), folder)
    if not os.path.isdir(os.path.join(folder, 'node_modules', 'kafkajs')):
        lib.want('npm')
        try:
            p = subprocess.run(['npm', 'install', '--no-audit', '--no-fund', '--prefix', folder, 'kafkajs@' + VERSION],
                               capture_output=True, timeout=60)
        except subprocess.TimeoutExpired:
            lib.skip('npm did not bring kafkajs within 60 s')
        if p.returncode != 0:
            lib.skip('npm could not bring kafkajs: %s' % lib.tail(p.stderr, 1))
    return folder


def test(t):
    lib.want('node')
    folder = fetch()
    broker = t.broker(workers=3)
    with wire.Conn(broker.bootstrap) as c:
        has_groups = JOIN_GROUP in [k['api_key'] for k in c.call('ApiVersions', 0)['api_keys']]
    _, out, _ = lib.run('node', os.path.join(folder, 'client.js'), broker.bootstrap, t.topic('kafkajs'),
                        'groups' if has_groups else 'none')
    t.say('kafkajs %s: %s%s' % (VERSION, out.decode().strip(), '' if has_groups else ' (no groups: not consumed)'))


lib.main(test)
