"""apache.py - an Apache Kafka (KRaft, broker and controller in one process) with the face of lib.Broker.

With SYSTEM_KAFKA=1 every test that asks for a broker gets one of these, on its own directory and ports.
"""
import os
import signal
import subprocess

import kafka_java
import lib
import wire

CLUSTER = 'bWlsbHJhY2UtdGVzdHMtMQ'
OURS = ('dataplane.', 'storage.', 'admin.', 'groups.', 'connections.')


class Broker:
    def __init__(self, test, settings=None):
        kafka_java.want(test)
        self.test, self.process = test, None
        self.directory = os.path.join(test.directory, 'apache-%d' % len(test.brokers))
        os.mkdir(self.directory)
        self.data = os.path.join(self.directory, 'data')
        self.port, self.controller = lib.free_port(), lib.free_port()
        self.bootstrap = '127.0.0.1:%d' % self.port
        self.log_path = os.path.join(self.directory, 'log')
        self.settings = {
            'process.roles': 'broker,controller', 'node.id': '1', 'log.dirs': self.data,
            'controller.quorum.voters': '1@127.0.0.1:%d' % self.controller, 'controller.listener.names': 'CONTROLLER',
            'listeners': 'PLAINTEXT://%s,CONTROLLER://127.0.0.1:%d' % (self.bootstrap, self.controller),
            'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT', **lib.ONE_NODE}
        self.settings.update({k: str(v) for k, v in (settings or {}).items() if not k.startswith(OURS)})

    @property
    def pid(self):
        return self.process.pid

    def start(self, wait=True):
        path = os.path.join(self.directory, 'server.properties')
        with open(path, 'w') as f:
            f.writelines('%s=%s\n' % kv for kv in self.settings.items())
        with open(self.log_path, 'ab') as log:
            if not os.path.exists(os.path.join(self.data, 'meta.properties')):
                subprocess.run(kafka_java.command('kafka.tools.StorageTool', 'format', '-t', CLUSTER, '-c', path),
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, timeout=120)
            self.process = self.test.spawn(*kafka_java.command('kafka.Kafka', path), stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log)
        if wait:
            lib.wait_until(self.answers, 120, 'Apache Kafka answers')
        return self

    def answers(self):
        lib.check(self.is_running(), 'Apache Kafka ended at its start')
        try:
            with wire.Conn(self.bootstrap, timeout=2) as c:
                return bool(c.call('Metadata', 12, topics=[])['brokers'])
        except (OSError, ValueError):
            return False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cleanup(self):
        if self.is_running():
            self.kill()

    def log(self):
        with open(self.log_path, 'rb') as f:
            return f.read().decode('utf-8', 'replace')
