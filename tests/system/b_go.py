"""franz-go produces with its idempotent producer and reads back what it wrote (go/main.go)."""
import os
import shutil
import subprocess

import lib

MODULE = 'github.com/twmb/franz-go'
VERSIONS = ('v1.18.0', 'v1.9.0')  # of the client and of its pkg/kmsg


def build(t):
    """-> the program, made in build/franz-go; skips when the modules cannot be had."""
    folder = os.path.join(lib.ROOT, 'build', 'franz-go')
    program = os.path.join(folder, 'client')
    os.makedirs(folder, exist_ok=True)
    shutil.copy(os.path.join(lib.HERE, 'go', 'main.go'), folder)
    with open(os.path.join(folder, 'go.mod'), 'w') as f:
        f.write('module client\n\ngo 1.21\n\nrequire (\n\t%s %s\n\t%s/pkg/kmsg %s\n)\n' %
                (MODULE, VERSIONS[0], MODULE, VERSIONS[1]))
    env = dict(os.environ, GOFLAGS='-mod=mod', CGO_ENABLED='0')
    for command in (['go', 'mod', 'tidy'], ['go', 'build', '-o', program, '.']):
        try:
            p = subprocess.run(command, cwd=folder, env=env, capture_output=True, timeout=120)
        except subprocess.TimeoutExpired:
            lib.skip('%s did not end within 120 s' % ' '.join(command))
        if p.returncode != 0:
            text = p.stderr.decode('utf-8', 'replace')
            lib.check('main.go' not in text, 'go/main.go does not build: %s' % text)
            lib.skip('%s: %s' % (' '.join(command), lib.tail(p.stderr, 1)))
    return program


def test(t):
    lib.want('go')
    program = build(t)
    broker = t.broker(workers=3)
    _, out, _ = lib.run(program, broker.bootstrap, t.topic('franz-go'))
    t.say('franz-go %s: %s' % (VERSIONS[0], out.decode().strip()))


lib.main(test)
