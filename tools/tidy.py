#!/usr/bin/env python3
"""tidy.py - the rules of STYLE.md that a script can check.

    tools/tidy.py             check; exit 1 on what is not known
    tools/tidy.py --shrink    lower tools/tidy_known.txt to what is left; it never raises a number

tools/tidy_known.txt is a ratchet: "rule place number" allows `number` faults of `rule` at `place` (a file, or
file:function). More is an error; fewer should be written down with --shrink. A new exception needs a line there and
its reason as a comment above it.
"""
import collections
import glob
import re
import subprocess
import sys

KNOWN = "tools/tidy_known.txt"
FUNCTION_LINES_MAX, COLUMNS_MAX, FILE_LINES_MAX = 70, 100, 800
PRODUCT = ("include/", "dataplane/", "storage/", "control/")
WORKER = ("dataplane/net/", "dataplane/conn/", "dataplane/kafka/", "dataplane/proto/", "storage/")

# rule name: (pattern, what to do instead, folders, exempt files)
CALL = r"(?<![\w.>])({})\s*\("
BANNED = {
    "unsafe-string": (CALL.format("strcpy|strcat|sprintf|vsprintf|gets|strncpy|strtok|atoi|atol|atoll"),
                      "use snprintf, memcpy with a length, strtol", PRODUCT + ("tools/",), ()),
    "clock": (CALL.format("clock_gettime|gettimeofday|time|clock|timespec_get|ftime"),
              "time is the argument `now`; only clock.h reads it", PRODUCT, ("include/clock.h",)),
    "random": (CALL.format("rand|srand|random|srandom|drand48|rand_r|getrandom|getentropy|arc4random"),
               "randomness is prng.h, seeded in machine.c", ("",), ("dataplane/machine.c",)),
    "sleep": (CALL.format("sleep|usleep|nanosleep|clock_nanosleep"),
              "nothing sleeps: threads wait in io_wait or on their event descriptor", PRODUCT, ()),
    "alloc": (CALL.format("malloc|calloc|realloc|free|strdup|strndup|aligned_alloc|posix_memalign|asprintf"),
              "memory is taken at boot; a worker uses pages and arenas", WORKER, ()),
    "print": (CALL.format("printf|fprintf|puts|perror|fputs|vprintf|vfprintf|syslog"),
              "what operators read goes through diag.h", WORKER, ()),
    "exit": (CALL.format("exit|_exit|abort|quick_exit"), "return an error, or check()",
             PRODUCT, ("dataplane/main.c", "dataplane/check.c")),
    "alloca": (CALL.format("alloca"), "use the request's arena", ("",), ()),
    "lock": (r"\b(pthread_mutex_\w+|pthread_rwlock_\w+|pthread_cond_\w+|mtx_\w+|cnd_\w+|atomic_thread_fence|"
             r"__sync_\w+)\b", "threads share rings, the view and counters only", PRODUCT, ()),
    "volatile": (r"\bvolatile\b", "_Atomic with an explicit order", PRODUCT, ()),
    "thread-local": (r"\b(_Thread_local|__thread|thread_local)\b", "check.h has the only ones",
                     PRODUCT, ("include/check.h", "dataplane/check.c")),
    "system": (CALL.format("system|popen|fork|vfork|exec[lv]p?e?"), "no other process", PRODUCT, ()),
    "unfinished": (r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b", "finish it, or open an issue", ("",), ("STYLE.md",)),
}
# Where memory may come from the heap: functions of boot and stop by their names, and files whose code runs on a
# helper thread, at boot, or in the command line only (these may print, too).
ALLOC_FUNCTION = re.compile(r"(_init|_fini|_new|_free|_open|_close|_make|_recover)$")
ALLOC_FILES = re.compile(r"^storage/(files|bulk|helper|jobs|compress\w*|disk_\w+|batch_scan|recover\w*|directory\w*|"
                         r"compact\w*|keymap|checkpoints?|dump\w*|verify\w*|truncate|journal_replay|repack)\.c$")
IN_COMMENTS_TOO = ("unfinished",)
STATIC = re.compile(r"^[ \t]*static\s+(?!inline\b|nodiscard\b|_Noreturn\b)([^;={]*)([;={])", re.M)


def tracked():
    text = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], stdout=subprocess.PIPE, check=True)
    return sorted(set(text.stdout.decode().splitlines()) & set(glob.glob("**", recursive=True)))


def without_comments(text):
    """Comments and string contents blanked, lines kept."""
    def blank(m):
        s = m.group(0)
        if s[0] == "/":
            return re.sub(r"[^\n]", " ", s)
        return s[0] + " " * (len(s) - 2) + s[-1]
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def functions(code):
    """(name, first line, lines) of each function: a '{' in column 0 that a ')' precedes, to the next '}' there."""
    lines = code.split("\n")
    start = 0
    for at, line in enumerate(lines):
        if line.startswith(("}", ";")) or line.rstrip().endswith(";") and not line.startswith((" ", "\t")):
            start = at + 1
        if line == "{":
            head = "\n".join(lines[start:at])
            name = re.search(r"(\w+)\s*\([^()]*(?:\([^()]*\)[^()]*)*\)\s*$", head.strip())
            if not name:
                continue
            first = max((i for i in range(start, at) if lines[i] and not lines[i][0].isspace()
                         and "(" in lines[i]), default=at)
            end = next((i for i in range(at, len(lines)) if lines[i].startswith("}")), len(lines))
            yield name.group(1), first + 1, end - first + 1


def function_at(code, at):
    line = code.count("\n", 0, at) + 1
    return next((name for name, first, n in functions(code) if first <= line < first + n), "")


def statics(code):
    for m in STATIC.finditer(code):
        text = m.group(1)
        if "(" in text or m.group(2) == "{" and ("struct" in text or "enum" in text):
            continue
        pointer = text.rfind("*")
        if ("const" not in text) or (pointer >= 0 and "const" not in text[pointer:]):
            yield code.count("\n", 0, m.start()) + 1


def check_c(path, text, report):
    code = without_comments(text)
    lines = text.split("\n")
    for n, line in enumerate(lines, 1):
        if len(line) > COLUMNS_MAX:
            report("columns", path, n, f"{len(line)} columns; {COLUMNS_MAX} fit a screen")
        if line != line.rstrip() or "\t" in line:
            report("blanks", path, n, "a tab or blanks at the end of the line")
    if len(lines) - 1 > FILE_LINES_MAX:
        report("file-lines", path, len(lines), f"{len(lines) - 1} lines; a file has at most {FILE_LINES_MAX}",
               len(lines) - 1)
    for name, n, length in functions(code):
        if length > FUNCTION_LINES_MAX:
            report("function-lines", f"{path}:{name}", n, f"{name}() has {length} lines; {FUNCTION_LINES_MAX} fit "
                   "a screen", length)
    for rule, (pattern, instead, folders, exempt) in BANNED.items():
        if path in exempt or not path.startswith(tuple(folders)) or rule in IN_COMMENTS_TOO:
            continue
        if rule in ("alloc", "print") and ALLOC_FILES.match(path):
            continue
        for m in re.finditer(pattern, code):
            if rule == "alloc" and ALLOC_FUNCTION.search(function_at(code, m.start())):
                continue
            report(rule, path, code.count("\n", 0, m.start()) + 1, f"{m.group(1) if m.groups() else m.group(0)}: "
                   + instead)
    if path.startswith(PRODUCT):
        for n in statics(code):
            report("static", path, n, "a static variable that can change: put it into its owner's struct")
    head = text[:text.find("*/")] if text.startswith("/*") else ""
    if not head:
        report("head", path, 1, "a file begins with a comment that says what it is")
    if path.endswith(".h") and "Owner:" not in text:
        report("owner", path, 1, "the head comment of a header has a line 'Owner: ...'")


def check_any(path, text, report):
    pattern, instead, _, exempt = BANNED["unfinished"]
    if path in exempt:
        return
    for m in re.finditer(pattern, text):
        report("unfinished", path, text.count("\n", 0, m.start()) + 1, f"{m.group(0)}: {instead}")


def read_known():
    known = {}
    for line in open(KNOWN, encoding="utf-8"):
        line = line.split("#")[0].split()
        if len(line) == 3:
            known[line[0], line[1]] = int(line[2])
    return known


def shrink(totals):
    out = []
    for line in open(KNOWN, encoding="utf-8"):
        words = line.split("#")[0].split()
        if len(words) == 3:
            left = totals.get((words[0], words[1]), 0)
            if left == 0:
                continue
            line = f"{words[0]} {words[1]} {min(left, int(words[2]))}\n"
        out.append(line)
    open(KNOWN, "w", encoding="utf-8").writelines(out)


def main(args):
    faults, totals = collections.defaultdict(list), collections.Counter()

    def report(rule, place, line, text, size=None):
        faults[rule, place].append(f"tidy: {place.split(':')[0]}:{line}: {text} [{rule}]")
        totals[rule, place] += size if size is not None else 1

    files = [f for f in tracked() if f.endswith((".c", ".h", ".def", ".py", ".k", ".sh", ".md")) or f == "Makefile"]
    for path in files:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        check_any(path, text, report)
        if path.endswith((".c", ".h")):
            check_c(path, text, report)
    known = read_known()
    if args == ["--shrink"]:
        shrink(totals)
        return 0
    bad = 0
    for key, n in sorted(totals.items()):
        if n > known.get(key, 0):
            for line in faults[key][:10]:
                print(line)
            if key in known:
                print(f"tidy: {key[1]}: {n} of [{key[0]}], {known[key]} known in {KNOWN}")
            bad += 1
    smaller = [k for k, n in known.items() if totals.get(k, 0) < n]
    if smaller:
        print(f"tidy: {len(smaller)} known exceptions have shrunk; write it down: tools/tidy.py --shrink")
    print(f"tidy: {len(files)} files, {sum(known.values())} known exceptions, {bad} new")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
