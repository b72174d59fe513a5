#!/usr/bin/env python3
"""kgen.py - message schemas (dataplane/proto/schema/*.k) -> build/gen/messages.h, messages.c and hot.c.

    kgen.py SCHEMA_DIR OUT_DIR     writes them (hot.c by khot.py); fails when digests.txt disagrees
    kgen.py --digests SCHEMA_DIR   prints what belongs into digests.txt

The grammar is documented in dataplane/proto/README.md. A schema is read into Message, Struct and Field
objects (kcheck.py fills the same objects from Kafka's JSON and compares); the writer turns each struct into
a C struct, a row table for the interpreter and, when a default is not all zero, a template of defaults.
"""
import hashlib
import os
import re
import sys

import khot

SCALARS = {  # type -> (C type, row kind, fewest bytes on the wire when flexible, when classic)
    'bool': ('bool', 'BOOL', 1, 1), 'i8': ('int8_t', 'I8', 1, 1), 'i16': ('int16_t', 'I16', 2, 2),
    'i32': ('int32_t', 'I32', 4, 4), 'i64': ('int64_t', 'I64', 8, 8), 'u16': ('uint16_t', 'U16', 2, 2),
    'u32': ('uint32_t', 'U32', 4, 4), 'f64': ('double', 'F64', 8, 8),
    'uuid': ('struct uuid', 'UUID', 16, 16), 'string': ('struct bytes', 'STRING', 1, 2),
    'bytes': ('struct bytes', 'BYTES', 1, 4), 'records': ('struct slices', 'RECORDS', 1, 4),
}
BITS = {'i8': 8, 'i16': 16, 'i32': 32, 'i64': 64}
KINDS = ('request', 'response', 'header', 'data', 'metadata', 'remote', 'group_key', 'group_value',
         'transaction_key', 'transaction_value', 'share_key', 'share_value')
KEYWORDS = set('auto break case char const continue default do double else enum extern float for goto if '
               'int long register return short signed sizeof static struct switch typedef union unsigned '
               'void volatile while inline restrict bool'.split())
APIS_N = 93
DEPTH_MAX = 8


class SchemaError(Exception):
    pass


class Field:
    """One field: base is a scalar type or 'struct'; low..high are the versions that have it."""

    def __init__(self, name, base, is_array, low, high):
        self.name, self.base, self.is_array, self.low, self.high = name, base, is_array, low, high
        self.null = None      # (low, high) of the versions in which it may be null
        self.tag = None
        self.default = None   # the schema's text; None: zero, empty
        self.is_classic = False
        self.struct = None    # when base is 'struct'

    def is_pointer(self):
        return self.base == 'struct' and not self.is_array and self.null is not None


class Struct:
    def __init__(self, name, low, high):
        self.name, self.low, self.high, self.fields = name, low, high, []

    def rows(self):
        """Wire order: plain fields as written, then tagged fields by tag."""
        plain = [f for f in self.fields if f.tag is None]
        return plain + sorted((f for f in self.fields if f.tag is not None), key=lambda f: f.tag)


class Message:
    def __init__(self, kind, name, key, low, high, flexible):
        self.kind, self.name, self.key, self.low, self.high = kind, name, key, low, high
        self.flexible = flexible  # None: no flexible version
        self.body = None

    def full_name(self):
        return self.name + {'request': 'Request', 'response': 'Response'}.get(self.kind, '')


def snake(name):
    name = name.replace('KRaft', 'Kraft')
    name = re.sub(r'([a-z0-9])([A-Z])', r'\1_\2', name)
    return re.sub(r'([A-Z]+)([A-Z][a-z])', r'\1_\2', name).lower()


# ── reading ─────────────────────────────────────────────────────────────────────────────────────────────

def range_of(text, low, high):
    """'v3', 'v3+', 'v3-5' inside low..high."""
    m = re.fullmatch(r'v(\d+)(?:-(\d+)|(\+))?', text)
    if not m:
        raise SchemaError(f'bad version range {text!r}')
    first = int(m[1])
    last = int(m[2]) if m[2] else high if m[3] else first
    if not low <= first <= last <= high:
        raise SchemaError(f'{text} is outside v{low}-{high}')
    return first, last


def message_of(words):
    """request Produce 0  v3-13  flexible v9+"""
    kind, name, rest = words[0], words[1], words[2:]
    key = int(rest.pop(0)) if rest[0].isdigit() else None
    low, high = range_of(rest.pop(0), 0, 32767)
    flexible = None
    if rest:
        if rest[0] != 'flexible' or len(rest) != 2 or not rest[1].endswith('+'):
            raise SchemaError(f'expected "flexible vN+", found {" ".join(rest)!r}')
        flexible = range_of(rest[1], low, high)[0]
    message = Message(kind, name, key, low, high, flexible)
    message.body = Struct(snake(message.full_name()), low, high)
    return message


def field_of(words, outer, message, shared):
    """name type [vRANGE] [tag N] [classic] [= default]"""
    name, spec, rest = words[0], words[1], words[2:]
    if not re.fullmatch(r'[a-z][a-z0-9_]*', name) or name in KEYWORDS:
        raise SchemaError(f'{name!r} is not a field name')
    m = re.fullmatch(r'(\[\])?(@?[a-z][a-z0-9_]*)?(\?(v[\d+-]+)?)?', spec)
    if not m or not (m[1] or m[2]):
        raise SchemaError(f'bad type {spec!r}')
    low, high = outer.low, outer.high
    if rest and rest[0].startswith('v'):
        low, high = range_of(rest.pop(0), low, high)
    base = m[2] or 'struct'
    field = Field(name, base if base in SCALARS else 'struct', bool(m[1]), low, high)
    if base.startswith('@'):
        if base[1:] not in shared:
            raise SchemaError(f'{base} is not declared above')
        field.struct = shared[base[1:]]
    elif base not in SCALARS and base != 'struct':
        raise SchemaError(f'unknown type {base!r}')
    elif field.base == 'struct':
        field.struct = Struct(outer.name + '_' + name, low, high)
    if m[3]:
        field.null = range_of(m[4], low, high) if m[4] else (low, high)
    if rest and rest[0] == 'tag':
        field.tag = int(rest[1])
        rest = rest[2:]
    if rest and rest[0] == 'classic':
        field.is_classic = True
        rest.pop(0)
    if rest and rest[0] == '=' and len(rest) == 2:
        field.default = rest[1]
        rest = []
    if rest:
        raise SchemaError(f'do not understand {" ".join(rest)!r}')
    field_check(field, message)
    return field


def field_check(field, message):
    if field.tag is not None and (message.flexible is None or field.low < message.flexible):
        raise SchemaError(f'{field.name} is tagged before the message is flexible')
    if field.default is None:
        return
    if field.default == 'null':
        if field.null is None:
            raise SchemaError(f'{field.name} is null by default but never nullable')
    elif field.is_array or field.base not in BITS and field.base != 'bool':
        raise SchemaError(f'{field.name} cannot have the default {field.default}')
    elif field.base == 'bool':
        if field.default != 'true':
            raise SchemaError(f'{field.name}: a bool default is true or absent')
    elif not -(1 << BITS[field.base] - 1) <= int(field.default) < 1 << BITS[field.base] - 1:
        raise SchemaError(f'{field.name}: {field.default} does not fit {field.base}')


def file_read(path):
    messages, stack, shared = [], [], {}
    for number, line in enumerate(open(path, encoding='utf-8'), 1):
        words = line.split('#')[0].split()
        if not words:
            continue
        indent = len(line) - len(line.lstrip(' '))
        try:
            if indent == 0:
                if words[0] not in KINDS:
                    raise SchemaError(f'unknown kind of message {words[0]!r}')
                messages.append(message_of(words))
                stack, shared = [messages[-1].body], {}
                continue
            if indent % 2 or indent // 2 > len(stack) or stack[indent // 2 - 1] is None:
                raise SchemaError('bad indentation')
            del stack[indent // 2:]
            outer = stack[-1]
            if words[0] == 'struct' and words[1].startswith('@'):
                low, high = range_of(words[2], outer.low, outer.high) if len(words) > 2 else (outer.low, outer.high)
                shared[words[1][1:]] = struct = Struct(outer.name + '_' + words[1][1:], low, high)
                stack.append(struct)
                continue
            field = field_of(words, outer, messages[-1], shared)
            if any(f.name == field.name or f.tag is not None and f.tag == field.tag for f in outer.fields):
                raise SchemaError(f'{field.name}: name or tag used twice')
            outer.fields.append(field)
            stack.append(field.struct if words[1].lstrip('[]')[:1] != '@' else None)
        except (SchemaError, IndexError, ValueError) as e:
            raise SystemExit(f'{path}:{number}: {e}')
    return messages


def schema_read(folder):
    messages = []
    for name in sorted(os.listdir(folder)):
        if name.endswith('.k'):
            messages += file_read(os.path.join(folder, name))
    names = [s.name for m in messages for s in structs_of(m)]
    twice = {n for n in names if names.count(n) > 1}
    if twice:
        raise SystemExit(f'{folder}: declared twice: {", ".join(sorted(twice))}')
    for m in messages:
        if depth_of(m.body) > DEPTH_MAX - 1:
            raise SystemExit(f'{m.name}: nests deeper than the encoder walks')
    return messages


def depth_of(struct):
    """Levels of the encoder's walk: one per struct, one more for an array of scalars."""
    return 1 + max([depth_of(f.struct) if f.struct else int(f.is_array) for f in struct.fields], default=0)


def structs_of(message):
    """Every struct of a message once, inner before outer (the order C needs)."""
    out = []

    def visit(struct):
        for f in struct.fields:
            if f.struct is not None:
                visit(f.struct)
        if struct not in out:
            out.append(struct)
    visit(message.body)
    return out


# ── digests: what a message is at one version, in one line of text ──────────────────────────────────────

def resolved(struct, version, flexible):
    parts = []
    for f in struct.rows():
        if not f.low <= version <= f.high:
            continue
        inner = resolved(f.struct, version, flexible) if f.struct else f.base
        text = f'{f.name}:{"[]" if f.is_array else ""}{inner}'
        if f.null and f.null[0] <= version <= f.null[1]:
            text += '?'
        if f.tag is not None:
            text += f'#{f.tag}'
        if f.is_classic and flexible:
            text += '!'
        parts.append(text + (f'={f.default}' if f.default is not None else ''))
    return '{' + ','.join(parts) + '}'


def message_resolved(message, version):
    flexible = message.flexible is not None and version >= message.flexible
    key = '' if message.key is None else message.key
    return f'{message.kind} {key} {"flexible" if flexible else "classic"} ' + \
        resolved(message.body, version, flexible)


def digests(messages):
    lines = []
    for m in messages:
        for version in range(m.low, m.high + 1):
            text = message_resolved(m, version)
            lines.append(f'{m.full_name()} {version} {hashlib.sha256(text.encode()).hexdigest()[:16]}\n')
    return lines


def digests_check(messages, path):
    """The committed digests are the second pair of eyes on every change of a schema."""
    if not os.path.exists(path):
        return
    ours, kept = digests(messages), open(path, encoding='utf-8').readlines()
    for line in sorted(set(ours) ^ set(kept)):
        print(f'{"schema only: " if line in ours else "digests only:"} {line}', end='', file=sys.stderr)
    if ours != kept:
        raise SystemExit(f'{path} disagrees with the schema; `make digests` when the change is meant')


# ── writing ─────────────────────────────────────────────────────────────────────────────────────────────

def members_of(field):
    if field.base == 'struct':
        ctype = f'struct {field.struct.name} '
    else:
        ctype = SCALARS[field.base][0] + ' '
    if field.is_array:
        return [f'{ctype}*{field.name};', f'int32_t {field.name}_n;']
    return [f'{ctype}{"*" if field.is_pointer() else ""}{field.name};']


def struct_text(struct):
    members = [m for f in struct.rows() for m in members_of(f)] or ['uint8_t nothing;']
    return f'struct {struct.name} {{\n' + ''.join(f'    {m}\n' for m in members) + '};\n'


def has_template(struct):
    return any(default_of(f) for f in struct.fields)


def default_of(field):
    """The initializer of a field whose default is not all zero bytes; None otherwise."""
    if field.is_array:
        return f'.{field.name}_n = -1' if field.default == 'null' else None
    if field.is_pointer():
        return None if field.default == 'null' else f'.{field.name} = (void *)&present_{field.struct.name}'
    if field.base == 'struct':
        if not has_template(field.struct):
            return None
        return f'.{field.name} = DEFAULTS_{field.struct.name}'
    if field.base in ('string', 'bytes'):
        return None if field.default == 'null' else f'.{field.name} = {{proto_empty, 0}}'
    if field.default in (None, 'null'):
        return None
    if field.base == 'i32' and int(field.default) == -(1 << 31):
        return f'.{field.name} = INT32_MIN'
    return f'.{field.name} = {field.default}'


def wire_min(struct, versions, is_flexible):
    """The fewest bytes one value takes in any of `versions`: bounds what an array count may claim."""
    least = 255
    for version in versions:
        total = int(is_flexible)
        for f in struct.fields:
            if not f.low <= version <= f.high or f.tag is not None:
                continue
            if f.is_array:
                total += 1 if is_flexible else 4
            elif f.base == 'struct':
                total += 1 if f.null else wire_min(f.struct, [version], is_flexible)
            else:
                total += SCALARS[f.base][2 if is_flexible and not f.is_classic else 3]
        least = min(least, total)
    return max(1, least)


def row_text(struct, f):
    kind = 'STRUCT' if f.base == 'struct' else SCALARS[f.base][1]
    if f.is_classic:
        kind += '_CLASSIC'
    if f.is_pointer():
        kind += '_PTR'
    kind = f'PROTO_ARRAY | PROTO_{kind}' if f.is_array else f'PROTO_{kind}'
    null = f'{f.null[0]}, {f.null[1] - f.null[0]}' if f.null else '255, 0'
    sub = f'&proto_fields_{f.struct.name}' if f.struct else 'NULL'
    tag = 255 if f.tag is None else f.tag
    return (f'    {{{kind}, {f.low}, {f.high - f.low}, {null}, {tag}, '
            f'offsetof(struct {struct.name}, {f.name}), {sub}}},\n')


def defaults_text(struct):
    defaults = [d for d in map(default_of, struct.fields) if d]
    return f'#define DEFAULTS_{struct.name} {{ \\\n    ' + ', \\\n    '.join(defaults or ['0']) + '}\n'


def descriptor_text(struct, flexible):
    out, rows = '', struct.rows()
    flexible = struct.high + 1 if flexible is None else max(struct.low, flexible)
    least = [wire_min(struct, range(struct.low, flexible), False),
             wire_min(struct, range(flexible, struct.high + 1), True)]
    defaults = [d for d in map(default_of, struct.fields) if d]
    if rows:
        out += f'static const struct proto_row rows_{struct.name}[] = {{\n'
        out += ''.join(row_text(struct, f) for f in rows) + '};\n'
    for f in struct.fields:
        if f.is_pointer() and f.default != 'null':  # nullable, but there unless said otherwise
            value = f'DEFAULTS_{f.struct.name}' if has_template(f.struct) else '{0}'
            out += f'static const struct {f.struct.name} present_{f.struct.name} = {value};\n'
    if defaults:
        out += defaults_text(struct) + f'static const struct {struct.name} defaults_{struct.name} = DEFAULTS_{struct.name};\n'
    plain = sum(f.tag is None for f in rows)
    if plain < len(rows) and not defaults:  # the encoder compares the tagged members with it
        out += f'static const struct {struct.name} defaults_{struct.name};\n'
    has_defaults = defaults or plain < len(rows)
    tags = f'offsetof(struct {struct.name}, {rows[plain].name})' if plain < len(rows) else '0'
    out += (f'const struct proto_struct proto_fields_{struct.name} = {{\n'
            f'    {f"rows_{struct.name}" if rows else "no_rows"}, '
            f'{f"&defaults_{struct.name}" if has_defaults else "NULL"},\n'
            f'    sizeof(struct {struct.name}), {len(rows)}, {plain}, {tags}, '
            f'{least[0]}, {least[1]}}};\n')
    for f in struct.fields:
        if f.is_array:
            out += (f'static_assert(offsetof(struct {struct.name}, {f.name}_n) == '
                    f'offsetof(struct {struct.name}, {f.name}) + PROTO_COUNT_AT, "");\n')
    return out


def header_text(messages):
    out = ['/* Generated by tools/kgen.py from dataplane/proto/schema. */\n'
           '#ifndef MILLRACE_KAFKA_GEN_H\n#define MILLRACE_KAFKA_GEN_H\n\n#include "proto.h"\n']
    for m in messages:
        out.append(f'\n/* {m.full_name()}, versions {m.low}-{m.high} */\n')
        out += [struct_text(s) for s in structs_of(m)]
        out += [f'extern const struct proto_struct proto_fields_{s.name};\n' for s in structs_of(m)]
        out.append(f'extern const struct proto_message proto_{m.body.name};\n')
        if khot.is_hot(m):  # for PROTO_INIT
            out += [defaults_text(s) for s in structs_of(m)]
    out.append('\n#endif\n')
    return ''.join(out)


def table_text(name, size, entries):
    rows = ''.join(f'    [{key}] = {value},\n' for key, value in sorted(entries.items()))
    return f'\nconst struct proto_message *const {name}[{size}] = {{\n{rows}}};\n'


def source_text(messages):
    out = ['/* Generated by tools/kgen.py from dataplane/proto/schema. */\n'
           '#include "messages.h"\n#include "rows.h"\n\nstatic const uint8_t proto_empty[1];\n'
           'static const struct proto_row no_rows[1];\n']
    for m in messages:
        out.append('\n')
        out += [descriptor_text(s, m.flexible) for s in structs_of(m)]
        key = -1 if m.key is None else m.key
        flexible = 'INT16_MAX' if m.flexible is None else m.flexible
        hot = f'&proto_hot_{m.body.name}' if khot.is_hot(m) else 'NULL'
        if khot.is_hot(m):
            out.append(f'extern const struct proto_hot proto_hot_{m.body.name};\n')
        out.append(f'const struct proto_message proto_{m.body.name} = {{\n'
                   f'    "{m.full_name()}", &proto_fields_{m.body.name}, {key}, {m.low}, {m.high}, '
                   f'{flexible}, sizeof(struct {m.body.name}), {hot}}};\n')

    def by_key(kind, value):
        return {m.key: value(m) for m in messages if m.kind == kind}
    pointer = lambda m: f'&proto_{m.body.name}'
    records = by_key('metadata', pointer)
    out.append(table_text('proto_requests', 'PROTO_APIS_N', by_key('request', pointer)))
    out.append(table_text('proto_responses', 'PROTO_APIS_N', by_key('response', pointer)))
    out.append(table_text('proto_metadata_records', max(records) + 1, records))
    out.append(f'const uint32_t proto_metadata_records_n = {max(records) + 1};\n')
    names = ''.join(f'    [{k}] = "{n}",\n' for k, n in sorted(by_key('request', lambda m: m.name).items()))
    out.append(f'\nconst char *const proto_api_names[PROTO_APIS_N] = {{\n{names}}};\n')
    out.append(table_text('proto_messages', len(messages), dict(enumerate(map(pointer, messages)))))
    out.append(f'const uint32_t proto_messages_n = {len(messages)};\n')
    return ''.join(out)


def main(arguments):
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    if arguments[0] == '--digests':
        sys.stdout.writelines(digests(schema_read(arguments[1])))
        return
    folder, out = arguments
    messages = schema_read(folder)
    digests_check(messages, os.path.join(folder, '..', 'digests.txt'))
    keys = [m.key for m in messages if m.kind == 'request']
    if sorted(keys) != sorted(m.key for m in messages if m.kind == 'response') or max(keys) >= APIS_N:
        raise SystemExit('requests and responses do not pair up')
    for name, text in (('messages.h', header_text(messages)), ('messages.c', source_text(messages)),
                       ('hot.c', khot.source_text(messages))):
        with open(os.path.join(out, name), 'w', encoding='utf-8') as f:
            f.write(text)


if __name__ == '__main__':
    main(sys.argv[1:])
