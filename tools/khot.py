#!/usr/bin/env python3
"""khot.py - straight-line codecs of the messages that come by the hundred thousand: build/gen/hot.c, written by kgen.py.

For each message of HOT one function per struct, direction and form (classic, flexible), made of the primitives of
dataplane/proto/hot.h. They take what is usual - one piece of memory, no tagged field away from its default - and
return NULL for the rest, which the interpreters then do from the beginning: those say what is right, in every case,
and the tests compare both.
"""
import kgen

HOT = ('ProduceRequest', 'ProduceResponse', 'FetchRequest', 'FetchResponse', 'HeartbeatRequest', 'HeartbeatResponse')
LOADS = {'bool': '*({0}) != 0', 'i8': '(int8_t)*({0})', 'i16': 'load_i16({0})', 'i32': 'load_i32({0})',
         'i64': 'load_i64({0})', 'u16': 'load_u16({0})', 'u32': 'load_u32({0})'}
STORES = {'bool': '*({0}) = {1}', 'i8': '*({0}) = (uint8_t){1}', 'i16': 'store_u16({0}, (uint16_t){1})',
          'i32': 'store_u32({0}, (uint32_t){1})', 'i64': 'store_u64({0}, (uint64_t){1})',
          'u16': 'store_u16({0}, {1})', 'u32': 'store_u32({0}, {1})'}
LENGTH_MAX = 5  # bytes of a length, in either form


class Form:
    """The versions of a message in one form; None of them: is_empty."""

    def __init__(self, message, is_flexible):
        first = message.flexible if message.flexible is not None else message.high + 1
        self.is_flexible = is_flexible
        self.low, self.high = (first, message.high) if is_flexible else (message.low, first - 1)
        self.suffix = 'flexible' if is_flexible else 'classic'
        self.is_empty = self.low > self.high

    def when(self, low, high):
        """A C condition on v for low..high: 'true', 'false' or a comparison."""
        low, high = max(low, self.low), min(high, self.high)
        if low > high:
            return 'false'
        tests = [f'v >= {low}'] * (low > self.low) + [f'v <= {high}'] * (high < self.high)
        return ' && '.join(tests) or 'true'


def fixed_bytes(field):
    if field.is_array or field.base not in list(LOADS) + ['uuid']:
        return None
    return kgen.SCALARS[field.base][2]


def guarded(condition, lines, otherwise=()):
    """The lines, under the condition; constants are decided here."""
    if condition == 'true':
        return list(lines)
    if condition == 'false':
        return list(otherwise)
    out = [f'if ({condition}) {{'] + ['    ' + line for line in lines]
    if otherwise:
        out += ['} else {'] + ['    ' + line for line in otherwise]
    return out + ['}']


def nullable(field, form):
    return form.when(*field.null) if field.null else 'false'


# ── bytes to structs ────────────────────────────────────────────────────────────────────────────────────

def default_lines(field, to):
    """Sets a field to its default, all of it."""
    at = f'{to}->{field.name}' if to == 'to' else f'{to}.{field.name}'
    if field.is_array:
        return [f'{at} = NULL;', f'{at}_n = {-1 if field.default == "null" else 0};']
    if field.base == 'struct':
        return [line for f in field.struct.rows() for line in default_lines(f, at)]
    if field.base in ('string', 'bytes'):
        return [f'{at} = (struct bytes){{{"NULL" if field.default == "null" else "hot_empty"}, 0}};']
    if field.base == 'records':
        return [f'{at} = (struct slices){{NULL, 0, 0}};']
    if field.base == 'uuid':
        return [f'{at} = (struct uuid){{{{0}}}};']
    return [f'{at} = {field.default or 0};']


def get_fixed(fields):
    """Scalars in a row, checked together."""
    total = sum(map(fixed_bytes, fields))
    out, at = [f'HOT_NEED({total});'], 0
    for f in fields:
        place = f'p + {at}'
        out.append(f'memcpy(&to->{f.name}, {place}, {fixed_bytes(f)});' if f.base == 'uuid'
                   else f'to->{f.name} = {LOADS[f.base].format(place)};')
        at += fixed_bytes(f)
    return out + [f'p += {total};']


def get_variable(field, form):
    name, may_be_null = field.name, nullable(field, form)
    short = 'true' if field.base == 'string' and not field.is_array else 'false'
    flexible = 'true' if form.is_flexible and not field.is_classic else 'false'
    out = [f'p = hot_get_length(p, h->end, {flexible}, {short}, {may_be_null}, &n);', 'if (unlikely(p == NULL))',
           '    return NULL;']
    if field.is_array:
        if field.struct:
            least = kgen.wire_min(field.struct, range(form.low, form.high + 1), form.is_flexible)
            size = f'sizeof(struct {field.struct.name})'
            one = [f'    p = get_{field.struct.name}_{form.suffix}(h, p, &to->{name}[i], v);',
                   '    if (unlikely(p == NULL))', '        return NULL;']
        else:
            least = fixed_bytes(kgen.Field('', field.base, False, 0, 0))
            size = f'sizeof(*to->{name})'
            one = [f'    to->{name}[i] = {LOADS[field.base].format(f"p + i * {least}")};']
        out += [f'if (!hot_get_array(h, p, n, {least}, {size}, (void **)&to->{name}, &to->{name}_n))', '    return NULL;',
                'for (int32_t i = 0; i < n; i++) {'] + one + ['}']
        if not field.struct:
            out.append(f'p += n > 0 ? n * {least} : 0;')
    elif field.base == 'records':
        out += [f'p = hot_get_records(h, p, n, &to->{name});', 'if (unlikely(p == NULL))', '    return NULL;']
    else:
        out += [f'p = hot_get_bytes(h, p, n, &to->{name});', 'if (unlikely(p == NULL))', '    return NULL;']
    return out


def get_struct(struct, form):
    out, run = [], []

    def run_end():
        if run:
            out.extend(get_fixed(run))
            run.clear()
    for f in struct.rows():
        condition = form.when(f.low, f.high)
        if f.tag is not None or condition == 'false':
            run_end()
            out += default_lines(f, 'to')
        elif fixed_bytes(f) is not None:
            if condition == 'true':
                run.append(f)
                continue
            run_end()
            out += guarded(condition, get_fixed([f]), default_lines(f, 'to'))
        elif f.base == 'struct' and not f.is_array:
            raise SystemExit(f'khot: {struct.name}.{f.name}: a plain struct has no straight-line codec')
        else:
            run_end()
            out += guarded(condition, get_variable(f, form), default_lines(f, 'to'))
    run_end()
    if form.is_flexible:
        out += ['HOT_NEED(1);', 'if (unlikely(*p != 0))', '    return NULL;', 'p++;']
    body = ''.join(f'    {line}\n' for line in out)
    has_n = '&n)' in body
    return (f'static const uint8_t *get_{struct.name}_{form.suffix}(struct hot_in *h, const uint8_t *p,\n'
            f'    struct {struct.name} *to, uint8_t v)\n{{\n' + ('    int32_t n;\n' if has_n else '') +
            f'    (void)v;\n{body}    return p;\n}}\n\n')


# ── structs to bytes ────────────────────────────────────────────────────────────────────────────────────

def is_default(field, at):
    """A C condition: the field is at its default."""
    at = f'{at}{field.name}'
    if field.is_array:
        return f'{at}_n == {-1 if field.default == "null" else 0}'
    if field.base == 'struct':
        return ' && '.join(is_default(f, at + '.') for f in field.struct.rows())
    if field.base in ('string', 'bytes'):
        return f'{at}.ptr == NULL' if field.default == 'null' else f'({at}.ptr != NULL && {at}.n == 0)'
    if field.base == 'uuid':
        return f'hot_uuid_is_zero(&{at})'
    return f'{at} == {field.default or 0}'


def put_room(fields, form):
    """Bounds the fields up to and with the next array's or records' length."""
    bound, strings = int(form.is_flexible), []
    for f in fields:
        size = fixed_bytes(f)
        bound += LENGTH_MAX if size is None else size
        if size is None and not f.is_array and f.base != 'records':
            strings.append(f'from->{f.name}.n')
        if f.is_array or f.base == 'records':
            break
    total = ' + '.join([str(bound)] + strings)
    return [f'p = hot_room(o, p, {total});', 'if (unlikely(p == NULL))', '    return NULL;']


def put_fixed(field):
    size = fixed_bytes(field)
    store = f'memcpy(p, &from->{field.name}, 16)' if field.base == 'uuid' else \
        STORES[field.base].format('p', f'from->{field.name}')
    return [f'{store};', f'p += {size};']


def put_variable(field, form):
    name, may_be_null = field.name, nullable(field, form)
    flexible = 'true' if form.is_flexible and not field.is_classic else 'false'
    if field.base == 'records':
        return [f'p = hot_put_records(o, p, &from->{name}, {flexible}, {may_be_null});', 'if (unlikely(p == NULL))',
                '    return NULL;']
    if not field.is_array:
        short = 'true' if field.base == 'string' else 'false'
        return [f'p = hot_put_bytes(p, &from->{name}, {flexible}, {short}, {may_be_null});', 'if (unlikely(p == NULL))',
                '    return NULL;']
    if not field.struct:
        raise SystemExit(f'khot: {name}: an array of scalars has no straight-line encoder')
    return [f'p = hot_put_count(p, from->{name}_n, {flexible}, {may_be_null});', 'if (unlikely(p == NULL))', '    return NULL;',
            f'for (int32_t i = 0; i < from->{name}_n; i++) {{',
            f'    p = put_{field.struct.name}_{form.suffix}(o, p, &from->{name}[i], v);', '    if (unlikely(p == NULL))',
            '        return NULL;', '}']


def put_struct(struct, form):
    out = []
    plain = [f for f in struct.rows() if f.tag is None and form.when(f.low, f.high) != 'false']
    for f in struct.rows():
        if f.tag is not None:
            out += guarded(form.when(f.low, f.high), [f'if (unlikely(!({is_default(f, "from->")})))', '    return NULL;'])
    out += put_room(plain, form)
    for i, f in enumerate(plain):
        lines = put_fixed(f) if fixed_bytes(f) is not None else put_variable(f, form)
        out += guarded(form.when(f.low, f.high), lines)
        if f.is_array or f.base == 'records':
            out += put_room(plain[i + 1:], form) if plain[i + 1:] or form.is_flexible else []
    if form.is_flexible:
        out.append('*p++ = 0;')
    body = ''.join(f'    {line}\n' for line in out)
    return (f'static uint8_t *put_{struct.name}_{form.suffix}(struct proto_out *o, uint8_t *p,\n'
            f'    const struct {struct.name} *from, uint8_t v)\n{{\n    (void)v;\n{body}    return p;\n}}\n\n')


def units_struct(struct):
    """Fields of a value, until they are more than `max`."""
    out = [f'uint64_t n = {sum(f.tag is None for f in struct.fields)};']
    for f in struct.fields:
        if not f.is_array or f.tag is not None:
            continue
        out += [f'for (int32_t i = 0; i < from->{f.name}_n && n <= max; i++)',
                f'    n += units_{f.struct.name}(&from->{f.name}[i], max);'] \
            if any(inner.is_array for inner in f.struct.fields) else \
            [f'n += from->{f.name}_n > 0 ? (uint64_t)from->{f.name}_n * {len(f.struct.fields)} : 0;']
    body = ''.join(f'    {line}\n' for line in out)
    return (f'static uint64_t units_{struct.name}(const struct {struct.name} *from, uint64_t max)\n{{\n'
            f'    (void)from, (void)max;\n{body}    return n;\n}}\n\n')


# ── the file ────────────────────────────────────────────────────────────────────────────────────────────

def structs_plain(message):
    """Those that are reached through plain fields: tagged ones stay at their defaults here."""
    out = []

    def visit(struct):
        for f in struct.fields:
            if f.struct is not None and f.tag is None:
                visit(f.struct)
        if struct not in out:
            out.append(struct)
    visit(message.body)
    return out


def choose(message, name, arguments):
    forms = [f for f in (Form(message, True), Form(message, False)) if not f.is_empty]
    calls = [f'{name}_{f.suffix}({arguments})' for f in forms]
    return calls[0] if len(calls) == 1 else f'v >= {message.flexible} ? {calls[0]} : {calls[1]}'


def message_text(message):
    name, out = message.body.name, ''
    is_decoded = message.kind == 'request'
    for form in (Form(message, True), Form(message, False)):
        if not form.is_empty:
            out += ''.join((get_struct if is_decoded else put_struct)(s, form) for s in structs_plain(message))
    if is_decoded:
        call = choose(message, f'get_{name}', 'h, p, to, v')
        return out + (f'static const uint8_t *get_{name}(struct hot_in *h, const uint8_t *p, void *to, uint8_t v)\n{{\n'
                      f'    return {call};\n}}\n\nconst struct proto_hot proto_hot_{name} = {{.get = get_{name}}};\n\n')
    out += ''.join(units_struct(s) for s in structs_plain(message) if s is message.body or
                   any(f.is_array for f in s.fields))
    call = choose(message, f'put_{name}', 'o, p, from, v')
    return out + (f'static uint8_t *put_{name}(struct proto_out *o, uint8_t *p, const void *from, uint8_t v)\n{{\n'
                  f'    return {call};\n}}\n\n'
                  f'static uint64_t units_of_{name}(const void *from, uint64_t max)\n{{\n'
                  f'    return units_{name}(from, max);\n}}\n\n'
                  f'const struct proto_hot proto_hot_{name} = {{.put = put_{name}, .units = units_of_{name}}};\n\n')


def is_hot(message):
    return message.full_name() in HOT


def source_text(messages):
    return ('/* Generated by tools/khot.py from dataplane/proto/schema. */\n#include "hot.h"\n#include "messages.h"\n\n'
            'static const uint8_t hot_empty[1];\n\n' + ''.join(message_text(m) for m in messages if is_hot(m)))
