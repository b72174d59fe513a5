/*
 * real_store.h - storage as it is, under the names of fake_store.h, for kafka_bed.h:
 * KAFKA_BED_REAL.
 *
 * Owner: the test program. Each worker of the bed has a rig (storage's own test bed): fake io, real
 * helpers, a directory of its own under /tmp.
 */
#ifndef MILLRACE_REAL_STORE_H
#define MILLRACE_REAL_STORE_H

#include "unit/storage/rig.h"

enum { REAL_STORES_MAX = 3 };

/* The rigs of the running test, in the order they were made. */
struct real_stores {
    struct rig *rigs[REAL_STORES_MAX];
    uint32_t n;
};

static struct real_stores *real_stores(void)
{
    static struct real_stores all;
    return &all;
}

static struct rig *real_rig(struct store *store)
{
    for (uint32_t i = 0; i < real_stores()->n; i++)
        if (real_stores()->rigs[i]->store == store)
            return real_stores()->rigs[i];
    check(false);
    return NULL;
}

static struct store *fake_store_new(void)
{
    struct rig *rig = malloc(sizeof *rig);
    rig_init(rig);
    rig->now = (struct now){NS_PER_S, 1700000000000};
    check(real_stores()->n < REAL_STORES_MAX);
    real_stores()->rigs[real_stores()->n++] = rig;
    return rig->store;
}

static struct plog *fake_log_new(struct store *store, const struct uuid *id, int32_t partition)
{
    struct rig *rig = real_rig(store);
    struct log_id log_id = {*id, bytes_of_string("topic"), partition};
    struct plog *log;
    check(store_log_new(store, &log_id, &rig->log_config, &log) == 0);
    return log;
}

/* The store's part of a worker's turn: what comes in, and after the requests what goes out. */
static void real_turn_in(struct store *store, struct now now)
{
    struct rig *rig = real_rig(store);
    rig->now = now;
    fake_io_run(&rig->io);
    rig_mail(rig);
}

static void real_turn_out(struct store *store, struct now now)
{
    struct rig *rig = real_rig(store);
    store_flush(store, now);
    mail_flush(&rig->posts[RIG_STORE]);
}

static void fake_store_free(struct store *store)
{
    struct rig *rig = real_rig(store);
    rig_settle(rig);
    rig_fini(rig);
    free(rig);
    if (store != NULL && --real_stores()->n > 0)
        memmove(real_stores()->rigs, real_stores()->rigs + 1,
                real_stores()->n * sizeof real_stores()->rigs[0]);
}

#endif
