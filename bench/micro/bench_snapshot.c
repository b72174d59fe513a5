/*
 * bench_snapshot.c - the turns of control that build a snapshot of 50,000 partitions.
 *
 *   bench_snapshot          milliseconds of the longest turn and of all, and how many they were
 *   bench_snapshot count N  every case N times and nothing else: tools/budget.py counts for it
 *
 * Owner: the program. Control whole over tests/unit/control/rig.h; the disk is memory.
 */
#define RIG_PLAIN
#include "../../tests/unit/control/rig.h"

#include "clock.h"

#define noinline __attribute__((noinline))

enum {
    TOPICS_N = 10,
    PARTITIONS_N = 5000, /* of each topic */
    RARE = 50,           /* tools/budget.py knows */
    MIDDLE = 20,         /* a turn that writes partitions alone */
};

static struct rig rig;

/* The name makes each function another one: the compiler folds those that are equal. */
static const char *case_now;
#define CASE(name)                                \
    static noinline void case_##name(void)        \
    {                                             \
        case_now = #name;                         \
        (void)control_turn(rig.control, rig.now); \
    }
CASE(begin_50000_rare)
CASE(middle_50000_rare)
CASE(last_50000_rare)

static void start(void)
{
    rig_init(&rig, 1);
    check(rig_start(&rig) == 0);
    for (int i = 0; i < TOPICS_N; i++) {
        char name[16];
        snprintf(name, sizeof name, "topic-%04d", i);
        check(rig_create(&rig, name, PARTITIONS_N) == 0);
        rig.orders_n = 0;
    }
}

/* One whole snapshot; the turns that build it, and the longest of them. */
static int build(uint64_t *longest_ns, uint64_t *all_ns)
{
    static int topic_at;
    struct snapshot *s = &rig.control->snapshot;
    char name[16];
    int n = 0, turns_n = (TOPICS_N * (PARTITIONS_N + 2)) / SNAPSHOT_STEPS_PER_TURN + 1;
    snprintf(name, sizeof name, "news-%d", topic_at++);
    check(rig_create(&rig, name, 1) == 0);
    rig.orders_n = 0;
    for (int i = 0; i < 100; i++)
        rig_turn(&rig);
    check(s->phase == SNAPSHOT_NONE);
    rig.now.ns += 3601 * NS_PER_S;
    while (timers_run(&rig.timers, rig.now, 1000) > 0) {
        /* an hour of them is no part of the turn */
    }
    *longest_ns = *all_ns = 0;
    do {
        uint64_t begin_ns = clock_read_ns();
        if (n == 0)
            case_begin_50000_rare();
        else if (n == MIDDLE)
            case_middle_50000_rare();
        else if (n == turns_n)
            case_last_50000_rare();
        else
            (void)control_turn(rig.control, rig.now);
        uint64_t spent_ns = clock_read_ns() - begin_ns;
        *longest_ns = max_u64(*longest_ns, spent_ns);
        *all_ns += spent_ns;
        n++;
        rig.now.ns += NS_PER_MS;
    } while (s->phase == SNAPSHOT_BUILDING);
    check(n == turns_n + 1);
    while (s->phase != SNAPSHOT_NONE)
        rig_turn(&rig);
    return n;
}

int main(int argc, char **argv)
{
    uint64_t longest_ns, all_ns;
    long n = argc == 3 && strcmp(argv[1], "count") == 0 ? strtol(argv[2], NULL, 10) / RARE : 0;
    start();
    if (n == 0) {
        (void)build(&longest_ns, &all_ns); /* touches the memory first */
        int turns_n = build(&longest_ns, &all_ns);
        printf("snapshot of 50,000 partitions: %d turns, longest %.3f ms, all %.3f ms\n", turns_n,
               (double)longest_ns / 1e6, (double)all_ns / 1e6);
    }
    while (n-- > 0)
        (void)build(&longest_ns, &all_ns);
    rig_fini(&rig);
    return 0;
}
