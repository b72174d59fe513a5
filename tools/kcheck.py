#!/usr/bin/env python3
"""kcheck.py - our schemas against Kafka's own message definitions, every message at every version.

    kcheck.py DIR      DIR holds Kafka's *.json message files, in any folders below it
    kcheck.py ''       only checks our schemas against dataplane/proto/digests.txt

Kafka's JSON becomes the same Message, Struct and Field objects as our schemas; then the resolved text of each version
is compared: order, names, types, nullability, tags, defaults, classic or flexible, api key. Kafka's rules that matter:
a field without "versions" has its "taggedVersions"; "default": null (not "null") means no default; a struct of
"commonStructs" stands for its fields wherever it is used; versions are cut to those of the message.
"""
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import kgen

OURS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'dataplane', 'proto')
TYPES = {'int8': 'i8', 'int16': 'i16', 'int32': 'i32', 'int64': 'i64', 'uint16': 'u16', 'uint32': 'u32',
         'float64': 'f64', 'bool': 'bool', 'uuid': 'uuid', 'string': 'string', 'bytes': 'bytes',
         'records': 'records'}
COMMENT = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.S)


def json_read(path):
    with open(path, encoding='utf-8') as f:
        return json.loads(COMMENT.sub(lambda m: m.group(1) or '', f.read()))


def versions_of(text, low, high):
    """Kafka's "3", "3+", "3-5", "none", cut to low..high; None when nothing is left."""
    if text in (None, 'none'):
        return None
    m = re.fullmatch(r'(\d+)(?:-(\d+)|(\+))?', text)
    first = max(int(m[1]), low)
    last = min(int(m[2]) if m[2] else high if m[3] else int(m[1]), high)
    return (first, last) if first <= last else None


def default_of(field, base, is_array):
    """The default as our schemas write it: None for zero, empty, false."""
    text = field.get('default')
    if text is None:
        return None
    text = str(text)
    if text == 'null':
        return text
    if base in kgen.BITS or base in ('u16', 'u32'):
        return None if int(text, 0) == 0 else str(int(text, 0))
    if base == 'bool':
        return 'true' if text.lower() == 'true' else None
    if text != '' or is_array:
        raise SystemExit(f'{field["name"]}: the default {text!r} is not understood')
    return None


def struct_of(fields, common, low, high):
    struct = kgen.Struct('', low, high)
    for spec in fields:
        live = versions_of(spec.get('versions', spec.get('taggedVersions')), low, high)
        if live is None:
            continue
        is_array = spec['type'].startswith('[]')
        name = spec['type'][2:] if is_array else spec['type']
        base = TYPES.get(name, 'struct')
        field = kgen.Field(kgen.snake(spec['name']), base, is_array, *live)
        if base == 'struct':
            field.struct = struct_of(spec.get('fields') or common[name], common, *live)
        field.null = versions_of(spec.get('nullableVersions'), *live)
        tagged = versions_of(spec.get('taggedVersions'), *live)
        if tagged not in (None, live):
            raise SystemExit(f'{spec["name"]}: tagged in some of its versions only')
        field.tag = spec['tag'] if tagged else None
        field.is_classic = spec.get('flexibleVersions') == 'none'
        field.default = default_of(spec, base, is_array)
        struct.fields.append(field)
    return struct


def message_of(spec):
    """None for a message without versions (removed from Kafka)."""
    valid = versions_of(spec['validVersions'], 0, 32767)
    if valid is None:
        return None
    flexible = versions_of(spec['flexibleVersions'], *valid)
    message = kgen.Message('', spec['name'], spec.get('apiKey'), *valid, flexible and flexible[0])
    common = {c['name']: c['fields'] for c in spec.get('commonStructs', [])}
    message.body = struct_of(spec['fields'], common, *valid)
    return message


def kafka_read(folder):
    messages = {}
    for at, _, names in os.walk(folder):
        for name in names:
            if not name.endswith('.json'):
                continue
            message = message_of(json_read(os.path.join(at, name)))
            if message is not None:
                messages[message.name] = message
    return messages


def differences(ours, theirs):
    for name in sorted(set(ours) | set(theirs)):
        if name not in ours or name not in theirs:
            yield f'{name}: only {"ours" if name in ours else "in Kafka"}'
            continue
        mine, kafka = ours[name], theirs[name]
        if (mine.key, mine.low, mine.high) != (kafka.key, kafka.low, kafka.high):
            yield (f'{name}: ours key {mine.key} v{mine.low}-{mine.high}, '
                   f'Kafka key {kafka.key} v{kafka.low}-{kafka.high}')
            continue
        for version in range(mine.low, mine.high + 1):
            a, b = kgen.message_resolved(mine, version), kgen.message_resolved(kafka, version)
            a, b = a.split(' ', 1)[1], b.split(' ', 1)[1]  # the kind of message is our word
            if a != b:
                at = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
                yield f'{name} v{version}: ours ...{a[max(0, at - 40):at + 40]}\n' \
                      f'{" " * len(name)}  Kafka ...{b[max(0, at - 40):at + 40]}'


def main(arguments):
    messages = kgen.schema_read(os.path.join(OURS, 'schema'))
    kgen.digests_check(messages, os.path.join(OURS, 'digests.txt'))
    versions_n = sum(m.high - m.low + 1 for m in messages)
    if not arguments or not arguments[0]:
        print(f'schema: {len(messages)} messages, {versions_n} versions agree with digests.txt; '
              'KAFKA_SCHEMA=dir compares them with Kafka\'s')
        return
    theirs = kafka_read(arguments[0])
    if not theirs:
        raise SystemExit(f'schema: no message definitions in {arguments[0]}')
    found = list(differences({m.full_name(): m for m in messages}, theirs))
    for line in found:
        print(f'schema: {line}')
    print(f'schema: {len(messages)} messages, {versions_n} versions compared with Kafka\'s, '
          f'{len(found)} differences')
    sys.exit(bool(found))


if __name__ == '__main__':
    main(sys.argv[1:])
