"""The acceptance exam beside the checkout (../shared/exam or EXAM_DIR), the parts that a broker without groups serves."""
import os

import lib

PARTS = ('01', '04', '06', '10')


def test(t):
    exam = os.environ.get('EXAM_DIR', os.path.join(os.path.dirname(lib.ROOT), 'shared', 'exam'))
    if not os.path.isdir(exam):
        exam = os.path.join(os.path.dirname(os.path.dirname(lib.ROOT)), 'shared', 'exam')
    if not os.path.exists(os.path.join(exam, 'run-all')):
        lib.skip('no exam beside the checkout')
    broker = t.broker(workers=3, settings={'group.initial.rebalance.delay.ms': '0'})
    env = dict(os.environ, BOOTSTRAP=broker.bootstrap, OUT=t.path('out'), LIMIT='120',
               EXAM_SCALE='1' if lib.FULL else '0.2', N='100000' if lib.FULL else '20000')
    if not lib.PEER:
        env['BROKER_PID'] = str(broker.pid)
    parts = os.environ.get('EXAM_PARTS', ' '.join(PARTS)).split()
    status, out, _ = lib.run(os.path.join(exam, 'run-all'), *parts, env=env, timeout=600, ok=False)
    print(out.decode())
    failed = [line for line in out.decode().splitlines() if line.startswith('FAIL')]
    lib.check(status == 0, '; '.join(failed) or 'status %d' % status)


lib.main(test)
