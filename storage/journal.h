/*
 * journal.h - the commit journal: one ring file per store that makes the appends of a turn durable
 * with one write and one flush, however many logs they went to.
 *
 * Owner: home; main at boot and stop. Only files of storage/ include this.
 *
 * The file, <log directory>/millrace.journal/<number>.ring (no partition can have that name: Apache
 * Kafka refuses to start on a directory that holds it). Numbers are big-endian.
 *
 *   block 0       the ring's head: magic, generation, CRC-32C; the rest is zero
 *   blocks 1..    records, each a whole number of blocks, in one piece. The next one begins where
 *                 the last one ended, or at block 1 when there is no room before the file's end.
 *
 *   record   0 u64 magic   8 generation  24 u64 sequence  32 u64 tail  40 u64 flushed
 *           48 u32 bytes, whole blocks  52 u32 bytes used  56 u32 entries  60 u32 CRC-32C of 0..60
 *              and 64..used
 *   entry    0 topic id  16 i32 partition  20 u32 position in the segment  24 i64 segment
 *           32 i64 end offset of the log  40 u32 bytes  44 i32 leader epoch  48 u8 length of the
 *              topic's name  49 zero x 7  56 name, zeros to a multiple of 8; then the bytes, zeros
 *              to a multiple of 8
 *
 * A generation is 128 random bits, new at every boot: bytes a client sent cannot be taken for a
 * record. Records below `tail` are given up: what they hold is durable in its segments. `flushed`
 * is the newest record known to be on the device when this one was written.
 *
 * Recovery (journal_replay.c) reads all rings of a directory, whoever wrote them: the valid record
 * with the highest sequence tells the tail, and everything from there on without a gap is put where
 * it belongs. A record missing at or below a flushed sequence is damage, not the end.
 *
 * States of a journal:
 *
 *   IDLE <-> BUSY (records are under way)      any -> FAILED: a write or flush failed, never
 * retried
 *
 * Sizes: per store JOURNAL_RECORD_MAX + JOURNAL_SECOND_MAX of memory (the records under way),
 * storage.journal.bytes of disk, of which JOURNAL_START_BYTES before the port opens and the rest in
 * steps of JOURNAL_GROW_BYTES when an eighth is in use.
 */
#ifndef MILLRACE_JOURNAL_H
#define MILLRACE_JOURNAL_H

#include "plog.h"

#define JOURNAL_RECORD_MAGIC 0x6d696c6c7265636full
#define JOURNAL_RING_MAGIC   0x6d696c6c72696e67ull

enum {
    JOURNAL_BLOCK = 4096,
    JOURNAL_BYTES_MIN = 16 * JOURNAL_BLOCK,
    JOURNAL_START_BYTES = 16 << 20,
    JOURNAL_GROW_BYTES = 16 << 20,
    JOURNAL_GROW_PART = 8, /* so much of it in use: it grows, before write-back has to hurry */
    JOURNAL_RECORD_MAX = 8 << 20,
    JOURNAL_RECORDS = 2,            /* under way at once: the second one ...                     */
    JOURNAL_SECOND_MAX = 2 << 20,   /* ... holds so much ...                                     */
    JOURNAL_SECOND_MIN = 256 << 10, /* ... and begins when so much was appended behind the first */
    JOURNAL_RUNS = 4,               /* a run may fill this part of the ring ...                  */
    JOURNAL_DISK_PART = 16,         /* ... and the ring this part of the disk                     */
    JOURNAL_RUN_MAX = 128 << 10,    /* a run as long goes straight to its segment ... */
    JOURNAL_DIRECT_LOGS = 64,       /* ... of so many logs at once */
    JOURNAL_RECORD_HEAD = 64,
    JOURNAL_ENTRY_HEAD = 56,
    JOURNAL_RING_HEAD = 64,
    JOURNAL_RESERVE = 2 * JOURNAL_BLOCK, /* so that a record that moves the tail always fits    */
    JOURNAL_SHORTS_MAX = 64,             /* writes of one record that end early                 */
};

/* ── journal_record.c: the format ── */

struct journal_head {
    uint64_t seq, tail_seq, flushed_seq;
    uint32_t bytes, used, entries_n;
};

/* A run of one log in one segment. `topic` and `data` are views. */
struct journal_entry {
    struct uuid topic_id;
    int32_t partition;
    uint32_t pos;
    int64_t base_offset, end_offset;
    int32_t epoch;
    struct bytes topic, data;
};

/* The first block of a ring. */
void journal_ring_put(uint8_t *block, const struct uuid *generation);
/* E_EOF: never finished (all zero); E_CORRUPT. */
nodiscard int journal_ring_read(const uint8_t *block, struct uuid *generation);
/* What an entry takes in a record, its head included. */
uint32_t journal_entry_bytes(uint32_t topic_n, uint32_t data_n);
/* Writes all but the data (data.ptr is not looked at); returns where that goes. */
uint8_t *journal_entry_put(uint8_t *to, const struct journal_entry *entry);
/* Completes a record whose entries are in place: head, CRC. What its last block holds behind them
 * stays what it was: nothing reads it. */
void journal_record_end(uint8_t *record, const struct uuid *generation,
                        const struct journal_head *head);
/* The head of a record, if `block` begins with one of this generation: E_NOT_FOUND. */
nodiscard int journal_head_read(const uint8_t *block, const struct uuid *generation,
                                struct journal_head *head);
/* Whole and unchanged? `record` has head->bytes. E_CORRUPT. */
nodiscard int journal_record_check(const uint8_t *record, const struct journal_head *head);
/* The entry at *at (JOURNAL_RECORD_HEAD at first), and *at moves. E_EOF, E_CORRUPT. */
nodiscard int journal_entry_next(struct bytes record, uint32_t *at, struct journal_entry *out);

/* ── journal.c: the ring ── */

enum journal_state { JOURNAL_IDLE, JOURNAL_BUSY, JOURNAL_FAILED };
enum write_back_state { WRITE_BACK_IDLE, WRITE_BACK_WRITING, WRITE_BACK_SYNCING };

/* A place in the ring: where in the file, and how many bytes were given out up to it. */
struct ring_place {
    uint64_t at, total;
};

/* Being gathered, or under way. Owner: home. */
struct journal_record {
    struct list link;                     /* journal.under_way */
    uint8_t number;                       /* its place in journal.records */
    bool is_written, is_told, is_flushed; /* told: to the logs, in the order of the records */
    uint8_t *buffer;
    uint32_t bytes_max;
    uint32_t used, entries_n, bytes, written_bytes, shorts_n;
    uint64_t seq, at, tail_seq, begun_ns;
    struct ring_place end, tail;
    struct store_op op, sync; /* its write, and the flush that the kernel begins behind it */
    struct iovec iov;
    struct list logs; /* with entries in it */
};

/* Owner: home. */
struct journal {
    uint8_t state;   /* enum journal_state */
    bool is_direct;  /* O_DIRECT */
    bool is_pinned;  /* the tail cannot move any more: a log that failed has bytes in the ring */
    bool is_full;    /* the last gathering found no room */
    bool is_hurried; /* somebody waits for bytes to stand in their files */
    bool is_growing;
    bool has_sync_all;
    int fd;
    struct uuid generation;
    uint64_t bytes, bytes_max;
    uint64_t seq;         /* of the next record */
    uint64_t flushed_seq; /* of the newest one on the device */
    uint64_t entries_seq; /* of the newest on the device that has entries */
    uint64_t entries_ns;  /* since when there are such at or above the tail */
    uint64_t tail_seq; /* below it records are not needed; on the device: store.journal_tail_seq */
    struct ring_place head; /* the next record; behind the newest flushed one; where the tail is */
    struct ring_place flushed, tail, tail_safe;
    struct journal_record records[JOURNAL_RECORDS];
    struct list under_way;   /* records sent and not yet flushed, in their order */
    uint64_t gathered_bytes; /* store.stats.appended_bytes when the newest was gathered */
    uint32_t run_max;
    uint32_t second_min; /* JOURNAL_SECOND_MIN; less where tests want many of them  */
    struct list behind;  /* logs with entries that no round of write-back covers yet */
    uint32_t behind_n;
    /* write_back.c */
    uint8_t write_back; /* enum write_back_state */
    bool has_sync_job, is_synced;
    uint64_t round_seq, full_retry_ns;
    uint64_t writing_bytes; /* of writes under way */
    struct ring_place round_tail;
    struct list to_write, to_sync; /* logs of the round */
    uint32_t to_write_n, to_sync_n;
    uint32_t direct_n; /* logs whose bytes go straight to their segments */
};

/* A record is under way, and not enough was appended behind it for a second one. */
bool journal_is_taken(const struct store *store);
/* The record that may be gathered now; NULL: none, enough are under way. */
struct journal_record *journal_begin(struct store *store);
/* The most bytes a record may have now, 0: none; `is_empty`: one that only moves the tail. */
uint32_t journal_room(struct journal *journal, bool is_empty);
/* Sends the record; gather.c hears of its end. */
void journal_send(struct store *store, struct journal_record *record, struct now now);
/* Records are under way, or what is left of them after a failure. */
bool journal_is_busy(const struct journal *journal);
void journal_grow(struct store *store);
static inline uint64_t journal_used(const struct journal *journal)
{
    return journal->head.total - journal->tail_safe.total;
}
/* Boot and stop. */
void journal_free(struct store *store);
/* A clean stop: what it holds is durable in its segments. */
nodiscard int journal_end(struct store *store);

/* ── gather.c: logs and records ── */

/* A dirty log: true when its appends go, or went, through the journal; it is on `unlogged` then. */
bool gather_takes(struct plog *log);
/* One record of what is not in the journal yet, when none is under way. Returns operations begun.
 */
/* It does, or no longer does, write straight to its segments. */
void gather_direct(struct plog *log, bool is_direct);
int gather_run(struct store *store, struct now now);
void gather_written(struct journal_record *record, struct now now);
void gather_flushed(struct journal_record *record, struct now now);
void gather_failed(struct store *store, struct now now);

/* ── write_back.c ── */

int write_back_run(struct store *store, struct now now);
/* The log has entries in a record: the next round is for it, too. */
void write_back_add(struct journal *journal, struct plog *log);
/* The ring or the tail budget is half full: its writes no longer give way to others. */
bool write_back_hurries(const struct store *store);
/* The log is dropped: metadata forgot it, so nobody asks for its entries. */
void write_back_forget(struct plog *log);

#endif
