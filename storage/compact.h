/*
 * compact.h - compaction of a log: what the home asks, what the bulk helper does, and what travels
 * between them.
 *
 * Owner: struct compact is made and freed by home; while its job is under way it belongs to bulk.
 *
 * The semantics are Apache Kafka's (Cleaner.java, LogCleanerManager.java, MemoryRecords.filterTo;
 * kafka-broker 2.6). One compaction of one log is a series of *pieces*, each at most
 * COMPACT_PIECE_BYTES of reading, each one trip of one job to bulk and back:
 *
 *   map    the dirty segments are read: hash of key -> last offset
 *   clean  all segments up to the map's end are read again in groups, what is superseded is left
 *          out, the rest goes to <base>.log.cleaned; a group becomes one segment
 *   swap   home has put the new segment in the place of the old ones in memory; the files follow
 *
 * Home decides everything between two pieces: whether to go on, how fast, and whether the segments
 * are still those that were read. A piece never sees a log.
 */
#ifndef MILLRACE_COMPACT_H
#define MILLRACE_COMPACT_H

#include "aborted.h"
#include "batch.h"
#include "batch_scan.h"
#include "compress.h"
#include "plog.h"

enum {
    COMPACT_PIECE_BYTES = 1 << 20, /* read in one piece; one batch may be more */
    COMPACT_WRITE_BYTES = 256 << 10,
    COMPACT_MAP_ENTRY = 24, /* hash of 16 bytes, offset of 8 */
    COMPACT_MAP_BYTES_MIN = 1 << 16,
};

/* ── the map ── */

/* Hash of key -> highest offset. The hash is SipHash-2-4 with 128 bits under a key drawn for each
 * compaction: a collision would lose a record, and nobody can aim for one. Owner: bulk. */
struct compact_map {
    struct compact_slot *v;
    uint64_t slots_n, used_n, used_max;
    uint64_t key[2];
};
struct compact_slot {
    uint64_t hash[2];
    int64_t next; /* offset + 1; 0: free */
};

/* Room for at most `keys_max` keys within `bytes`. E_NO_MEMORY. */
nodiscard int compact_map_init(struct compact_map *map, uint64_t bytes, uint64_t keys_max,
                               uint32_t load_percent, const uint64_t key[2]);
void compact_map_fini(struct compact_map *map);
/* False: it is full and holds no such key. */
bool compact_map_put(struct compact_map *map, struct bytes key, int64_t offset);
/* -1: not in it. */
int64_t compact_map_get(const struct compact_map *map, struct bytes key);
void compact_hash(const uint64_t key[2], struct bytes data, uint64_t out[2]);

/* ── transactions on the way through a log ── */

/* An aborted transaction whose marker is still ahead. */
struct compact_abort {
    struct aborted_entry entry;
    bool has_data; /* a batch of it was read */
};

/* Owner: bulk. Heap. */
struct compact_txns {
    const struct aborted_entry *aborted; /* by first offset */
    uint32_t aborted_n, aborted_at;
    struct compact_abort *open; /* aborted, their marker not yet seen */
    uint32_t open_n, open_max;
    int64_t *committing; /* producers with data of a transaction that commits */
    uint32_t committing_n, committing_max;
};

/* True in *is_void: this batch's records belong to an aborted transaction; or it is a marker of a
 * transaction of which no data is left. `kept` gets the aborted transaction of a marker that stays
 * (has_kept). E_NO_MEMORY, E_CORRUPT. */
nodiscard int compact_txns_batch(struct compact_txns *txns, const struct batch *b,
                                 struct bytes whole, bool *is_void, struct aborted_entry *kept,
                                 bool *has_kept);
void compact_txns_fini(struct compact_txns *txns);

/* ── one batch ── */

/* The last data a producer wrote, from a snapshot; by producer id. */
struct compact_producer {
    int64_t producer_id, last_offset; /* -1: only a marker */
    int16_t epoch;
};

/* What decides about a batch. Owner: bulk. */
struct compact_rules {
    const struct compact_map *map;
    int64_t map_end; /* offsets from here on are not in the map: kept */
    int64_t now_ms, delete_retention_ms;
    const struct compact_producer *producers;
    uint32_t producers_n;
};

/* Memory that is reused from batch to batch. */
struct compact_memory {
    struct plain plain;
    uint8_t *kept, *packed;
    uint32_t kept_n, kept_max, packed_n, packed_max;
};
void compact_memory_fini(struct compact_memory *m);

/* What becomes of a batch: *out is `whole` itself, or new bytes in `m` until the next call, or
 * empty: nothing of it stays. E_CORRUPT, E_NO_MEMORY, E_TOO_LARGE, E_BAD_CODEC. */
nodiscard int compact_batch(const struct compact_rules *rules, struct compact_memory *m,
                            const struct batch *b, struct bytes whole, bool is_void,
                            struct bytes *out);

/* ── one compaction ── */

/* A segment that is to be compacted. */
struct compact_source {
    struct segment *segment; /* a reference; only home looks behind it */
    int64_t base_offset, end_offset;
    uint64_t bytes;
};

enum compact_order { COMPACT_GO, COMPACT_SWAP, COMPACT_GIVE_UP };
enum compact_said {
    COMPACT_MORE,  /* send it again */
    COMPACT_READY, /* a group is cleaned and durable: its place in the log is home's */
    COMPACT_DONE,
};

enum compact_phase { COMPACT_MAP, COMPACT_CLEAN };

/* Owner: home; bulk while its job is under way. */
struct compact {
    /* set by home */
    char directory[DISK_PATH_MAX];
    struct log_config config;
    struct compact_source *sources; /* heap, in order */
    uint32_t sources_n;
    struct aborted_entry *aborted; /* heap, by first offset */
    uint32_t aborted_n;
    uint8_t *snapshot; /* heap: producers as of the beginning */
    uint32_t snapshot_bytes;
    int64_t dirty_from, now_ms;
    uint64_t map_bytes;
    uint32_t load_percent;
    uint8_t order; /* enum compact_order, of this piece */
    /* said by bulk */
    uint8_t said;                       /* enum compact_said */
    uint64_t read_bytes, written_bytes; /* of this piece */
    int64_t map_end;                    /* below it the log is clean afterwards */
    /* the group, when READY */
    uint32_t group_at, group_n; /* of sources */
    struct segment result;      /* end_pos, timestamps, indexes: a scratch, in no log */
    struct aborted_entry *kept; /* aborted transactions whose marker stays. Heap */
    uint32_t kept_n, kept_max;
    /* bulk's own */
    uint8_t phase; /* enum compact_phase */
    bool has_begun, has_marker, is_full, is_changed;
    uint32_t at; /* source being read */
    struct batch_scan scan;
    int scan_fd, out_fd; /* -1: none */
    struct compact_map map;
    struct compact_txns txns;
    struct compact_memory memory;
    struct compact_producer *producers;
    uint32_t producers_n;
    uint8_t *out; /* COMPACT_WRITE_BYTES or one batch, not yet written */
    uint32_t out_n, out_max;
};

/* compact_run.c (and bulk_compact, helper.h) */
/* Memory and descriptors of bulk's half; files that were begun stay. */
void compact_release(struct compact *c, struct disk *disk);

/* compact_swap.c */
/* Before the first swap of a compaction: a later start knows how far it may have come. */
nodiscard int compact_mark_write(struct compact *c, struct disk *disk);
/* The cleaned files of the group take the place of the old ones. May be repeated after an error. */
nodiscard int compact_swap(struct compact *c, struct disk *disk);
/* Removes <base>.*.cleaned of the group. */
void compact_unlink(const struct compact *c, struct disk *disk);
#endif
