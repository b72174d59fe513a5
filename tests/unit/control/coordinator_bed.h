/*
 * coordinator_bed.h - control whole, over the rig; the partitions of __consumer_offsets are memory,
 * and the test decides when an append ends and how. A restart keeps them.
 *
 * Owner: the test.
 */
#ifndef MILLRACE_COORDINATOR_BED_H
#define MILLRACE_COORDINATOR_BED_H

#include "rig.h"

#include "coordinator.h"
#include "group_records.h"

enum { LOGS = 5, LOG_BYTES = 4 << 20 };

/* One partition of __consumer_offsets. */
static struct log {
    uint8_t *v;
    uint32_t n;
    int64_t end;
    uint32_t batches_n;
} logs[LOGS];
static struct held {
    struct mail *mail;
    uint8_t worker;
} held[64];
static uint32_t held_n;
static bool holds; /* appends and loads do not end */
static int append_error, load_error;
static struct rig rig;

static inline void commit_run(uint8_t worker, struct commit_op *op)
{
    struct log *log = &logs[op->partition];
    struct batch batch;
    assert_int_equal(batch_header(op->batch, &batch), 0);
    assert_int_equal(batch.bytes, op->bytes);
    op->error = append_error;
    if (append_error == 0) {
        assert_true(log->n + op->bytes <= LOG_BYTES);
        memcpy(log->v + log->n, op->batch, op->bytes);
        store_u64(log->v + log->n, (uint64_t)log->end);
        log->n += op->bytes;
        log->end += batch.last_delta + 1;
        log->batches_n++;
    }
    mail_answer(&rig.posts[worker], &op->mail);
}

static inline void load_run(uint8_t worker, struct load_op *op)
{
    const struct log *log = &logs[op->partition];
    uint32_t at = 0, n = 0;
    struct batch batch;
    op->error = load_error;
    op->bytes = 0;
    while (op->error == 0 && at < log->n) {
        assert_int_equal(batch_header(log->v + at, &batch), 0);
        if (batch.base_offset + batch.last_delta >= op->offset) {
            if (n == 0 && batch.bytes > op->bytes_max) {
                op->error = E_TOO_LARGE;
                op->bytes = batch.bytes;
                break;
            }
            if (n + batch.bytes > op->bytes_max)
                break;
            memcpy(op->buffer + n, log->v + at, batch.bytes);
            n += batch.bytes;
            op->bytes = n;
        }
        at += batch.bytes;
    }
    mail_answer(&rig.posts[worker], &op->mail);
}

static inline void on_mail(struct rig *r, uint8_t worker, struct mail *mail)
{
    (void)r;
    if (mail->kind == MAIL_LOAD && holds)
        held[held_n++] = (struct held){mail, worker};
    else if (mail->kind == MAIL_LOAD)
        load_run(worker, container_of(mail, struct load_op, mail));
    else if (mail->kind == MAIL_COMMIT && holds)
        held[held_n++] = (struct held){mail, worker};
    else if (mail->kind == MAIL_COMMIT)
        commit_run(worker, container_of(mail, struct commit_op, mail));
}

static inline void release(void)
{
    holds = false;
    for (uint32_t i = 0; i < held_n; i++)
        on_mail(&rig, held[i].worker, held[i].mail);
    held_n = 0;
}

static inline void turns(int n)
{
    while (n-- > 0)
        rig_turn(&rig);
}

static inline bool is_loaded(void)
{
    struct coordinator *co = rig.control->coordinator;
    for (int32_t i = 0; i < co->partitions_n; i++)
        if (co->partitions[i].state != COORDINATOR_ACTIVE)
            return false;
    return co->partitions_n == LOGS;
}

static inline void start(void)
{
    assert_int_equal(rig_start(&rig), 0);
    rig.on_mail = on_mail;
}

static inline int setup(void **state)
{
    (void)state;
    rig_init(&rig, 2);
    rig_override(&rig, "offsets.topic.num.partitions=5");
    rig_override(&rig, "group.initial.rebalance.delay.ms=0");
    holds = false;
    append_error = load_error = 0;
    held_n = 0;
    for (int i = 0; i < LOGS; i++)
        logs[i] = (struct log){.v = malloc(LOG_BYTES)};
    start();
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    rig_fini(&rig);
    for (int i = 0; i < LOGS; i++)
        free(logs[i].v);
    return 0;
}

static inline void coordinator_make(void)
{
    struct control_op op;
    struct find_coordinator_request q = {.key = bytes_of_string("g")};
    assert_non_null(rig_ask(&rig, &op, 10, 3, &q));
    arena_fini(&op.arena);
    for (int i = 0; i < 100 && !is_loaded(); i++)
        rig_turn(&rig);
    assert_true(is_loaded());
}

/* As after a crash: whatever was under way is gone. */
static inline void restart(void)
{
    holds = false;
    held_n = 0;
    rig_stop(&rig);
    start();
}

static inline void loaded(void)
{
    for (int i = 0; i < 200 && !is_loaded(); i++)
        rig_turn(&rig);
    assert_true(is_loaded());
}

#endif
