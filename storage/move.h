/*
 * move.h - a log goes to another log directory: what home asks of the helpers, and what they do.
 *
 * Owner: home; the helper while its job is under way.
 */
#ifndef MILLRACE_MOVE_H
#define MILLRACE_MOVE_H

#include "plog.h"

enum { MOVE_PIECE_BYTES = 1 << 20 };

enum copy_order {
    COPY_BEGIN,  /* bulk: makes the directory */
    COPY_PIECE,  /* bulk: up to MOVE_PIECE_BYTES of a segment; at its end its other files */
    COPY_FINISH, /* bulk: what is not of one segment; everything is durable afterwards */
    COPY_SWAP,   /* files: the directory gets the log's name, durably */
    COPY_REMOVE, /* files: the copy goes, whatever its name is */
};

/* The copy of one log. Heap. */
struct move_copy {
    uint8_t order; /* enum copy_order */
    bool is_made, is_renamed;
    bool is_segment_over;     /* out, COPY_PIECE */
    char from[DISK_PATH_MAX]; /* the log's directory */
    char to[DISK_PATH_MAX];   /* "<topic>-<partition>.<32 hex>-future" */
    char live[DISK_PATH_MAX]; /* "<topic>-<partition>" beside it */
    struct uuid topic_id;
    int in_fd, out_fd;
    int64_t base_offset;                     /* COPY_PIECE: which segment */
    uint64_t bytes, pos;                     /* of its .log */
    int64_t first_offset, end_offset, start; /* COPY_FINISH */
    char *epochs;                            /* its text */
    uint64_t epochs_n;
    uint8_t buffer[MOVE_PIECE_BYTES];
};

/* The state of a move. */
enum move_state {
    MOVE_WAITS,    /* for the compaction of this log to end */
    MOVE_BEGINS,   /* COPY_BEGIN is under way */
    MOVE_COPIES,   /* sealed segments are copied, the log takes appends */
    MOVE_FREEZES,  /* it takes none: the rest is sealed and copied */
    MOVE_FINISHES, /* COPY_FINISH, then COPY_SWAP are under way */
    MOVE_STANDS,   /* both are whole; the caller decides which one it is */
    MOVE_REMOVES,  /* the copy is being removed */
};

/* move_copy.c: the helpers' side */
nodiscard int move_copy_run(struct helper *helper, struct move_copy *copy);
/* Closes what an interrupted order has left open. */
void move_copy_release(struct move_copy *copy, struct disk *disk);

/* move.c */
void store_moves_run(struct store *store, struct now now);
/* The log is dropped: the copy is not needed. */
void plog_move_forget(struct plog *log);
void store_moves_fini(struct store *store);

/* move_swap.c: the log's place in memory; the old struct is dropped, the files of both stay. NULL:
 * no memory, nothing has changed. */
struct plog *plog_switch(struct plog *log, struct store *to, struct now now);

#endif
