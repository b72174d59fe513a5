/*
 * fuzz.h - what a fuzz target is: one function over any bytes. It must not crash, leak or loop,
 * whatever they are.
 *
 * Owner: the program that links it: libFuzzer (make fuzz), or replay.c, which runs the saved inputs
 * (make unit).
 *
 * A target lives in fuzz_<name>.c; its saved inputs in corpus/<name>/.
 */
#ifndef MILLRACE_FUZZ_H
#define MILLRACE_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The name and the result (always 0) are libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif
