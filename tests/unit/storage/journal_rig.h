/*
 * journal_rig.h - a store with a small journal and four logs, its crash and its next start: what the
 * tests of the journal have in common.
 *
 * Owner: the test.
 */
#ifndef MILLRACE_JOURNAL_RIG_H
#define MILLRACE_JOURNAL_RIG_H

#include "journal.h"

#include "rig.h"

enum { LOGS_MAX = 4, RING_BYTES = 512 << 10 };

static struct rig rig;
static struct plog *logs[LOGS_MAX];
static struct journal_report replayed;
static bool is_topic_gone;

static inline bool knows(void *context, struct bytes topic, int32_t partition, const struct uuid *id)
{
    (void)context;
    return !is_topic_gone && bytes_equal_string(topic, "topic") && partition < LOGS_MAX &&
           uuid_equal(id, &rig_topic_id);
}

static inline void ready(void)
{
    rig.config.journal_bytes = RING_BYTES;
    rig.config.writeback_ns = 50 * NS_PER_MS;
    rig.store->config = rig.config;
    assert_int_equal(store_journal_open(rig.store, 7), 0);
    is_topic_gone = false;
}

static inline int setup(void **state)
{
    (void)state;
    rig_init(&rig);
    ready();
    for (int32_t i = 0; i < LOGS_MAX; i++)
        logs[i] = rig_log_new(&rig, i);
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    return 0;
}

static inline struct journal *journal(void)
{
    return rig.store->journal;
}

static inline void append(int at, uint32_t bytes, uint8_t mark)
{
    struct append out;
    assert_int_equal(rig_append_to(&rig, logs[at], 1, bytes, mark, &out), 0);
}

/* What the next process does before it opens logs. */
static inline int replay(bool is_loss_accepted)
{
    char why[512] = "";
    rig.disk.fail_at = 0;
    int rc = journal_replay(&rig.disk.disk, rig.directory, knows, NULL, is_loss_accepted, &replayed,
                            why, sizeof why);
    assert_true((rc == E_CORRUPT) == (why[0] != 0));
    return rc;
}

static inline void reopen(void)
{
    struct recovery_report report = {0};
    for (int32_t i = 0; i < LOGS_MAX; i++) {
        struct log_id id = rig_id(i);
        assert_int_equal(
            store_log_recover(rig.store, &id, &rig.log_config, false, &report, &logs[i]), 0);
    }
    rig.log = logs[0];
    assert_int_equal(store_recovered(rig.store), 0);
    assert_int_equal(journal_clear(&rig.disk.disk, rig.directory), 0);
    ready();
}

/* SIGKILL, and the next start. */
static inline void restart(void)
{
    rig_stop(&rig);
    assert_int_equal(replay(false), 0);
    rig_start(&rig);
    reopen();
}

#endif
