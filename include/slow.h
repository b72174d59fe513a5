/*
 * slow.h - where a request's time goes: its stages, and who is to blame for each.
 *
 * Owner: immutable (pure functions); a struct slow is its holder's.
 *
 * The stages of a request are times of turns: what happens within one turn has no length of its
 * own. A turn that overran its budget (turns.h) shows in whatever stage followed; `overrun_us` says
 * how much of a stage it was, and is taken out of the stage's own blame. The lengths of all stages
 * sum to `total_ns`.
 */
#ifndef MILLRACE_SLOW_H
#define MILLRACE_SLOW_H

#include "turns.h"

/* Stamped in this order, 0 = did not happen (design 1.5). Each row: the stage, when it was reached,
 * and who is to blame for the time since the stage before it. */
#define STAGES(STAGE)                                                                            \
    STAGE(FIRST_BYTE, "the first byte of the frame had arrived", NONE)                           \
    STAGE(COMPLETE, "the frame was complete", CLIENT_SENDING)                                    \
    STAGE(STARTED, "its turn came: header read, body decoded", ADMISSION)                        \
    STAGE(WOKEN, "the records or the time it waited for had come", MIN_BYTES)                    \
    STAGE(ARRIVED, "the last operation had arrived at its log's worker", MAIL)                   \
    STAGE(PLACED, "all batches placed in the tail, or all reads made", PLACING)                  \
    STAGE(WRITTEN, "the appends were written", WRITE)                                            \
    STAGE(FLUSHING, "the flush that made them durable had begun", FLUSH_WAIT)                    \
    STAGE(FLUSHED, "the appends were durable", DEVICE_FLUSH)                                     \
    STAGE(MAILED, "the last operation came back from another thread", MAIL)                      \
    STAGE(READY, "the answer was ready", ANSWER)                                                 \
    STAGE(SENDING, "earlier answers of its connection had gone: its first byte was sent", ORDER) \
    STAGE(SENT, "the answer was handed to the transport whole", CLIENT_READING)

/* The name in JSON, and what an operator reads. */
#define CULPRITS(CULPRIT)                                                                          \
    CULPRIT(NONE, "none", "nothing stands out")                                                    \
    CULPRIT(CLIENT_SENDING, "client_sending", "the client sent its request slowly")                \
    CULPRIT(ADMISSION, "admission", "it waited for memory of requests (queued.max.request.bytes)") \
    CULPRIT(MIN_BYTES, "min_bytes",                                                                \
            "watermark wait: fewer than min_bytes were there, up to max_wait_ms")                  \
    CULPRIT(MAIL, "mail", "mail between workers: the other one was busy")                          \
    CULPRIT(PLACING, "tail_room", "it waited for room in the tail (storage.tail.bytes)")           \
    CULPRIT(READING, "read", "reading from the disk, or waiting for memory of answers")            \
    CULPRIT(WRITE, "write", "the write to the journal or the log")                                 \
    CULPRIT(FLUSH_WAIT, "flush_wait",                                                              \
            "it waited for the flush before it to end (or storage.group.max.ms)")                  \
    CULPRIT(DEVICE_FLUSH, "device_flush", "the device took that long to flush")                    \
    CULPRIT(CONTROL, "control", "the control thread, or what it waited for there")                 \
    CULPRIT(ANSWER, "answer", "making the answer")                                                 \
    CULPRIT(ORDER, "order", "encoding, or it waited behind earlier answers of its connection")     \
    CULPRIT(CLIENT_READING, "client_reading", "the client did not read its answer")                \
    CULPRIT(NETWORK, "network",                                                                    \
            "it was the network: segments were lost or overtaken on their way")                    \
    CULPRIT(STALL, "disk_stall", "it was the disk: its device stood still (storage.stall.ms)")     \
    CULPRIT(OVERRUN, "turn_overrun", "a turn of the worker took too long")

enum stage {
#define STAGE(name, text, culprit) STAGE_##name,
    STAGES(STAGE)
#undef STAGE
        STAGES_N
};

enum culprit {
#define CULPRIT(name, word, text) CULPRIT_##name,
    CULPRITS(CULPRIT)
#undef CULPRIT
        CULPRITS_N
};

enum { SLOW_PEER_MAX = 48 };

/* One request that was slow: the words of an entry of top.h. Owner: its holder. */
struct slow {
    uint64_t total_ns; /* first byte to sent */
    uint64_t
        stages_ns[STAGES_N];  /* since the stage before; 0: did not happen, or in the same turn */
    int64_t wall_ms;          /* when it was sent */
    uint64_t overrun_step_ns; /* what the step below took of the worst turn, ... */
    uint64_t overrun_turn_ns; /* ... which took this in all; 0: none overran */
    uint64_t stall_ns, stall_took_ns; /* of it while a disk stood still; that stall in all */
    uint32_t overrun_us[STAGES_N];    /* of stages_ns: spent in turns that overran */
    uint32_t frame_bytes, answer_bytes;
    int16_t api_key, version;
    uint8_t overrun_step; /* enum turn_step */
    bool is_control;      /* answered by the control thread */
    bool has_left;        /* the connection ended before the answer was sent */
    uint8_t worker;
    uint8_t stall_dir;        /* the number of the log directory that stall was in */
    bool is_own_tcp;          /* our own TCP: the next three are known */
    bool was_window_shut;     /* while the answer went: the client did not read */
    uint16_t holes_n;         /* in the request as it came: bytes missing before later ones */
    uint16_t again_n;         /* segments sent again while the answer went */
    char peer[SLOW_PEER_MAX]; /* "127.0.0.1:41234", cut; "" when unknown */
};
static_assert(sizeof(struct slow) % 8 == 0 && sizeof(struct slow) / 8 <= TOP_WORDS,
              "an entry of top.h");

static inline enum culprit slow_stage_culprit(const struct slow *s, enum stage stage)
{
    static const uint8_t culprits[] = {
#define STAGE(name, text, culprit) CULPRIT_##culprit,
        STAGES(STAGE)
#undef STAGE
    };
    enum { API_PRODUCE = 0 };
    if (stage == STAGE_MAILED && s->is_control)
        return CULPRIT_CONTROL;
    if (stage == STAGE_COMPLETE && s->holes_n > 0)
        return CULPRIT_NETWORK;
    if (stage == STAGE_SENT && s->again_n > 0 && !s->was_window_shut)
        return CULPRIT_NETWORK;
    if (stage == STAGE_PLACED && s->api_key != API_PRODUCE)
        return CULPRIT_READING;
    return (enum culprit)culprits[stage];
}

/* Times of stages become lengths; overruns of `turns` (NULL: not known) are taken out. `stages` are
 * a request's stamps: one that lies before an earlier one has no length. */
static inline void slow_measure(struct slow *s, const uint64_t *stages, const struct turns *turns)
{
    const struct turn_overrun *worst = NULL;
    uint64_t before = stages[STAGE_FIRST_BYTE], worst_ns = 0;
    for (int i = STAGE_FIRST_BYTE + 1; i < STAGES_N; i++) {
        uint64_t at = max_u64(before, stages[i]);
        uint64_t overrun_ns = turns_overlap(turns, before, at, &worst, &worst_ns);
        s->stages_ns[i] = at - before;
        s->overrun_us[i] = (uint32_t)min_u64(overrun_ns / NS_PER_US, UINT32_MAX);
        before = at;
    }
    s->total_ns = before - stages[STAGE_FIRST_BYTE];
    if (worst == NULL)
        return;
    s->overrun_step = (uint8_t)turn_cause(worst);
    s->overrun_step_ns = worst->steps_ns[s->overrun_step];
    s->overrun_turn_ns = worst->took_ns;
}

/* What a disk that stands still makes longer gives the stall its part. */
static inline void slow_take_stall(const struct slow *s, uint64_t took[CULPRITS_N])
{
    static const uint8_t late[] = {CULPRIT_DEVICE_FLUSH, CULPRIT_WRITE, CULPRIT_FLUSH_WAIT,
                                   CULPRIT_READING, CULPRIT_PLACING};
    uint64_t left_ns = s->stall_ns;
    for (size_t i = 0; i < array_n(late); i++) {
        uint64_t part_ns = min_u64(left_ns, took[late[i]]);
        took[late[i]] -= part_ns;
        took[CULPRIT_STALL] += part_ns;
        left_ns -= part_ns;
    }
}

/* Who took most of the time, and how much of it. */
static inline enum culprit slow_culprit(const struct slow *s, uint64_t *took_ns)
{
    uint64_t took[CULPRITS_N] = {0};
    enum culprit most = CULPRIT_NONE;
    for (int i = STAGE_FIRST_BYTE + 1; i < STAGES_N; i++) {
        uint64_t overrun_ns = min_u64(s->overrun_us[i] * NS_PER_US, s->stages_ns[i]);
        took[CULPRIT_OVERRUN] += overrun_ns;
        took[slow_stage_culprit(s, (enum stage)i)] += s->stages_ns[i] - overrun_ns;
    }
    slow_take_stall(s, took);
    for (int i = 1; i < CULPRITS_N; i++)
        if (took[i] > took[most])
            most = (enum culprit)i;
    *took_ns = took[most];
    return most;
}

#endif
