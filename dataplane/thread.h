/*
 * thread.h - the broker's threads on a real machine: started, pinned, put to sleep, stopped.
 *
 * Owner: main, except the fields marked otherwise.
 *
 * A thread's life:  RUNS --threads_stop--> (finishes what is under way) --threads_end--> gone
 *
 * Besides mail, a thread and main share two words: `order`, written by main, and `is_quiet`,
 * written by the thread once it was told to stop.
 */
#ifndef MILLRACE_THREAD_H
#define MILLRACE_THREAD_H

#include <pthread.h>
#include <sched.h>

#include "broker.h"

enum thread_order {
    THREAD_RUN,
    THREAD_STOP, /* workers: accept nobody, let connections end */
    THREAD_END,  /* leave the loop                              */
};

enum { THREAD_STACK_BYTES = 1 << 20 };
enum { SPIN_TURNS_MIN = 4, SPIN_TURNS_MAX = 64 };
#define SPIN_WORTH_NS (20 * NS_PER_US)

/* How many turns without work a thread takes before it sleeps. Going to sleep and being woken costs
 * some microseconds of processor and latency: turning for as long is right when work comes within
 * that, and wasted when it does not. So it follows what happened: a sleep that ended soon asks for
 * more turns before the next, one that lasted for fewer. Owner: the thread. */
struct spin {
    uint32_t turns_max;
};

static inline void spin_slept(struct spin *spin, uint64_t ns)
{
    if (ns < SPIN_WORTH_NS)
        spin->turns_max =
            spin->turns_max * 2 < SPIN_TURNS_MAX ? spin->turns_max * 2 : SPIN_TURNS_MAX;
    else
        spin->turns_max =
            spin->turns_max / 2 > SPIN_TURNS_MIN ? spin->turns_max / 2 : SPIN_TURNS_MIN;
}

struct thread {
    struct broker *broker;
    uint8_t number;
    bool is_started;
    bool is_polling; /* dataplane.poll=always: never sleeps              */
    struct spin spin;
    int cpu; /* pinned to; -1: wherever the kernel puts it       */
    pthread_t id;
    struct io_op wake; /* Owner: the thread. Ends io_wait when mail comes  */
    uint64_t stop_deadline_ns;
    _Atomic uint8_t order; /* enum thread_order                                */
    _Atomic bool is_quiet; /* written by the thread, after THREAD_STOP         */
};

struct threads {
    struct thread v[THREADS_MAX];
    uint8_t n;
};

/* Parses dataplane.cpus ("2,3,8-11") into cpus[0..max); returns how many, or E_INVALID. */
nodiscard int cpus_parse(const char *text, int *cpus, int max);

/* Starts every thread of the broker; workers on cpus[i % cpus_n] when cpus_n > 0, the others off
 * these. All signals are blocked in them. 0 or E_NO_MEMORY, E_DENIED (then those that run are
 * ended). */
nodiscard int threads_start(struct threads *threads, struct broker *broker, const int *cpus,
                            int cpus_n, bool is_polling);
/* Tells the workers to stop; threads_are_quiet says when everything under way is done. */
void threads_stop(struct threads *threads, uint64_t deadline_ns);
bool threads_are_quiet(struct threads *threads, uint32_t *busy_n);
/* Ends and joins all. */
void threads_end(struct threads *threads);

/* Boot: calls run(argument, at) for at = 0 .. n-1, part 0 here, each of the others in a thread of
 * its own (or here, when there is none to be had); returns when all have ended. n: 1 to
 * BROKER_WORKERS_MAX. context is not looked at. */
void threads_each(void *context, uint32_t n, void (*run)(void *argument, uint32_t at),
                  void *argument);

#endif
