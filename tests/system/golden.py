"""golden.py - whole answers beside those of Apache Kafka 4.3.1, field by field, without an Apache Kafka at hand.

A script (c_admin, c_errors, ...) gathers `answers`: {row: answer as wire.py reads it}. Here they are freed of what
differs from run to run and compared with golden/SCRIPT.txt, the answers of an Apache Kafka to the same script. Where
ours are others on purpose, differences.md lists row, field and reason: an unlisted difference fails, and so does a
listed one that is no more.

    make test-kafka                 the scripts against a live Apache Kafka: is golden/ still what it answers?
    CAPTURE=1 make test-kafka       writes golden/ anew

golden/SCRIPT.txt has one row per line, `name<TAB>JSON`.
"""
import fnmatch
import json
import os
import re
import time

import lib

FOLDER = os.path.join(lib.HERE, 'golden')
LISTED = os.path.join(lib.HERE, 'differences.md')
MEMBER = re.compile(r'.*-[0-9a-zA-Z_-]{22}|.*-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')
PLACES = re.compile(r'(/\S*/data\b)|127\.0\.0\.1:\d+')
TIMES = re.compile(r'-?\b(922337[01]\d{12}|1[7-9]\d{11})\b')
# Fields whose value says nothing about the protocol: they hold the machine, the clock or chance.
DROPPED = {'throttle_time_ms', 'port', 'total_bytes', 'usable_bytes', 'offset_lag', 'records_count'}
HIDDEN = {'cluster_id', 'log_dir', 'producer_id', 'session_id', 'last_fetch_timestamp', 'last_caught_up_timestamp',
          'finalized_features_epoch', 'leader_epoch', 'last_timestamp', 'controller_epoch', 'log_end_offset',
          'high_watermark', 'broker_epoch', 'leader_directory_id'}
KEYS = ('name', 'topic_name', 'group_id', 'partition_index', 'api_key', 'feature', 'node_id', 'broker_id')


class Normal:
    """One script's answers without what differs from run to run."""

    def __init__(self, ids=None, hidden=(), shown=()):
        self.ids, self.members, self.hidden = dict(ids or {}), {}, (HIDDEN | set(hidden)) - set(shown)
        self.zero = bytes(16)

    def of(self, value, name=''):
        if isinstance(value, dict):
            return {k: self.of(v, k) for k, v in sorted(value.items()) if k not in DROPPED}
        if isinstance(value, list):
            return self.of_list([self.of(v, name) for v in value])
        if name in self.hidden and value not in (None, '', 0, -1, self.zero):
            return 'some'
        if isinstance(value, bytes):
            return self.of_bytes(value, name)
        if isinstance(value, str) and (MEMBER.fullmatch(value) or name == 'member_id' and len(value) == 22):
            return self.members.setdefault(value, 'member %d' % len(self.members))
        if isinstance(value, str):
            return TIMES.sub('a time', PLACES.sub(lambda m: 'dir' if m[1] else '127.0.0.1:port', value))
        if isinstance(value, int) and abs(value - time.time() * 1000) < 86400000 * 2:
            return 'now'
        return value

    def of_bytes(self, value, name):
        if value in self.ids:
            return 'id of ' + self.ids[value]
        if len(value) == 16 and 'id' in name.split('_'):
            return {self.zero: 'no id', bytes(range(16)): 'a strange id'}.get(value, 'some id')
        if name == 'records':
            return '%d bytes' % len(value)
        return value.hex()

    def of_list(self, values):
        """By key where there is one, since Apache Kafka's order is that of hash tables; else sorted."""
        for key in KEYS:
            if values and all(isinstance(v, dict) and v.get(key) not in (None, '') for v in values) and \
               len({v[key] for v in values}) == len(values):
                return {str(v[key]): {k: x for k, x in v.items() if k != key}
                        for v in sorted(values, key=lambda v: str(v[key]))}
        return sorted(values, key=lambda v: json.dumps(v, sort_keys=True))


def leaves(value, path=''):
    """-> {path: value}; empty lists and structs are leaves."""
    if isinstance(value, dict) and value:
        return {p: v for k, x in value.items() for p, v in leaves(x, '%s.%s' % (path, k) if path else k).items()}
    if isinstance(value, list) and value:
        return {p: v for i, x in enumerate(value) for p, v in leaves(x, '%s[%d]' % (path, i)).items()}
    return {path: value}


def load(script):
    path = os.path.join(FOLDER, script + '.txt')
    lib.check(os.path.exists(path), '%s is not there: CAPTURE=1 make test-kafka' % path)
    with open(path, encoding='utf-8') as f:
        return {name: json.loads(text) for name, text in (line.rstrip('\n').split('\t', 1) for line in f)}


def write(script, answers):
    with open(os.path.join(FOLDER, script + '.txt'), 'w', encoding='utf-8') as f:
        for name, answer in answers.items():
            f.write('%s\t%s\n' % (name, json.dumps(answer, sort_keys=True, ensure_ascii=False)))


def listed(script):
    """-> [(row pattern, field pattern, line number or None)] of differences.md: chapter `## everywhere`, whose entries need not
    be seen by each script, then chapter `## SCRIPT`."""
    out, chapter = [], None
    with open(LISTED, encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            if line.startswith('## '):
                chapter = line[3:].strip()
            elif chapter in (script, 'everywhere') and line.startswith('| `'):
                cells = [c.strip() for c in line.strip().strip('|').split('|')]
                lib.check(len(cells) == 3 and all(cells), 'differences.md:%d: row, field, reason' % number)
                out.append((cells[0].strip('`'), cells[1].strip('`'), number if chapter == script else None))
    return out


def matches(text, pattern):
    """* stands for anything; brackets stand for themselves."""
    return fnmatch.fnmatchcase(text, pattern.replace('[', '[[]'))


def short(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 160 else text[:157] + '...'


def differences(ours, theirs):
    """-> [(row, field, ours, theirs)]"""
    out = []
    for name in list(theirs) + [n for n in ours if n not in theirs]:
        if name not in ours or name not in theirs:
            out.append((name, 'row', name in ours, name in theirs))
            continue
        a, b = leaves(ours[name]), leaves(theirs[name])
        out += [(name, path, a.get(path, 'absent'), b.get(path, 'absent'))
                for path in sorted(set(a) | set(b)) if a.get(path, 'absent') != b.get(path, 'absent')]
    return out


def compare(t, script, answers):
    """-> the lines of what is wrong. An Apache Kafka may differ from golden/ in what is listed too: there it does not
    always answer the same (expressions), or the reason is its own."""
    if lib.APACHE and os.environ.get('CAPTURE'):
        write(script, answers)
        t.say('golden/%s.txt has %d rows' % (script, len(answers)))
        return []
    wrong, used, known = [], set(), listed(script)
    found = differences(answers, load(script))
    for name, path, ours, theirs in found:
        entries = [e for e in known if matches(name, e[0]) and matches(path, e[1])]
        used.update(entries)
        if not entries:
            wrong.append('%s: %s: here %s, Apache Kafka %s' % (name, path, short(ours), short(theirs)))
    for entry in known:
        if entry not in used and entry[2] is not None and not lib.APACHE:
            wrong.append('differences.md:%d lists %s %s, but nothing differs there' % (entry[2], entry[0], entry[1]))
    t.say('%d answers compared field by field with those of Apache Kafka, %d fields differ as listed' % (
        len(answers), len(found)))
    return wrong
