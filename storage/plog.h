/*
 * plog.h - the inside of storage: a store, its logs, their segments, the operations under way.
 *
 * Owner: home. Only files of storage/ include this.
 *
 * Bytes of a log live in three places, each position in at least one:
 *
 *   tail pages    appended, not yet written: in no list, never evicted
 *   clean pages   written, or read from the disk: in cache.lru, evicted when a page is needed
 *   the file      everything below segment.written_pos
 *
 * A page covers positions [pos, pos + size) of one segment, pos a multiple of size; of those it
 * holds [from, to). Data of a position never changes, so a small and a large page may hold the same
 * bytes.
 *
 * Lists of a store: *dirty* logs with bytes to write, *unsynced* logs that wait for the next flush
 * round, *round* logs of the round under way that have not started, *pending* logs that want a job
 * of a helper.
 *
 * Heap after boot: logs, segments, the indexes of segments (doubled, so moved rarely), epochs,
 * aborted lists and snapshots come from malloc when a log is made, a segment rolls or an array
 * doubles: never per append or read.
 */
#ifndef MILLRACE_PLOG_H
#define MILLRACE_PLOG_H

#include "aborted.h"
#include "batch.h"
#include "cache.h"
#include "checkpoint.h"
#include "epochs.h"
#include "index.h"
#include "jobs.h"
#include "mark.h"
#include "producers.h"
#include "storage.h"

enum {
    STORE_MAGIC = 0x53544f52,
    JOBS_MAX = 64,            /* of one store with the helpers at once */
    STALLS_N = 8,             /* of the disk, remembered for `millrace slow` */
    WRITES_MAX = 256,         /* write operations under way at once */
    WRITE_IOV_MAX = 32,       /* pages of one write: 2 MiB of large ones */
    RAW_BLOCK = 4096,         /* what O_DIRECT wants positions, lengths, memory aligned to */
    SYNCS_MAX = 64,           /* flushes under way at once */
    REPACKS_MAX = 16,         /* batches with bulk, or back from it, at once (repack.h) */
    FILLS_MAX = 64,           /* reads from the disk under way at once ... */
    FILLS_CRITICAL = 8,       /* ... these only for logs of the class critical ... */
    FILLS_BULK_MAX = 16,      /* ... and no more than these for the class bulk */
    FILLS_AHEAD_MAX = 32,     /* ... and ahead of a reader only while fewer are under way */
    FILL_PAGES_MAX = 16,      /* pages of one: 1 MiB */
    FILLS_PACED_MAX = 2,      /* while a critical log is active: of the class bulk ... */
    FILL_PACED_PAGES_MAX = 4, /* ... and of each */
    BULK_PACED_BYTES_MAX = 512 << 10, /* then, too: not yet answered of the class bulk ... */
    BULK_PACED_TURN_MAX = 96 << 10,   /* ... and appended in one turn, before it ends */
    AHEAD_STREAMS_N = 32,             /* sequential readers remembered */
    INDEX_CACHE_BYTES = 16 << 20,     /* indexes of sealed segments kept in memory */
    TICK_LOGS_MAX = 64,               /* logs looked at by one store_tick */
    TICK_PRODUCERS_MAX = 64,          /* producers looked at per log and tick */
    STEP_LOGS_MAX = 256,              /* pending logs looked at by one store_flush */
};

/* An operation of io.h whose end is dealt with in store_flush, when the turn's time is known:
 * `done` only puts it on store.completed. Owner: store; io while busy. */
struct store_op {
    struct io_op op;
    struct store *store;
    void (*finish)(struct store_op *op, struct now now);
    uint64_t began_ns; /* 0: in the turn under way, or not measured */
};

/* The disk took longer than config.stall_ns for something. Owner: home. */
struct stall {
    uint64_t began_ns, ended_ns;
};

/* ── log ── */

#define PLOG_STATES(STATE)                                                                  \
    STATE(CLOSED, "dropped or not yet opened: in no table, nobody reads, appends or waits") \
    STATE(RECOVERING, "boot reads its files; no offset may be trusted")                     \
    STATE(OPEN, "the order of offsets in storage.h holds; the last segment takes appends")  \
    STATE(FAILED, "a write or flush failed: appends are refused, written, durable stand still")

enum plog_state {
#define STATE(name, text) PLOG_##name,
    PLOG_STATES(STATE)
#undef STATE
};

/* A place in a log, as an offset and as bytes appended since the log was opened. */
struct mark {
    int64_t offset;
    uint64_t bytes;
};

/* Owner: home. */
struct plog {
    uint32_t magic;
    uint8_t state;             /* enum plog_state; only plog_state_set writes it */
    bool has_epochs_to_write;  /* leader-epoch-checkpoint is behind */
    bool wants_sync;           /* a file had to be opened before its flush */
    uint8_t streams_n;         /* of store.streams                                              */
    bool is_changed;           /* since it was opened: a clean stop has something to write */
    bool is_unsynced;          /* recovery has read or changed files that nobody flushed */
    bool is_uncleanable;       /* its compaction failed: not again before the next start */
    bool is_direct;            /* a large run of it went, or goes, straight to its segment */
    bool is_logged;            /* its appends go through the journal (gather.c) */
    uint64_t compact_after_ns; /* no compaction is begun earlier */
    uint64_t refused_ns;       /* a client was last refused for want of space; 0: never */
    bool is_frozen;            /* it is about to change its directory: takes no append */
    bool is_full;              /* something failed for want of space; in store.full */
    struct store *store;
    struct list link; /* store.logs or store.dropped */
    struct list dirty_link, sync_link, pending_link;
    struct plog *hash_next;
    struct log_id id; /* topic points to topic_name */
    char *topic_name;
    struct log_config config;

    int64_t cleaner_offset; /* of cleaner-offset-checkpoint: compacted up to here; -1 = never */
    int64_t start;          /* first offset a reader may ask for */
    int64_t high_limit;     /* the high watermark is at most this: a leader's; INT64_MAX: none */
    struct mark high, written, durable, end;
    uint64_t written_ns;       /* when `written` moved */
    struct mark settled;       /* durable in its segments */
    struct mark logged;        /* is_logged: what its newest record holds */
    struct mark home;          /* is_logged: written back */
    struct segment **segments; /* by base offset; the last one takes appends */
    uint32_t segments_n, segments_max;
    uint32_t sealed_n; /* leading segments that need nothing more */

    uint64_t charged_bytes;  /* this log's share of store.tail_bytes */
    uint64_t bulk_bytes;     /* ... and of store.bulk_bytes */
    uint32_t small_pages_n;  /* taken in a row ... */
    uint64_t small_pages_ns; /* ... since then: a busy log gets large pages */
    uint64_t unflushed_ns;   /* STORE_RELAXED: when the oldest unflushed byte was written */

    struct write_op *write;         /* under way; one per log */
    struct segment *target_segment; /* the run being written ends here ... */
    uint64_t target_pos;
    struct mark target;  /* ... which is this place */
    struct mark syncing; /* what the flush under way makes durable */
    uint32_t syncs_n;    /* flushes of this log's files under way */
    uint32_t jobs_n;     /* jobs under way */
    bool has_epochs_job;
    struct list epochs_link;     /* store.epochs_behind */
    struct list moved_link;      /* store.moved */
    struct list record_links[2]; /* journal_record.logs, by its number ... */
    struct mark record_marks[2]; /* ... and what it holds of this log */
    struct list behind_link;     /* journal.behind */
    struct list round_link;      /* journal.to_write or to_sync */
    uint64_t round_bytes;        /* settled.bytes that this round of write-back wants */
    struct mark round_mark;      /* what syncing makes of it */
    struct list full_link;       /* store.full */
    uint8_t drop_step;           /* dropped logs: what is done */
    bool may_have_directory;     /* it was found, or asked for, also in vain */
    int64_t start_safe;          /* what log-start-offset holds */
    int64_t start_writing;       /* what the job under way writes to it */
    bool has_start_job;
    char start_text[MARK_BYTES_MAX];   /* of that job */
    struct list start_moves;           /* who waits for it */
    uint64_t retention_at_ns;          /* by age and size not before; 0: not planned yet */
    uint64_t drop_ns;                  /* when the renamed directory may be removed */
    char drop_name[DISK_NAME_MAX + 1]; /* its name after the rename */

    struct producers producers;
    struct epochs epochs;
    struct aborted_list aborted;
    struct log_move *move; /* to another directory, or NULL */
    struct list waits[4];  /* by enum plog_mark; [3]: high by bytes. Each ordered by its key */
};

enum { PLOG_MAGIC = 0x504c4f47, PLOG_WAIT_BYTES = 3 };

/* ── segment ── */

#define SEGMENT_STATES(STATE)                                                         \
    STATE(NEW, "no file; its bytes wait in tail pages")                               \
    STATE(CREATING, "the files helper makes its files")                               \
    STATE(LIVE, "it has a file; it takes appends, or still has bytes to write")       \
    STATE(SEALING, "rolled and written; indexes and snapshot are being made durable") \
    STATE(SEALED, "durable and complete")                                             \
    STATE(GONE, "deleted or dropped; kept while pages or reads point to it")

enum segment_state {
#define STATE(name, text) SEGMENT_##name,
    SEGMENT_STATES(STATE)
#undef STATE
};

/* An index in memory, in the file's format. Heap. */
struct index_buffer {
    uint8_t *v;
    uint32_t n, max; /* entries */
};

/* Owner: home. */
struct segment {
    struct plog *log; /* NULL when GONE                                                 */
    struct store *store;
    struct list store_link; /* store.segments                                                 */
    uint8_t state;          /* enum segment_state                                             */
    bool is_rolled;         /* a later segment takes the appends                              */
    bool is_opening;        /* a job opens its file                                           */
    bool is_closing;        /* its descriptor is being closed                                 */
    bool is_index_loaded;
    bool is_index_loading;
    bool has_file;    /* while recovering */
    bool is_unsynced; /* recovery has read or written its files, nobody flushed them    */
    bool is_syncing;  /* a flush of it is under way, also when a job has sealed it meanwhile  */
    bool is_swapping; /* compaction renames its files: not to be opened by name         */
    bool is_lost;     /* ... that failed: nobody knows what they are called             */
    uint8_t seal_step;
    uint32_t refs;    /* the log, pages, reads, jobs, operations                        */
    uint32_t io_n;    /* operations on its descriptor                                   */
    uint32_t pages_n; /* pages of it in the cache                                       */
    int fd;
    int raw_fd;          /* the same file with O_DIRECT (raw.c); -1: none */
    bool is_raw_opening; /* a job opens, or closes, it */
    bool is_raw_refused; /* not for this file */
    int64_t base_offset;
    uint64_t end_pos; /* bytes appended                                                 */
    uint64_t written_pos, durable_pos, syncing_pos;
    uint64_t logged_pos;     /* in a record of the journal                                     */
    uint64_t record_pos[2];  /* the newest in the journal's record of that number              */
    uint64_t safe_pos;       /* in a flushed one: may be written back                          */
    uint64_t round_pos;      /* written when a round of write-back asked for its sync          */
    uint64_t logged_seq;     /* the newest journal record that holds bytes of it; 0: none      */
    struct mark end;         /* when rolled: of its last byte                                  */
    int64_t first_timestamp; /* of its first batch; -1 while empty                             */
    int64_t max_timestamp;   /* -1 when it has none                                            */
    int64_t max_timestamp_offset;
    int64_t created_ms;
    uint64_t bytes_since_index;
    struct index_buffer index, time_index;
    struct page *append_page; /* where the next byte goes; may be full, or NULL                 */
    uint64_t used_ns;         /* when its descriptor was last asked for                        */
    struct list open_link;    /* store.open_files, least recently used first                    */
    struct list index_link;   /* store.indexes, the same                                        */
    struct list waits;        /* reads that wait for the descriptor or the index                */
    struct list want_link;    /* store.wants: a descriptor is needed, a job is not yet sent     */
    struct list delete_link;  /* store.deleting                                                 */
    struct plog *delete_log;  /* whose directory holds the files; NULL when that was dropped    */
    uint8_t delete_step;      /* enum delete_step                                               */
    uint64_t delete_ns;       /* when the renamed files may be unlinked                         */
    uint8_t *snapshot;        /* producers as of the end, until it is sealed. Heap              */
    uint32_t snapshot_bytes;
    uint8_t *file;      /* .txnindex while it is written. Heap                            */
    struct store_op op; /* its flush, or its close                                        */
};

/* ── operations ── */

/* A run of one segment being written. Owner: store; io while busy. */
struct write_op {
    struct list link; /* store.writes_free */
    struct store_op op;
    struct plog *log;
    struct segment *segment;
    bool is_raw;
    bool is_back;        /* write-back: counted in journal.writing_bytes */
    uint64_t bytes;      /* asked for */
    uint64_t begin, end; /* is_raw: where it begins; up to where the log's bytes in it go */
    uint32_t pages_n;
    struct page *pages[WRITE_IOV_MAX];
    struct iovec iov[WRITE_IOV_MAX + 1];
};

/* A run of one segment being read into clean pages. Owner: store; io while busy. */
struct fill {
    struct list link; /* store.fills_free or store.fills */
    struct store_op op;
    struct segment *segment;
    struct list reads; /* that wait for it */
    bool is_bulk;
    bool is_raw; /* past the page cache: whole pages only */
    uint64_t pos, bytes, done_bytes;
    uint32_t pages_n;
    struct page *pages[FILL_PAGES_MAX];
    struct iovec iov[FILL_PAGES_MAX];
    struct {
        uint32_t from, to; /* of the page: what is being read */
    } regions[FILL_PAGES_MAX];
};

/* A sealed segment's .index being read. Owner: store; io while busy. Heap, the bytes behind it. */
struct index_load {
    struct list link; /* store.loads */
    struct store_op op;
    struct iovec iov;
    struct segment *segment;
    struct job *job; /* opened the file, and will close it */
    uint32_t bytes, done_bytes;
    uint8_t to[];
};

/* A sequential reader of old records (ahead.c). Owner: home. */
struct ahead {
    struct plog *log; /* NULL: free */
    int64_t next_offset, segment_base;
    uint64_t ahead_pos; /* of that segment: up to here it was read, or is being read */
    uint32_t bytes;     /* the window */
    uint64_t used_ns;
};

/* ── store ── */

enum compactor_state { COMPACTOR_IDLE, COMPACTOR_LOOKING, COMPACTOR_RUNNING };

/* Which log is compacted, and how far it is (compact_home.c). Owner: home. */
struct compactor {
    uint8_t state; /* enum compactor_state */
    uint8_t order; /* enum compact_order of the piece under way, or next */
    bool has_job;
    bool is_waiting;   /* a group is ready, its segments are being opened or there is no memory */
    uint64_t left;     /* LOOKING: logs not yet looked at */
    struct plog *best; /* LOOKING: the dirtiest so far */
    uint32_t best_score, ratio_max;
    struct plog *log; /* RUNNING */
    struct compact *compact;
    int64_t swapping_base; /* of the segment whose files are renamed */
    uint64_t at_ns;        /* IDLE: look again; RUNNING: the next piece is paid for */
    uint64_t retry_ns;     /* a swap that found no space */
    uint64_t sent_ns;      /* the piece under way */
};

/* Owner: home. */
struct store {
    uint32_t magic;
    const void *owner;  /* thread_self of the first turn */
    struct store *next; /* ring of the stores of this home, one per log directory */
    struct store_config config;
    struct io *io;
    struct disk *disk;
    struct pages *pages;
    struct timers *timers;
    struct post *post;
    uint8_t files_thread, bulk_thread;
    struct now now; /* of the newest call */
    struct producer_pool *producers;
    struct cache cache;
    struct store_stats stats;

    struct plog **table; /* by topic id and partition; chained; table_n is a power of 2 */
    uint32_t table_n;
    struct plog *found; /* by the last search, of `logs`; NULL: none */
    struct list logs;   /* in the order of store_tick */
    struct list dirty, unsynced, round, pending;
    struct list unlogged;      /* dirty logs that wait for the next record of the journal */
    struct journal *journal;   /* NULL: none, every log is flushed by itself */
    struct list completed;     /* operations whose end store_flush has to deal with */
    struct list epochs_behind; /* logs whose leader-epoch-checkpoint is to be written */
    bool has_epochs_job;       /* one of them is */
    struct list wants;         /* segments that need a descriptor and have no job yet */
    struct list dropped;       /* logs whose directory is not yet gone */
    struct list deleting;      /* segments renamed to .deleted, by delete_ns */
    struct list open_files, indexes;
    uint64_t index_bytes;
    uint64_t tail_bytes;  /* not yet safe, over all logs */
    uint64_t bulk_bytes;  /* of the class bulk: nobody was answered yet; ... */
    uint64_t bulk_placed; /* ... appended in this turn */
    uint64_t critical_ns; /* when a log of the class critical was last worked for; 0: never */
    struct list segments; /* all structs alive */
    struct list loads;    /* indexes being read */

    bool is_flushing;              /* within store_flush: `now` is that of the turn */
    struct stall stalls[STALLS_N]; /* the newest, the oldest is overwritten; ended_ns 0: none */
    uint32_t stalls_at;            /* the newest of them */
    uint64_t dirty_since_ns;       /* first byte that no flush round covers; 0 = none */
    uint64_t flush_began_ns;       /* of the newest flush that ended */
    uint64_t round_ns;             /* when the round under way began */
    bool is_round_due;             /* something waited while the last round was under way */
    bool is_round_open;
    uint32_t syncs_n;
    uint32_t fills_bulk_n;
    bool has_no_once; /* the file system refuses to forget what passes through it */
    struct ahead streams[AHEAD_STREAMS_N];
    uint32_t writes_n, fills_n, jobs_n, reads_n, waits_n, loads_n, closes_n;
    uint64_t journal_tail_seq; /* records below it are given up on the device; 0: no journal */
    uint32_t drops_waiting_n;  /* renames of drops not yet asked for: creates wait for them */
    struct write_op *writes;
    uint8_t *raw_blocks; /* one for each: the copy of its unfinished block */
    bool has_no_raw;     /* the file system has no O_DIRECT */
    struct fill *fill_ops;
    struct job *jobs;
    struct list writes_free, fills_free, fills, jobs_free;
    struct list fill_waits;               /* reads that wait for a free fill or page */
    int directory_fd;                     /* open as long as the store: what failed since is seen */
    bool is_unsynced;                     /* a log is */
    bool is_closed;                       /* store_close succeeded */
    bool is_offline;                      /* the directory has failed */
    struct list full;                     /* logs that wait for space on the disk */
    uint64_t space_at_ns;                 /* when it is looked at next */
    uint64_t space_appended, space_asked; /* stats.appended_bytes when the last and the next answer
                                             were asked for */
    uint64_t space_tail, space_tail_asked; /* tail_bytes then */
    bool has_space_job, is_space_known;
    struct list moved;        /* logs whose offsets the helper does not know yet */
    uint32_t checkpoints_due; /* bits of files to be written */
    bool has_checkpoint_job;
    uint64_t checkpoint_at_ns[4], checkpoint_ns, checkpoint_bytes; /* recovery point: last */
    struct checkpoints *closed;            /* of logs that could not be opened; NULL: none */
    struct checkpoints *checkpoints;       /* as found at boot; freed when the threads run */
    int64_t checkpoints_ms[CHECKPOINTS_N]; /* when their files were written */
    struct compactor compactor;
    struct repack *repacks;
    struct list repacks_free;
    uint64_t repack_bytes; /* reserved for what is under way or not yet appended */
    struct list moves;     /* of its logs to stores beside */
    struct list answers;   /* time queries that need no search, or wait for a job */
};

/* store.c */
/* Fills in what store_op_submit does: for an operation that another one begins (io_op.then). */
void store_op_ready(struct store *store, struct store_op *op,
                    void (*finish)(struct store_op *, struct now));
void store_op_submit(struct store *store, struct store_op *op,
                     void (*finish)(struct store_op *, struct now));
static inline void store_op_init(struct store_op *op, uint8_t kind)
{
    io_op_init(&op->op, kind, NULL);
    op->finish = NULL;
}

/* Every entry of a store begins with this: the first thread that comes is its home. */
static inline void store_own(struct store *store)
{
    check(store->magic == STORE_MAGIC);
    if (store->owner == NULL)
        store->owner = thread_self;
    own(store->owner);
}

static inline struct segment *plog_active(const struct plog *log)
{
    check_slow(log->segments_n > 0);
    return log->segments[log->segments_n - 1];
}

static inline void plog_mark_critical(const struct plog *log)
{
    if (unlikely(log->config.latency == LATENCY_CRITICAL))
        log->store->critical_ns = log->store->now.ns;
}

static inline bool plog_is_in_record(const struct plog *log)
{
    return list_is_linked(&log->record_links[0]) || list_is_linked(&log->record_links[1]);
}

static inline bool plog_is_group(const struct plog *log)
{
    return log->config.durability == STORE_GROUP;
}

/* stall.c: a write, a read, or a flush with the writes it waited for, is over. */
void store_stall_note(struct store *store, uint64_t began_ns, uint64_t ended_ns);
static inline void store_note_stall(struct store *store, uint64_t began_ns, uint64_t ended_ns)
{
    if (store->config.stall_ns > 0 && began_ns > 0 && ended_ns - began_ns >= store->config.stall_ns)
        store_stall_note(store, began_ns, ended_ns);
}

/* flush.c: writes the next run to its segment. False: no operation is free, ask again. */
bool plog_write(struct plog *log);

/* write_back.c: what stands in the journal alone is wanted in its segments. */
void write_back_want(struct store *store);

/* raw.c: past the page cache. May the run up to `to` go that way? False, too: the descriptor is
 * asked for. */
bool raw_may(struct segment *segment, uint64_t to);
/* May whole blocks of what is written be read that way? False, too: the descriptor is asked for. */
bool raw_may_read(struct segment *segment);
/* Lists what to write of the run up to `to`. False: nothing, it cannot begin this way. */
bool raw_gather(struct write_op *write, uint64_t to);
/* The write ended: up to where the segment is written now. A refusal is taken out of *result. */
uint64_t raw_end(struct write_op *write, int32_t *result);

/* full.c: something of the log failed for want of space; or succeeded; or it is gone */
void plog_full(struct plog *log);
void plog_full_end(struct plog *log);
void plog_full_forget(struct plog *log);
void store_space_tick(struct store *store, struct now now);
/* E_DISK_FULL, and what to tell the client: no append of one is taken now. */
/* Clients were refused a moment ago: a first batch may be on its way again. */
bool plog_was_full(const struct plog *log);
nodiscard int plog_space_judge(const struct plog *log, char *reason, size_t reason_n);

/* offsets.c: its recovery point, high watermark or start moved */
void plog_mark_moved(struct plog *log);
/* The log could not be opened: its offsets stay what they are on the disk. */
nodiscard int store_checkpoint_keep(struct store *store, const struct log_id *id);
void store_checkpoint_tick(struct store *store, struct now now);

/* close.c: flushes every file of the log that recovery or the stop may have changed */
nodiscard int plog_sync_files(struct plog *log);

/* store.c: into the table; RECOVERING or CLOSED becomes OPEN */
void store_log_enter(struct store *store, struct plog *log);
/* Out of the table, its files go; who still reads it hears E_MOVED. */
void store_log_leave(struct store *store, struct plog *log);

/* plog.c: states, marks, waits */
void plog_state_set(struct plog *log, enum plog_state state);
/* Stops the process when something that must always be true of `log` is not. For tests. */
void plog_invariants(const struct plog *log);
/* Makes a log, in no table, without a segment. NULL: no memory. */
struct plog *plog_make(struct store *store, const struct log_id *id,
                       const struct log_config *config);
void plog_free(struct plog *log);
/* written or durable moved: moves high, wakes, and asks for a flush where one is due. */
void plog_marks_moved(struct plog *log, struct now now);
/* A write, a flush or a job of its files failed. */
void plog_fail(struct plog *log, struct now now);
/* All waits end with `error`. */
void plog_waits_end(struct plog *log, int error, struct now now);
void plog_charge(struct plog *log);
/* What was not written never will be: its pages may go; but for those of bytes that are safe in the
 * journal alone, unless the log is dropped. */
void plog_give_tail(struct plog *log, bool is_dropped);
int64_t plog_stable(const struct plog *log);
void plog_mark_dirty(struct plog *log);
void plog_mark_pending(struct plog *log);
/* Written and wants a flush: into the next round. */
void plog_mark_unsynced(struct plog *log);

void store_jobs_fini(struct store *store); /* memory of jobs that never came back */

/* segment.c: segments, their index entries, rolling, descriptors */
nodiscard int segment_add(struct plog *log, int64_t base_offset, int64_t wall_ms,
                          struct segment **out);
struct segment *segment_make(struct store *store, int64_t base_offset, int64_t wall_ms);
nodiscard int segment_room(struct plog *log); /* for one more in log->segments */
void segment_attach(struct plog *log, struct segment *segment);
void segment_get(struct segment *segment);
void segment_put(struct segment *segment);
/* Whoever still points to it: the store is being taken apart. */
void segment_free(struct segment *segment);
/* Nothing of it would come from a journal after a crash (journal rule 5): only then it may be
 * compacted, deleted or moved. Always true where there is no journal. */
bool segment_is_settled(const struct segment *segment);
/* Takes the oldest segment out of its log. The caller has a reference. */
void segment_detach_first(struct plog *log);
/* `segment` takes the place of the n segments from `at` on, all sealed; those are GONE. */
void segments_replace(struct plog *log, uint32_t at, uint32_t n, struct segment *segment);
/* Which segment may hold `offset`: the last with base_offset <= offset; place in log->segments. */
uint32_t segment_find(const struct plog *log, int64_t offset);
/* segment.ms less this segment's part of segment.jitter.ms. */
int64_t segment_age_ms_max(const struct plog *log, const struct segment *segment);
bool segment_must_roll(const struct plog *log, const struct segment *segment, const struct batch *b,
                       int64_t max_timestamp, int64_t last_offset, int64_t wall_ms);
/* Keeps the indexes of an appended batch at `pos`. Without memory it leaves entries out. */
void segment_note(struct segment *segment, const struct log_config *config, const struct batch *b,
                  uint64_t pos);
/* The last .timeindex entry: the segment's largest timestamp. */
void segment_note_end(struct segment *segment);
/* Keeps the producers as of the end of the log until the segment is sealed. */
void segment_snapshot(struct plog *log, struct segment *segment);
/* Rolls: `next` becomes the segment that takes appends. */
void segment_roll(struct plog *log, struct segment *next);
bool index_append(struct index_buffer *index, uint32_t entry_bytes, const uint8_t *entry);
void index_clear(struct index_buffer *index);

/* jobs.c: asking the helpers */
enum drop_step { DROP_RENAME, DROP_RENAMING, DROP_WAITING, DROP_PURGING, DROP_DONE };
/* NULL when JOBS_MAX are under way: ask again in a later turn. */
struct job *store_job_take(struct store *store, struct plog *log, uint8_t kind);
/* `done` is called when it is back, and gives the job back or sends it again. */
void store_job_send(struct store *store, struct job *job, void (*done)(struct job *, struct now),
                    void *subject);
void store_job_give(struct store *store, struct job *job);
void plog_mark_epochs(struct plog *log); /* leader-epoch-checkpoint has to be written */
void store_epochs_run(struct store *store);
/* Seals. True when nothing more can be asked for now. */
bool plog_step(struct plog *log, struct now now);
/* The way of a dropped log; frees it at the end. True when it need not be asked again this turn. */
bool plog_drop_step(struct plog *log, struct now now);

/* segment_files.c: files and descriptors of segments */
/* True: it has a descriptor. False: one is asked for; when it comes the log is dirty and the waits
 * are run. */
bool segment_open(struct segment *segment);
void segment_wants_run(struct store *store);   /* asks the helpers for what segment_open promised */
void segment_files_limit(struct store *store); /* keeps open_files_max */
/* Closes those that nobody used for open_idle_ns. */
void segment_files_idle(struct store *store, struct now now);
void segment_fd_set(struct segment *segment, int fd);
void segment_fd_idle(struct segment *segment); /* an operation ended: what is gone is closed */
enum delete_step { DELETE_RENAME, DELETE_RENAMING, DELETE_WAITING, DELETE_UNLINKING };
/* Takes a detached segment's files away: renamed now, unlinked after file.delete.delay.ms. */
void segment_delete(struct plog *log, struct segment *segment, struct now now);
/* The log's directory goes as a whole. */
void segment_delete_forget(struct store *store, const struct plog *log);
void segment_deletes_run(struct store *store, struct now now);

/* index_load.c: indexes of sealed segments */
/* 0: it is in memory; E_AGAIN: it is being read, the segment's waits will be run. E_OFFSET_RANGE:
 * the segment was deleted; E_NO_MEMORY. */
nodiscard int segment_index_load(struct segment *segment);
void segment_index_used(struct segment *segment);
void segment_index_drop(struct segment *segment);

/* reader.c */
/* Goes on with, or ends, reads that waited. */
void reads_run(struct list *reads, int error, struct now now);
void reads_end(struct plog *log, int error, struct now now);
/* ahead.c: a read found [offset, next_offset), the last byte of it in front of `pos` of `segment`;
 * is_missed: it went to the disk. */
void ahead_note(struct plog *log, struct segment *segment, int64_t offset, int64_t next_offset,
                uint64_t pos, bool is_missed);
void ahead_forget(struct plog *log);
/* fill.c: reads what is missing of [pos, to) for nobody yet, as far as there is room. Returns up to
 * where. */
uint64_t fill_ahead(struct segment *segment, uint64_t pos, uint64_t to);
/* fill.c: those asked for since the last turn have begun now. */
void fills_stamp(struct store *store, struct now now);
/* fill.c: E_AGAIN: `read` waits on a fill (or for one); E_NO_MEMORY, E_STORAGE. */
nodiscard int fill_start(struct segment *segment, uint64_t pos, uint64_t want, struct read *read);

/* txn.c: what an appended (or replayed) batch does to the log's producers and transactions.
 * `records` are the first bytes behind the header, needed of control batches only. An error has
 * changed nothing. */
enum { CONTROL_RECORD_MAX = 128 };
nodiscard int plog_note_producer(struct plog *log, const struct batch *b, struct bytes records,
                                 int64_t wall_ms);

/* compact_home.c */
void plog_compact_look(struct plog *log, struct now now);
void plog_compact_forget(struct plog *log); /* it is dropped */
void store_compact_tick(struct store *store, struct now now);
void store_compact_fini(struct store *store);

/* retention.c */
void plog_tick(struct plog *log, struct now now);

/* start_move.c */
/* Asks for what waiting moves want written. True when nothing more can be asked for now. */
bool start_step(struct plog *log);
void start_moves_end(struct plog *log, int error, struct now now);

/* time_query.c */
void store_answers_run(struct store *store, struct now now); /* queries that needed no search */

#endif
