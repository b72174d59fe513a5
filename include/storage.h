/*
 * storage.h - the face of storage/: partition logs that append, read, become durable and recover.
 *
 * Owner: a struct store and all its logs belong to one thread, their *home* (a worker; control for
 * __cluster_metadata-0). Helpers (files, bulk) work on files by mail and never see a struct plog.
 *
 * Formats on disk are Apache Kafka's (shared by every file in storage/README.md). Offsets of a log,
 * always in this order:
 *
 *      start <= stable <= high <= end            durable <= written <= end
 *
 *   start    first offset a reader may ask for
 *   stable   first offset of the oldest open transaction, or high when there is none
 *   high     what consumers may see: durable (STORE_GROUP) or written (STORE_RELAXED)
 *   written  below it the bytes are with the kernel: survive SIGKILL of the broker
 *   durable  below it the bytes are flushed to the device
 *   end      the offset the next record gets
 *
 * A turn: appends go to tail pages and put their log on *dirty*; store_flush, once at the end of
 * the turn, writes each dirty log's run and begins the flush round; completions move written,
 * durable and high and wake whoever waits. Nothing here blocks.
 */
#ifndef MILLRACE_STORAGE_H
#define MILLRACE_STORAGE_H

#include "arena.h"
#include "bytes.h"
#include "clock.h"
#include "disk.h"
#include "errors.h"
#include "io.h"
#include "mail.h"
#include "pages.h"
#include "slice.h"
#include "timer.h"

/* storage.durability: when acks=all is answered, and what consumers see. */
enum store_durability {
    STORE_GROUP,   /* default: acks=all when durable; acks=1 when written; high = durable */
    STORE_RELAXED, /* Apache Kafka's default: acks=all when written; high = written; flush.messages,
                      flush.ms */
};

/* millrace.latency.class: who goes first at the disk, and whose pages stay (storage/README.md). */
enum latency_class { LATENCY_CRITICAL, LATENCY_NORMAL, LATENCY_BULK };
/* So long after work for a critical log what is bulk goes in small pieces. */
#define STORE_PACED_NS (200 * NS_PER_MS)

enum codec {
    CODEC_NONE,
    CODEC_GZIP,
    CODEC_SNAPPY,
    CODEC_LZ4,
    CODEC_ZSTD,
    CODECS_N,
    CODEC_PRODUCER = 0xff
};

enum { COMPRESS_LEVEL_DEFAULT = INT32_MIN };

/* The settings of a topic that storage honours, resolved from topic, broker and default values.
 * Owner: immutable, part of the view; copied into the log. */
struct log_config {
    uint64_t segment_bytes; /* segment.bytes */
    int64_t segment_ms;     /* segment.ms */
    int64_t segment_jitter_ms;
    uint32_t segment_index_bytes;
    uint32_t index_interval_bytes;
    uint32_t max_message_bytes; /* of one batch */
    int64_t retention_ms;       /* -1 = for ever */
    int64_t retention_bytes;    /* -1 = no bound */
    int64_t file_delete_delay_ms;
    int64_t min_compaction_lag_ms, max_compaction_lag_ms, delete_retention_ms;
    uint32_t min_dirty_millionths; /* min.cleanable.dirty.ratio */
    int64_t flush_messages;        /* STORE_RELAXED only; INT64_MAX = never */
    int64_t flush_ms;
    int64_t timestamp_before_max_ms; /* message.timestamp.before.max.ms */
    int64_t timestamp_after_max_ms;
    bool is_log_append_time;       /* message.timestamp.type=LogAppendTime */
    bool is_compacted, is_deleted; /* cleanup.policy */
    bool preallocate;
    int32_t codec_level; /* compression.<codec>.level, or COMPRESS_LEVEL_DEFAULT */
    uint8_t codec;       /* compression.type: enum codec or CODEC_PRODUCER */
    uint8_t durability;  /* enum store_durability */
    uint8_t latency;     /* enum latency_class */
};

/* Which log. `name` is the topic's; views into memory that outlives the call. */
struct log_id {
    struct uuid topic_id;
    struct bytes topic;
    int32_t partition;
};

struct store;

/* Settings of the process that act while it runs; every store has its share of memory and rate.
 * Owner: immutable, part of the view. */
struct store_live {
    int64_t producer_expiration_ms; /* producer.id.expiration.ms */
    uint64_t compact_map_bytes;     /* log.cleaner.dedupe.buffer.size */
    double compact_load;            /* log.cleaner.io.buffer.load.factor */
    double compact_bytes_per_s;     /* log.cleaner.io.max.bytes.per.second */
    uint64_t compact_backoff_ns;    /* log.cleaner.backoff.ms */
};

/* Limits and settings of a store. */
struct store_config {
    char directory[DISK_PATH_MAX]; /* the log directory */
    uint8_t dir;                   /* its number: place in log.dirs */
    /* Another store of the same home, for another directory, or NULL. Stores side by side find each
     * other's logs and mail and share `pages`; everything else, failures too, is each one's own. */
    struct store *beside;
    uint64_t group_ns_max; /* storage.group.max.ms: a flush begins at most this long after the first
                              byte */
    uint32_t open_files_max; /* descriptors this store may hold at once; least recently used are
                                closed */
    uint64_t stall_ns; /* storage.stall.ms: a flush, write or read that takes longer; 0: any may */
    uint64_t
        open_idle_ns; /* storage.open.files.idle.ms: unused so long they are closed; 0: never */
    uint32_t producers_max;         /* producer ids remembered over all logs (memory bound) */
    int64_t producer_expiration_ms; /* producer.id.expiration.ms */
    uint64_t
        retention_first_ns; /* log.initial.task.delay.ms: no log is looked at earlier after boot */
    uint64_t retention_ns;  /* log.retention.check.interval.ms: between two looks at one log */
    /* Between two writings of a checkpoint file, where something moved; 0: never while running.
     * log.flush.offset.checkpoint.interval.ms, log.flush.start.offset.checkpoint.interval.ms,
     * replica.high.watermark.checkpoint.interval.ms */
    uint64_t recovery_point_ns, log_start_ns, high_ns;
    uint64_t recovery_bytes_max; /* written since the recovery point: it is due at once */
    uint64_t min_free_bytes; /* storage.min.free.bytes: with less on the disk clients' appends are
                                refused; 0: never */
    bool has_reserve;        /* a reserve file: the disk is looked at all the time */
    uint64_t tail_bytes_max; /* unwritten and unflushed bytes; beyond it appends get E_AGAIN */
    bool is_compacting;      /* log.cleaner.enable */
    uint64_t compact_map_bytes;    /* for the keys of one compaction: log.cleaner.dedupe.buffer.size
                                      / stores */
    uint32_t compact_load_percent; /* of that, filled at most: log.cleaner.io.buffer.load.factor */
    uint64_t compact_bytes_per_s;  /* log.cleaner.io.max.bytes.per.second / stores; 0: no bound */
    uint64_t compact_backoff_ns;   /* log.cleaner.backoff.ms: when there was nothing to do */
    int32_t leader_epoch;          /* stamped into batches */
    uint64_t journal_bytes;   /* storage.journal.bytes: the ring of this store; 0: no journal, every
                                 log's file is flushed by itself */
    uint32_t journal_run_max; /* storage.journal.run.max.bytes: as much of a log in a turn goes
                                 straight to its segment; 0: 64 KiB */
    uint64_t writeback_ns; /* storage.writeback.ms: how long bytes may stand in the journal alone */
    uint64_t raw_bytes_min;  /* storage.direct.min.bytes: runs as long go past the page cache; 0:
                                none do */
    uint32_t journal_number; /* differs between the stores of a log directory */
    bool is_inflating;       /* storage.validate.compressed: bulk looks into compressed batches */
};

struct plog;

enum { LOG_DIRS_MAX = 64 }; /* log directories of one broker */

struct store_stats {
    uint64_t appended_batches, appended_bytes, appended_records, duplicate_batches;
    uint64_t producers_forgotten; /* as there were more than config.producers_max */
    uint64_t write_ops, write_bytes, flush_rounds, flush_ops, flush_ns_total, flush_ns_max;
    uint64_t read_hits, read_misses, read_bytes, rolls, logs_n, logs_failed_n, files_open_n;
    uint64_t logs_full_n;                /* that wait for space on the disk */
    uint64_t free_bytes;                 /* on the disk, when it was last looked at */
    bool is_low;                         /* less than min_free_bytes, and what the reserve lacks */
    uint64_t reserve_bytes, reserve_out; /* in the reserve file; released from it */
    uint64_t journal_records, journal_bytes, journal_flushes, journal_ns_total, journal_ns_max;
    uint64_t journal_used_bytes;
    uint64_t journal_full_n; /* turns in which a record found no room */
    uint64_t journal_failed; /* 1: it takes no further record */
    uint64_t journal_pinned; /* 1: a failed log has bytes in it alone; the others do without it */
    uint64_t write_back_rounds;
    uint64_t stalls, stall_ns;     /* of the disk, above config.stall_ns; the newest */
    uint64_t moves, move_errors;   /* of logs from here to a store beside */
    uint64_t moving_n, move_bytes; /* now; copied */
    uint64_t checkpoint_errors;    /* checkpoint files that could not be written */
    uint64_t compactions, compact_errors, compact_read_bytes, compact_written_bytes;
    uint64_t compact_dirty_max;  /* largest part of a log, in millionths, that waits for it */
    uint64_t compact_wait_ns;    /* for the piece that bulk works on; 0: none */
    uint64_t compact_running_n;  /* 1: one is under way */
    uint64_t logs_uncleanable_n; /* given up until the next start */
    uint64_t repacks, repacks_refused, repack_from_bytes, repack_to_bytes;
    int compact_error;          /* of the last one that failed */
    uint64_t refused[ERRORS_N]; /* appends refused, by error */
};

/* ── the store ── */

/* Boot. Memory from the heap and `pages`. `files_thread` and `bulk_thread` are the helpers' numbers
 * for mail. `disk` is used at boot and stop only. 0, E_NO_MEMORY. */
nodiscard int store_init(struct store **out, const struct store_config *config, struct io *io,
                         struct disk *disk, struct pages *pages, struct timers *timers,
                         struct post *post, uint8_t files_thread, uint8_t bulk_thread);
/* Takes a share, one of `stores_n`, of what may change while it runs; from now on it counts. */
void store_adjust(struct store *store, const struct store_live *live, uint32_t stores_n);
/* After the threads have stopped: frees everything. Call store_close first for a clean stop. */
void store_fini(struct store *store);

/* The end of a turn: writes what is dirty, begins a flush round when one is due and none is under
 * way. Returns the number of operations started. */
int store_flush(struct store *store, struct now now);
/* A MAIL_FILE or MAIL_BULK operation of this store, or of one beside it, came back. */
void store_mail(struct store *store, struct mail *mail, struct now now);
/* The directory has failed: all its logs refuse what is asked of them (E_STORAGE), and no new one
 * is taken. False: that was so before. */
bool store_offline(struct store *store, struct now now);
/* Housekeeping on the timer's beat (roll by time, retention, expiry of producers); bounded work per
 * call. */
void store_tick(struct store *store, struct now now);
/* A critical log took an append, or waited for the disk, a moment ago: what is bulk goes in small
 * pieces, so that there is never much of it in front of the next one. */
bool store_is_paced(const struct store *store);
bool plog_is_critical(const struct plog *log);
/* Nothing is dirty, under way or waited for: the store may be closed. */
bool store_is_quiet(const struct store *store);
const struct store_stats *store_stats(const struct store *store);
/* Boot, when it is built: enters what memory it has taken (ledger.h). */
struct ledger;
void store_ledger(const struct store *store, struct ledger *ledger);

/* ── logs: life ── */

/* A new, empty log. Nothing is on disk before the first flush. E_EXISTS, E_NO_MEMORY. */
nodiscard int store_log_new(struct store *store, const struct log_id *id,
                            const struct log_config *config, struct plog **out);
/* NULL when neither this store nor one beside it has such a log. */
struct plog *store_log_find(struct store *store, const struct uuid *topic_id, int32_t partition);
/* The topic is gone: waiting reads and appends end with E_NOT_FOUND, the directory is renamed to
 * "<topic>-<partition>.<uuid>-delete" by the files helper and unlinked after file.delete.delay.ms.
 */
void store_log_drop(struct store *store, struct plog *log);
void plog_configure(struct plog *log, const struct log_config *config);

/* What recovery found and did, for the log line and the metric. */
struct recovery_report {
    uint64_t logs_n, segments_n, scanned_bytes, cut_bytes, rebuilt_indexes_n;
    uint64_t logs_cut_n;
};
static inline void recovery_report_add(struct recovery_report *to,
                                       const struct recovery_report *from)
{
    to->logs_n += from->logs_n;
    to->segments_n += from->segments_n;
    to->scanned_bytes += from->scanned_bytes;
    to->cut_bytes += from->cut_bytes;
    to->rebuilt_indexes_n += from->rebuilt_indexes_n;
    to->logs_cut_n += from->logs_cut_n;
}

/* Boot, before the threads run; logs of different stores may be opened side by side. Opens an
 * existing directory, or makes an empty log when there is none. Not clean: scans from the recovery
 * point, cuts at the first batch that is not whole, rebuilds indexes and producer state. Nothing
 * may be served before store_recovered. */
nodiscard int store_log_recover(struct store *store, const struct log_id *id,
                                const struct log_config *config, bool is_clean,
                                struct recovery_report *report, struct plog **out);
/* Boot, after the last store_log_recover: flushes what recovery has read the end of or changed
 * (journal rule 8), by one call for all logs where the file system allows that. */
nodiscard int store_recovered(struct store *store);
/* ── the commit journal (storage/journal.h) ── */

/* What was found in the journals of a crashed process. */
struct journal_report {
    uint64_t rings_n, records_n, entries_n, bytes;
    uint64_t made_n;    /* segments that had no file yet */
    uint64_t unknown_n; /* entries of topics that are gone */
    uint64_t dropped_n; /* logs with an entry that does not continue them */
    uint64_t lost_n;    /* flushed records that cannot be read */
};

/* Boot, before the first store_log_recover: writes what the journals in `directory` hold where it
 * belongs, durably. is_known as in directory_sweep. No journal: nothing happens. E_CORRUPT: flushed
 * records cannot be read, `why` says which; with is_loss_accepted it goes on and counts them. */
nodiscard int journal_replay(struct disk *disk, const char *directory,
                             bool (*is_known)(void *context, struct bytes topic, int32_t partition,
                                              const struct uuid *id),
                             void *context, bool is_loss_accepted, struct journal_report *report,
                             char *why, size_t why_n);
/* Journals stand there: the last stop was none. */
nodiscard int journal_stands(struct disk *disk, const char *directory, bool *stands);
/* Boot, after store_recovered of every store: the journals are not needed any more. */
nodiscard int journal_clear(struct disk *disk, const char *directory);
/* Boot, after journal_clear and before the first append. `seed` is random. */
nodiscard int store_journal_open(struct store *store, uint64_t seed);
/* It writes past the page cache; false: slower, or there is none. */
bool store_journal_is_direct(const struct store *store);

/* Clean stop, after the threads have stopped: flushes, cuts files to their content, writes producer
 * snapshots and the four checkpoints of this store's logs into `checkpoints` (merged by the
 * caller). */
struct checkpoints;
nodiscard int store_close(struct store *store, struct checkpoints *checkpoints);
/* The same four offsets of every log as they are now (recovery point = durable); for a checkpoint
 * while running. */
nodiscard int store_checkpoints_fill(struct store *store, struct checkpoints *checkpoints);

/* ── appending ── */

enum { APPEND_REASON_MAX = 160 };

struct repack;

/* One batch to append. Owner: the caller; plog_append keeps nothing of it. */
struct append {
    /* in */
    const struct slices *from; /* where the batch's bytes are ... */
    struct slices_at at; /* ... from here on ...                                               */
    uint32_t bytes;      /* ... this many: exactly one batch, or it is refused                 */
    int16_t request_version; /* of Produce: codec rules; -1 for internal appends */
    bool keep_offsets; /* replication, later: offsets and epochs stay as they are            */
    bool is_ahead;     /* nothing is appended: only bulk is asked, where it is needed; else 0    */
    /* in and out, NULL at first: what bulk makes of the batch */
    struct repack *repack;
    /* out */
    bool wants_bulk;     /* with E_AGAIN: it waits for bulk, or for a place there              */
    int64_t base_offset; /* first offset given; of the original for a duplicate                */
    int64_t last_offset;
    int64_t log_append_ms; /* LogAppendTime topics, and duplicates; else -1                      */
    int64_t start_offset;  /* of the log; -1 when refused before the log was looked at           */
    bool is_duplicate;
    int32_t bad_record_at; /* index of the record an INVALID_RECORD is about, or -1              */
    char reason[APPEND_REASON_MAX]; /* for the client, when refused; "" otherwise */
};

/* Checks the batch (header, CRC-32C, records of uncompressed batches, sequence, timestamps), gives
 * offsets, copies it once into the tail, patches base offset and leader epoch. Takes the whole
 * batch or changes nothing. E_CORRUPT, E_TOO_LARGE, E_BAD_MAGIC, E_INVALID_RECORD,
 * E_INVALID_TIMESTAMP, E_BAD_CODEC, E_OUT_OF_ORDER, E_BAD_EPOCH, E_BAD_TXN_STATE, E_STORAGE,
 * E_AGAIN (tail budget: ask again in a later turn). */
nodiscard int plog_append(struct plog *log, struct append *append, struct now now);

/* A batch whose codec is not its topic's (compression.type), or that is to be looked into
 * (storage.validate.compressed), goes by bulk first: plog_append gives E_AGAIN with `repack` set,
 * and is asked again, with it, until it gives another answer; then `repack` is NULL again. Bulk
 * reads the batch's bytes where they stand, so until repack_is_done they stay. Batches of a log may
 * be with bulk side by side; who asks keeps their order. */
bool repack_is_done(const struct repack *repack);
/* Instead of asking again: it is not wanted any more. Only when it is done. */
void repack_end(struct repack *repack);

enum plog_mark { PLOG_WRITTEN, PLOG_DURABLE, PLOG_HIGH };

/* Wakes its holder once when `mark` has reached `offset` (>=), or the log failed or was dropped
 * (error < 0). PLOG_HIGH with bytes_min > 0 wakes when that many bytes became visible since the
 * wait began (a fetch with min_bytes). Owner: home. */
struct plog_wait {
    struct list link;
    uint8_t mark; /* enum plog_mark */
    int64_t offset;
    uint64_t bytes_min;
    void (*wake)(struct plog_wait *wait, int error, struct now now);
};
/* True: already there, wake is not called. False: registered. */
bool plog_wait(struct plog *log, struct plog_wait *wait);
void plog_wait_cancel(struct plog_wait *wait);

/* What acks and readers need to know, cheap. */
struct plog_offsets {
    int64_t start, stable, high, written, durable, end;
};
void plog_offsets(const struct plog *log, struct plog_offsets *out);
/* Asked by who was just woken: when PLOG_WRITTEN moved, and when the flush began that made the
 * newest bytes durable, when its durability asks for one; so that writing, waiting for a flush and
 * the flush itself are told apart. */
struct plog_times {
    uint64_t written_ns, flushing_ns;
    bool is_flushed;
};
struct plog_times plog_times(const struct plog *log);
/* How long of [from_ns, to_ns) a disk of the store, or of one beside it, stood still (longer than
 * storage.stall.ms): the worst of them, *took_ns its longest stall, *dir its number. 0: none did.
 */
uint64_t store_stalled(struct store *store, uint64_t from_ns, uint64_t to_ns, uint64_t *took_ns,
                       uint8_t *dir);
/* The high watermark as an input: at most `offset` from now on, what a leader says (INT64_MAX: no
 * limit, this log is the leader's). It never moves back; waits for it are woken as it moves. */
void plog_high_limit(struct plog *log, int64_t offset, struct now now);

/* ── other files of a log, and rolling ── */

/* A file in the log's directory. Owner: the caller; home until done. `name` and `data` stay. */
struct side_file {
    const char *name;
    struct bytes data;
    int error; /* out */
    void (*done)(struct side_file *file, struct now now);
    struct plog *log; /* inside */
};
/* Replaced as a whole (tmp, fsync, rename, fsync of the directory), or unlinked. 0: `done` will be
 * called. E_NO_MEMORY: no job is free, nothing happens. */
nodiscard int plog_file_write(struct plog *log, struct side_file *file);
nodiscard int plog_file_unlink(struct plog *log, struct side_file *file);
/* What comes from now on goes to a new segment. E_NO_MEMORY, E_STORAGE. */
nodiscard int plog_roll(struct plog *log, struct now now);

/* ── the log's start ── */

enum { START_AT_HIGH = -1 };

/* One request to forget records below an offset. Owner: the caller; home until done. */
struct start_move {
    struct list link;
    int64_t offset; /* >= 0, or START_AT_HIGH */
    int64_t start;  /* out: the log's, at least `offset` */
    void (*done)(struct start_move *move, int error, struct now now);
};
/* Moves the start, never back: readers see it at once, whole segments below it go later. 0: it is
 * there already and safe; E_AGAIN: `done` is called when it survives a crash of the process or the
 * machine, or with E_STORAGE or E_NOT_FOUND. E_OFFSET_RANGE: above the high watermark, or negative.
 */
nodiscard int plog_start_move(struct plog *log, struct start_move *move, struct now now);

/* ── reading ── */

struct aborted {
    int64_t producer_id, first_offset;
};

/* One read. Owner: home, from plog_read to read_release; its slices may be looked at by another
 * thread while the read is lent by mail. */
struct read {
    struct list link;
    struct plog *log; /* set by plog_read */
    /* in */
    int64_t offset;
    uint32_t bytes_max; /* whole batches up to this many bytes ...                           */
    bool at_least_one;  /* ... but the first batch whatever its size (KIP-74)                */
    bool is_committed;  /* isolation: up to stable, with the aborted transactions            */
    bool no_wait;       /* memory only: E_AGAIN instead of a disk read                       */
    /* out */
    struct plog_offsets offsets; /* at the time of the read */
    struct slices data;      /* v from `arena` of the store, owner NULL; alive until read_release */
    struct aborted *aborted; /* ordered by first_offset; NULL unless is_committed                 */
    uint32_t aborted_n;
    /* inside */
    void (*done)(struct read *read, int error, struct now now);
    void *inside[8];
};
/* 0: done, look at data (may be empty: offset == high). E_AGAIN: a disk read is under way, `done`
 * will be called. E_OFFSET_RANGE (offsets are set), E_STORAGE, E_CORRUPT, E_NO_MEMORY. */
nodiscard int plog_read(struct plog *log, struct read *read, struct now now);
/* Gives the pages back; also for a read that is under way (done is then not called). */
void read_release(struct read *read);

/* ── offsets by time and epoch ── */

enum { TIME_LATEST = -1, TIME_EARLIEST = -2, TIME_MAX_TIMESTAMP = -3 };

/* One time query: the first record with a timestamp >= time_ms, or the record with the largest
 * timestamp. Owner: home; the search itself runs on bulk, in the files. */
struct time_query {
    struct mail mail; /* MAIL_BULK, from home to bulk */
    struct plog *log;
    int64_t time_ms; /* >= 0, or TIME_MAX_TIMESTAMP */
    int64_t offset;  /* out: -1 when there is none */
    int64_t timestamp_ms;
    int32_t epoch;
    int error;
    void (*done)(struct time_query *query, struct now now);
    void *inside[16];
};
/* Always completes through done, in a later turn. */
void plog_time_query(struct plog *log, struct time_query *query, struct now now);
/* KIP-101: the largest epoch <= `epoch` and the offset where the next one begins (end when it is
 * the last). *found = -1, *end = -1 when there is none. */
void plog_epoch_end(const struct plog *log, int32_t epoch, int32_t *found, int64_t *end);
int32_t plog_epoch(const struct plog *log); /* the log's leader epoch now */

/* ── what is told about a log ── */

/* One producer as DescribeProducers shows it. */
struct producer_state {
    int64_t producer_id;
    int16_t epoch;
    int32_t last_sequence; /* -1: no batch of this epoch  */
    int64_t last_timestamp;
    int32_t coordinator_epoch; /* -1: no marker seen          */
    int64_t txn_first_offset;  /* -1: no open transaction     */
};
/* Copies at most `max` of those with state in this log; returns how many there are. */
uint32_t plog_producers(const struct plog *log, struct producer_state *to, uint32_t max);
/* Bytes of its segments, written or not. */
uint64_t plog_bytes(const struct plog *log);
/* The log directory, as configured. */
const char *store_directory(const struct store *store);
/* The store of directory number `dir` among this one and those beside it; NULL: there is none. */
struct store *store_of_dir(struct store *store, uint8_t dir);
/* Which directory a log is in. */
uint8_t plog_dir(const struct plog *log);

/* The room of the disk. Owner: the caller; home until done. */
struct space_query {
    int64_t total_bytes, usable_bytes; /* out; -1: not known */
    void (*done)(struct space_query *query, struct now now);
};
/* E_AGAIN: done is called later. Otherwise (no job is free) the answer is -1, at once. */
nodiscard int store_space(struct store *store, struct space_query *query);

/* ── a log goes to another log directory (move.c) ── */

struct move_copy;
/* One move. Owner: the caller; home from plog_move_begin until it is over. The log's struct changes
 * with it: nobody keeps a struct plog from turn to turn. */
struct log_move {
    uint64_t seed;        /* in: of a name that must be unique */
    uint64_t bytes_per_s; /* in: copied; 0: no bound */
    /* 0: both directories have the whole log, durably, and it stands still (appends wait) until
     * plog_move_finish or plog_move_give_up. Else it is over, and the log is where it was: E_CLOSED
     * (given up), E_NOT_FOUND (dropped), E_STORAGE, E_DISK_FULL, ... */
    void (*done)(struct log_move *move, int error, struct now now);
    /* inside */
    struct list link; /* store.moves */
    struct plog *log; /* NULL: dropped meanwhile */
    struct store *store, *to;
    struct move_copy *copy;
    uint8_t state;
    bool has_job, has_segment, holds_creates;
    int error, job_error;
    int64_t next_offset, start_safe;
    uint64_t copied_bytes, paid_ns, retry_ns, frozen_ns;
};
/* 0: `done` will be called, in a later turn. E_STORAGE, E_NO_MEMORY, E_EXISTS: it is being moved.
 */
nodiscard int plog_move_begin(struct plog *log, struct store *to, struct log_move *move,
                              struct now now);
/* `done` will be called with an error, unless it was with 0. */
void plog_move_cancel(struct log_move *move);
/* After done(0), when the metadata says so durably: the log is that of the other store, its old
 * files go, the move is over. NULL: it was dropped, or there is no memory; try again or give up. */
nodiscard struct plog *plog_move_finish(struct log_move *move, struct now now);
/* After done(0): the copy goes, then `done` is called again, with an error. */
void plog_move_give_up(struct log_move *move);
/* False: it is not being moved. `bytes` of its copy, which ends `lag` offsets before the log. */
bool plog_moves_to(const struct plog *log, uint8_t *dir, uint64_t *bytes, int64_t *lag);

/* ── helpers' side: the work of the files and bulk threads (storage/files.c, storage/bulk.c) ── */

/* control -> bulk: `run` is called there, and the operation comes back. Owner: the sender; bulk
 * while it has it. */
struct work_op {
    struct mail mail; /* MAIL_WORK */
    void (*run)(struct work_op *op);
};

#define RESERVE_NAME "millrace.reserve" /* in a log directory, while the broker runs */

struct helper;
/* `stamp` seeds names that must be unique ("<uuid>-delete"). */
nodiscard int helper_init(struct helper **out, struct disk *disk, struct post *post, uint64_t seed);
/* Gives the files helper the offsets of all partitions of a log directory as they are now (on
 * success it frees them); at the end of boot, once per directory. Without it none is written there
 * while running. is_behind: a log may end before the recovery point on the disk, so that is
 * written. */
nodiscard int helper_checkpoints(struct helper *helper, const char *directory,
                                 struct checkpoints *checkpoints, bool is_behind);
/* Boot, files helper: makes the reserve file of a log directory (storage/reserve.c). Its bytes; 0:
 * there is no room for now. E_UNSUPPORTED: the file system cannot set room aside, and there will be
 * none; so with another error of the disk. */
nodiscard int64_t helper_reserve(struct helper *helper, const char *directory, uint64_t bytes,
                                 uint64_t min_free_bytes);
/* Boot before anything is written, and a clean stop: the reserve file goes. None is no error. */
nodiscard int reserve_remove(struct disk *disk, const char *directory);
/* One turn: takes jobs and does them, at most `budget`. Returns how many. May block on the disk. */
int helper_turn(struct helper *helper, struct now now, int budget);
void helper_fini(struct helper *helper);

/* ── the log directory (boot and stop; single-threaded) ── */

/* meta.properties. Owner: immutable after boot. */
struct directory_id {
    char cluster_id[64];
    int32_t node_id;
    struct uuid directory_id;
    bool is_new;    /* it was formatted by this directory_take ... */
    uint8_t made_n; /* ... which made so many of the last directories of its path */
};

/* One of log.dirs. Owner: main at boot; immutable afterwards. */
struct log_dir {
    char path[DISK_PATH_MAX];
    struct uuid id;  /* directory.id; meaningless when it is not online */
    bool is_online;  /* it could be taken at this start */
    bool is_clean;   /* its last stop was orderly */
    bool is_new;     /* it was formatted at this start ... */
    uint8_t made_n;  /* ... which made so many of the last directories of its path */
    char device[32]; /* its block device, as the kernel calls it; "": not known */
    int64_t reserve; /* bytes of its reserve file at start; 0: there was no room; or an error */
};

/* Takes the directory: creates it when missing, locks `.lock` (E_IN_USE: another broker, ours or
 * Apache Kafka, has it), reads meta.properties or formats an empty directory. `cluster_id` is used
 * when formatting ("" = random). *is_clean says whether `.kafka_cleanshutdown` was there; it is
 * removed. `why` gets one clear line on failure. E_IN_USE, E_DENIED, E_INVALID (node.id differs,
 * unreadable meta.properties), E_DISK_FULL, E_IO. */
nodiscard int directory_take(struct disk *disk, const char *path, int32_t node_id,
                             const char *cluster_id, uint64_t seed, struct directory_id *out,
                             bool *is_clean, int *lock_fd, char *why, size_t why_n);
/* Boot, once it is taken: can its file system write past the page cache (O_DIRECT)? */
bool directory_has_direct(struct disk *disk, const char *path);
/* A first start that failed: removes all that stands in a directory that was formatted by it, as
 * far as the disk lets us, what identifies it last, and the directories that were made. */
void directory_unmake(struct disk *disk, const char *path, uint8_t made_n);
/* Sorts out what is not a live partition: -delete directories are removed, unknown ones become
 * -stray. is_known(context, topic, partition, topic_id) says which are live. Counts into
 * *removed_n, *stray_n. */
nodiscard int directory_sweep(struct disk *disk, const char *path,
                              bool (*is_known)(void *context, struct bytes topic, int32_t partition,
                                               const struct uuid *id),
                              void *context, uint32_t *removed_n, uint32_t *stray_n);
/* Boot, after all directories were swept: copies of moves that did not come to their end
 * ("-future") are removed where is_useless(context, topic, partition, topic_id) says so. */
nodiscard int directory_sweep_futures(struct disk *disk, const char *path,
                                      bool (*is_useless)(void *context, struct bytes topic,
                                                         int32_t partition, const struct uuid *id),
                                      void *context);
/* Boot: the directory has this partition, of this topic id. */
bool directory_has_log(struct disk *disk, const char *path, struct bytes topic, int32_t partition,
                       const struct uuid *id);
/* Writes the checkpoints and `.kafka_cleanshutdown`, last, each by tmp, fsync, rename, fsync of the
 * directory. */
nodiscard int directory_leave(struct disk *disk, const char *path, struct checkpoints *checkpoints,
                              int lock_fd);

struct checkpoints *checkpoints_new(void);
void checkpoints_free(struct checkpoints *checkpoints);

#endif
