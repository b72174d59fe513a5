/*
 * thread.c - the loop around a turn, on a real machine.
 *
 * Owner: main starts and ends threads; thread_loop runs in each.
 *
 * A thread turns as long as there is something to do. After some turns in a row that did nothing
 * (struct spin) it announces that it sleeps (mail_sleep_begin, which looks at the rings once more)
 * and waits in the kernel: workers and control in io_wait, where completions, the wake descriptor
 * and the next timer end it; helpers, which have no ring, in poll() on their descriptor. With
 * dataplane.poll=always workers never sleep.
 *
 * The few idle turns before sleeping are worth it where answers come within microseconds (a flush
 * on a fast device, mail from a thread that is running, the next request of a busy client): they
 * need no trip through the scheduler. Where they do not come, turning only takes the core from the
 * other threads of a small machine; so their number follows how long the last sleeps were.
 */
#include "thread.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SLEEP_NS_MAX (100 * NS_PER_MS) /* an upper bound on noticing what nobody woke us for */
#define TURN_NS_LONG (100 * NS_PER_MS)
#define SLICE_NS     (300 * NS_PER_US)

/* ── inside a thread ── */

/* Somebody wrote the descriptor: most sleeps end otherwise, and need not read it. */
static void wake_done(struct io_op *op)
{
    struct thread *t = container_of(op, struct thread, wake);

    if (op->result > 0)
        mail_event_clear(broker_post(t->broker, t->number));
    if (op->is_last && op->result != -ECANCELED)
        io_submit(broker_io(t->broker, t->number), op);
}

static void wake_begin(struct thread *t)
{
    struct io *io = broker_io(t->broker, t->number);

    if (io == NULL)
        return;
    io_op_init(&t->wake, IO_POLL, wake_done);
    t->wake.fd = broker_post(t->broker, t->number)->event_fd;
    io_submit(io, &t->wake);
}

static struct stats *thread_stats(struct thread *t)
{
    struct broker *b = t->broker;

    if (t->number < b->workers_n)
        return &b->workers[t->number]->stats;
    return t->number == broker_control_thread(b) ? &b->control_stats : NULL;
}

/* Other workers' packets wake it from now on: what came since the turn is looked for. */
static bool thread_has_packets(const struct thread *t)
{
    return t->number < t->broker->workers_n && worker_ports_are_busy(t->broker->workers[t->number]);
}

/* After a sleep it looks at the queues once: packets end its sleep, or it soon looks again. */
static bool thread_has_ports(const struct thread *t)
{
    return t->number < t->broker->workers_n && t->broker->workers[t->number]->ports.n > 0;
}

static void thread_sleep(struct thread *t, struct now now)
{
    struct post *post = broker_post(t->broker, t->number);
    struct io *io = broker_io(t->broker, t->number);
    struct stats *stats = thread_stats(t);

    if (!mail_sleep_begin(post))
        return;
    if (thread_has_packets(t)) {
        mail_sleep_end(post);
        return;
    }
    if (stats != NULL)
        stats_add(stats, STAT_SLEEPS, 1);
    if (io != NULL) {
        uint64_t ns = timers_next_ns(broker_timers(t->broker, t->number), now, SLEEP_NS_MAX);
        if (t->number < t->broker->workers_n)
            ns = worker_ports_sleep_ns(t->broker->workers[t->number], now, ns);
        if (ns > 0)
            io_wait(io, ns);
    } else {
        struct pollfd event = {.fd = post->event_fd, .events = POLLIN};
        if (poll(&event, 1, SLEEP_NS_MAX / NS_PER_MS) > 0)
            mail_event_clear(post);
    }
    mail_sleep_end(post);
}

/* Counts the turn that began at `before`; a long one is an event. */
static void thread_count(struct thread *t, struct now before, struct now now, int done)
{
    struct stats *stats = thread_stats(t);
    uint64_t took_ns = now.ns - before.ns;

    if (stats == NULL)
        return;
    stats_add(stats, done > 0 ? STAT_TURNS_BUSY : STAT_TURNS_IDLE, 1);
    if (took_ns > stats_get(stats, STAT_TURN_NS_MAX))
        stats_set(stats, STAT_TURN_NS_MAX, took_ns);
    if (took_ns > TURN_NS_LONG && t->number < t->broker->workers_n)
        diag_write(&t->broker->workers[t->number]->diag, now, DIAG_TURN_LONG, NULL,
                   (int64_t)(took_ns / NS_PER_US), 0);
}

/* Does what main ordered; false: leave the loop. */
static bool thread_obey(struct thread *t, int done)
{
    uint8_t order = atomic_load_explicit(&t->order, memory_order_acquire);

    if (likely(order == THREAD_RUN))
        return true;
    if (t->number < t->broker->workers_n)
        worker_stop(t->broker->workers[t->number], t->stop_deadline_ns);
    atomic_store_explicit(&t->is_quiet, done == 0 && broker_thread_is_quiet(t->broker, t->number),
                          memory_order_release);
    return order != THREAD_END;
}

/* For the memory ledger. */
static void stack_tell(struct thread *t)
{
    pthread_attr_t attr;
    void *at;
    size_t bytes;

    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return; /* its line is a little too small then */
    if (pthread_attr_getstack(&attr, &at, &bytes) == 0)
        stats_cell_set(&t->broker->stacks[t->number], (uintptr_t)at);
    pthread_attr_destroy(&attr);
}

/* Linux 6.12 lets a thread with a shorter slice take the core from one that is not through with its
 * own (0.7 to 3 ms, with the number of cores): a worker that shares a core with a busy client
 * answers at once. It costs nobody a share of the core, and needs no privilege; earlier kernels do
 * not look at it. The kernel's io workers are made by this thread and have its slice.
 *
 * Not the shortest that the kernel takes (0.1 ms): short sleeps do not renew a slice, so an io
 * worker would use it up within a few writes, be put aside in the middle of one, and get the core
 * back at the next tick, up to 4 ms later, while all writes wait behind it. */
static void thread_slice_shorten(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
        uint32_t util_min, util_max;
    } attr = {.size = sizeof attr};
    if (syscall(SYS_sched_getattr, 0, &attr, sizeof attr, 0) != 0 || attr.policy != SCHED_OTHER)
        return;
    attr.runtime = SLICE_NS;
    (void)syscall(SYS_sched_setattr, 0, &attr, 0); /* a wish */
}

static void *thread_loop(void *argument)
{
    struct thread *t = argument;
    uint32_t idle_n = 0;
    struct now now;

    thread_self = broker_self(t->broker, t->number);
    stack_tell(t);
    now = clock_read();
    wake_begin(t);
    if (broker_io(t->broker, t->number) != NULL)
        thread_slice_shorten(); /* helpers have time */
    if (t->number < t->broker->workers_n)
        worker_ports_begin(t->broker->workers[t->number]);
    for (;;) {
        struct now before = now;
        int done = broker_turn(t->broker, t->number, now);
        if (!thread_obey(t, done))
            return NULL;
        now = clock_read();
        thread_count(t, before, now, done);
        idle_n = done > 0 ? 0 : idle_n + 1;
        if (idle_n >= t->spin.turns_max && !t->is_polling) {
            before = now;
            thread_sleep(t, now);
            now = clock_read();
            spin_slept(&t->spin, now.ns - before.ns);
            /* Who slept and finds nothing sleeps again sooner. */
            idle_n = thread_has_ports(t) ? t->spin.turns_max - 1 : t->spin.turns_max / 2;
        }
    }
}

/* ── main: starting ── */

int cpus_parse(const char *text, int *cpus, int max)
{
    int n = 0;

    while (*text != 0) {
        char *end;
        long first = strtol(text, &end, 10), last = first;
        if (end == text || first < 0)
            return E_INVALID;
        if (*end == '-') {
            text = end + 1;
            last = strtol(text, &end, 10);
            if (end == text)
                return E_INVALID;
        }
        if (last < first || last >= CPU_SETSIZE || (*end != ',' && *end != 0))
            return E_INVALID;
        for (long cpu = first; cpu <= last; cpu++) {
            if (n == max)
                return E_INVALID;
            cpus[n++] = (int)cpu;
        }
        text = *end == ',' ? end + 1 : end;
    }
    return n;
}

/* A worker's own core; for the others, every core that no worker is pinned to. */
static void affinity_of(const struct thread *t, const int *cpus, int cpus_n, cpu_set_t *set)
{
    CPU_ZERO(set);
    if (t->cpu >= 0) {
        CPU_SET(t->cpu, set);
        return;
    }
    sched_getaffinity(0, sizeof *set, set);
    for (int i = 0; i < cpus_n; i++)
        if (CPU_COUNT(set) > 1)
            CPU_CLR(cpus[i], set);
}

nodiscard static int thread_start(struct thread *t, const int *cpus, int cpus_n)
{
    pthread_attr_t attr;
    cpu_set_t set;
    char name[16];
    int rc;

    if (pthread_attr_init(&attr) != 0)
        return E_NO_MEMORY;
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    if (cpus_n > 0) {
        affinity_of(t, cpus, cpus_n, &set);
        pthread_attr_setaffinity_np(&attr, sizeof set, &set);
    }
    rc = pthread_create(&t->id, &attr, thread_loop, t);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        return error_from_errno(rc);
    t->is_started = true;
    broker_thread_name(t->broker, t->number, name, sizeof name);
    pthread_setname_np(t->id, name);
    return 0;
}

int threads_start(struct threads *threads, struct broker *b, const int *cpus, int cpus_n,
                  bool is_polling)
{
    sigset_t all, before;
    int rc = 0;

    memset(threads, 0, sizeof *threads);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint8_t i = 0; i < broker_threads_n(b) && rc == 0; i++) {
        struct thread *t = &threads->v[threads->n++];
        t->broker = b;
        t->number = i;
        t->spin.turns_max = SPIN_TURNS_MAX;
        t->is_polling = is_polling && i < b->workers_n;
        t->cpu = cpus_n > 0 && i < b->workers_n ? cpus[i % cpus_n] : -1;
        rc = thread_start(t, cpus, cpus_n);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0)
        threads_end(threads);
    return rc;
}

/* ── main: stopping ── */

static void thread_order_set(struct thread *t, enum thread_order order)
{
    uint64_t one = 1;

    atomic_store_explicit(&t->order, order, memory_order_release);
    /* The counter cannot overflow by our few writes; a thread that does not sleep ignores it. */
    if (write(broker_post(t->broker, t->number)->event_fd, &one, sizeof one) < 0)
        check(errno == EAGAIN || errno == EINTR);
}

void threads_stop(struct threads *threads, uint64_t deadline_ns)
{
    for (uint8_t i = 0; i < threads->n; i++) {
        threads->v[i].stop_deadline_ns = deadline_ns;
        thread_order_set(&threads->v[i], THREAD_STOP);
    }
}

bool threads_are_quiet(struct threads *threads, uint32_t *busy_n)
{
    *busy_n = 0;
    for (uint8_t i = 0; i < threads->n; i++)
        *busy_n += !atomic_load_explicit(&threads->v[i].is_quiet, memory_order_acquire);
    return *busy_n == 0;
}

void threads_end(struct threads *threads)
{
    for (uint8_t i = 0; i < threads->n; i++)
        if (threads->v[i].is_started)
            thread_order_set(&threads->v[i], THREAD_END);
    for (uint8_t i = 0; i < threads->n; i++)
        if (threads->v[i].is_started)
            pthread_join(threads->v[i].id, NULL);
}

/* ── boot, side by side ── */

struct part {
    void (*run)(void *argument, uint32_t at);
    void *argument;
    uint32_t at;
    pthread_t thread;
    bool has_thread;
};

static void *part_run(void *argument)
{
    const struct part *part = argument;
    part->run(part->argument, part->at);
    return NULL;
}

void threads_each(void *context, uint32_t n, void (*run)(void *argument, uint32_t at),
                  void *argument)
{
    struct part parts[BROKER_WORKERS_MAX];
    (void)context;
    check(n > 0 && n <= BROKER_WORKERS_MAX);
    for (uint32_t i = 1; i < n; i++) {
        parts[i] = (struct part){run, argument, i, 0, false};
        parts[i].has_thread = pthread_create(&parts[i].thread, NULL, part_run, &parts[i]) == 0;
    }
    run(argument, 0);
    for (uint32_t i = 1; i < n; i++) {
        if (parts[i].has_thread)
            pthread_join(parts[i].thread, NULL);
        else
            run(argument, i);
    }
}
