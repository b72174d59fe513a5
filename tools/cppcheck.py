#!/usr/bin/env python3
"""cppcheck.py - cppcheck with a small fixed list; what did not change is not looked at again.

    tools/cppcheck.py BUILD_DIRECTORY

A false alarm is silenced on its line: /* cppcheck-suppress id */.
"""
import glob
import os
import shutil
import subprocess
import sys

SUPPRESSED = ("missingInclude", "missingIncludeSystem", "unusedFunction", "normalCheckLevelMaxBranches",
              "unmatchedSuppression", "nullPointerArithmetic", "preprocessorErrorDirective",
              "internalAstError", "nullPointerArithmeticRedundantCheck",
              # The compiler and the sanitizers judge these better; cppcheck does not follow out parameters.
              "uninitvar", "ctuuninitvar", "uninitStructMember", "memleak", "missingReturn", "shiftTooManyBitsSigned",
              "invalidPrintfArgType_uint", "syntaxError:*_test.c", "unknownMacro")


def main(build):
    if shutil.which("cppcheck") is None:
        print("cppcheck: not installed (tools/setup installs it)")
        return 1
    files = sorted(f for d in ("dataplane", "storage", "control", "tools")
                   for f in glob.glob(d + "/**/*.c", recursive=True))
    if not files:
        print("cppcheck: no sources yet")
        return 0
    work = build + "/cppcheck"
    os.makedirs(work, exist_ok=True)
    command = ["cppcheck", "--quiet", "--std=c11", "--enable=warning,portability", "--inline-suppr",
               "--error-exitcode=1", f"-j{os.cpu_count() or 1}", f"--cppcheck-build-dir={work}", "--language=c",
               "--template={file}:{line}: {message} [{id}]", "-Iinclude", "-D__x86_64__=1", "-D_GNU_SOURCE=1",
               "-Dstatic_assert(...)="]
    command += [f"--suppress={s}" for s in SUPPRESSED]
    done = subprocess.run(command + files, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    text = done.stdout.decode("utf-8", "replace").strip()
    if text:
        print(text)
    print(f"cppcheck: {len(files)} files, {'clean' if done.returncode == 0 else 'findings'}")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
