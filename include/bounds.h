/*
 * bounds.h - every limit of the broker, as a formula over the settings, one line per holder.
 *
 * Owner: immutable (pure functions).
 *
 * The same formulas allocate at boot (dataplane/broker.c); what was taken is entered in the memory
 * ledger (ledger.h) and printed from there. A bound is a sum, and the sum is the proof that
 * back-pressure works: each holder has its line. Settings that contradict each other are refused at
 * start, with the line that says why.
 *
 * Memory of one worker:
 *
 *   log pages      storage.cache.bytes / workers
 *                  = tail: appended, not yet written and durable   storage.tail.bytes / workers
 *                  + answers that point at pages under way         half of the rest
 *                  + read cache                                    what is left, reclaimed first
 *   request pages  max(dataplane.request.bytes / workers, largest frame + BOUNDS_FRAME_ROOM)
 *                  = frames received and placed                    queued.max.request.bytes /
 * workers, or half
 *                  + arenas, encoded answers, gathered pieces      the rest
 *   receive        buffers given to the kernel to receive into
 *   page headers   1.6 % of all pages
 */
#ifndef MILLRACE_BOUNDS_H
#define MILLRACE_BOUNDS_H

#include <stdio.h>

#include "errors.h"
#include "pages.h"

enum {
    BOUNDS_RECV_BUFFER_BYTES = 16384,
    BOUNDS_RECV_BUFFERS_N = 1024,     /* of one worker; a power of two                  */
    BOUNDS_SESSION_PARTS = 65536,     /* partitions of all fetch sessions together ...  */
    BOUNDS_SESSION_BYTES = 16 << 20,  /* ... and what they cost, touched as it is used  */
    BOUNDS_REQUEST_BYTES_MIN = 16384, /* what one request under way holds at least      */
    BOUNDS_REQUESTS_MIN = 256,
    BOUNDS_REQUESTS_MAX = 16384,      /* under way at one worker                        */
    BOUNDS_CONNECTIONS_MAX = 100000,  /* of the process, whatever max.connections says  */
    BOUNDS_DESCRIPTORS_RESERVE = 128, /* rings, events, metrics, checkpoints, the lock  */
    BOUNDS_RING_BYTES_MAX = 64 << 20, /* all mail rings together                        */
    BOUNDS_WORKERS_MAX = 120,         /* with control, files and bulk below THREADS_MAX */
};
#define BOUNDS_FRAME_ROOM          MIB(16) /* beside the largest frame: the small ones go on */
#define BOUNDS_JOURNAL_BYTES       MIB(10) /* JOURNAL_RECORD_MAX + JOURNAL_SECOND_MAX        */
#define BOUNDS_REPACK_BYTES        MIB(16) /* REPACK_BYTES_MAX                               */
#define BOUNDS_INFLATED_BYTES      MIB(64) /* REPACK_PLAIN_BYTES_MAX                         */
#define BOUNDS_CONTROL_PAGES_BYTES MIB(32) /* tail and cache of the metadata log             */
#define BOUNDS_LOG_PAGES_MIN       MIB(8)  /* of one worker                                  */

/* The settings that decide. Owner: main at boot. */
struct bounds {
    uint32_t workers_n;
    uint64_t request_bytes; /* dataplane.request.bytes */
    uint64_t queued_bytes;  /* queued.max.request.bytes; 0 = not set */
    uint64_t frame_bytes;   /* socket.request.max.bytes */
    uint64_t fetch_bytes;   /* fetch.max.bytes */
    uint64_t cache_bytes;   /* storage.cache.bytes */
    uint64_t tail_bytes;    /* storage.tail.bytes */
    uint64_t compact_bytes; /* log.cleaner.dedupe.buffer.size; 0 without the cleaner */
    uint64_t open_files;    /* storage.open.files.max */
    uint64_t journals;      /* of a worker: log.dirs, or 0 with storage.journal.bytes=0 */
    uint64_t dirs;          /* log.dirs */
    uint64_t producers;     /* storage.producers.max */
    uint64_t connections;   /* max.connections */
    uint64_t descriptors;   /* RLIMIT_NOFILE */
    uint64_t memory_bytes;  /* of the machine */
};

static inline uint32_t bounds_threads(const struct bounds *b)
{
    return b->workers_n /* one polling core each              */
           + 1          /* control                            */
           + 2;         /* files and bulk                     */
}

/* ── memory of one worker ── */

/* Bytes of one worker; workers_n is 1 or more here and below (bounds_check). */
static inline uint64_t bounds_log_pages_bytes(const struct bounds *b)
{
    return align_down(b->cache_bytes / b->workers_n, PAGE_BLOCK);
}

static inline uint64_t bounds_tail_bytes(const struct bounds *b)
{
    return b->tail_bytes / b->workers_n;
}

/* Pages that answers under way may hold; the read cache has the same again. */
static inline uint64_t bounds_answer_bytes(const struct bounds *b)
{
    return (bounds_log_pages_bytes(b) - bounds_tail_bytes(b)) / 2;
}

static inline uint64_t bounds_request_pages_bytes(const struct bounds *b)
{
    uint64_t share = b->request_bytes / b->workers_n;
    return align_up(max_u64(share, b->frame_bytes + BOUNDS_FRAME_ROOM), PAGE_BLOCK);
}

/* Frames received or placed: while a frame waits for its home worker or its last byte, it stands
 * here. */
static inline uint64_t bounds_queued_bytes(const struct bounds *b)
{
    uint64_t half = bounds_request_pages_bytes(b) / 2;
    uint64_t wanted = b->queued_bytes == 0 ? half : b->queued_bytes / b->workers_n;
    uint64_t most = bounds_request_pages_bytes(b) - BOUNDS_FRAME_ROOM / 2;
    return min_u64(max_u64(wanted, b->frame_bytes), most);
}

/* Buffers lent to the kernel to receive into. */
static inline uint64_t bounds_receive_bytes(void)
{
    return (uint64_t)BOUNDS_RECV_BUFFERS_N * BOUNDS_RECV_BUFFER_BYTES;
}

/* Requests under way at one worker: half of its pages, each at its least. */
static inline uint32_t bounds_requests(const struct bounds *b)
{
    uint64_t n = bounds_request_pages_bytes(b) / 2 / BOUNDS_REQUEST_BYTES_MIN;
    return (uint32_t)min_u64(max_u64(n, BOUNDS_REQUESTS_MIN), BOUNDS_REQUESTS_MAX);
}

/* At control at once: it is one thread; what waits there waits in the connections instead. */
static inline uint32_t bounds_control_requests(const struct bounds *b)
{
    return (uint32_t)max_u64(bounds_requests(b) / 4, 64);
}

static inline uint64_t bounds_headers_bytes(const struct bounds *b)
{
    return pages_header_bytes(bounds_log_pages_bytes(b)) +
           pages_header_bytes(bounds_request_pages_bytes(b));
}

/* The records under way of each log directory's journal. */
static inline uint64_t bounds_journal_bytes(const struct bounds *b)
{
    return b->journals * BOUNDS_JOURNAL_BYTES;
}

static inline uint64_t bounds_worker_bytes(const struct bounds *b)
{
    return bounds_log_pages_bytes(b)       /* tail, answers under way, read cache   */
           + bounds_request_pages_bytes(b) /* frames, arenas, encoded answers       */
           + bounds_receive_bytes()        /* lent to the kernel                    */
           + bounds_headers_bytes(b) + bounds_journal_bytes(b);
}

/* ── memory of the process ── */

/* Batches compressed anew, until they are appended; and the one that bulk works on, as it came (a
 * frame at most), inflated, its records written anew, and compressed, for which codecs ask for more
 * room than they fill. */
static inline uint64_t bounds_repack_bytes(const struct bounds *b)
{
    return b->workers_n * b->dirs * BOUNDS_REPACK_BYTES + b->frame_bytes +
           4 * BOUNDS_INFLATED_BYTES;
}

/* Slots of one ring between two threads: a power of two, all requests of a worker where memory
 * allows it. A full ring loses nothing (mail.h): what does not fit waits in the sender's outbox. */
static inline uint32_t bounds_ring_slots(const struct bounds *b)
{
    uint64_t pairs = (uint64_t)bounds_threads(b) * bounds_threads(b);
    uint32_t slots = 4096;
    while (slots > 64 && pairs * slots * sizeof(void *) > BOUNDS_RING_BYTES_MAX)
        slots /= 2;
    return slots;
}

static inline uint64_t bounds_rings_bytes(const struct bounds *b)
{
    return (uint64_t)bounds_threads(b) * bounds_threads(b) * bounds_ring_slots(b) * sizeof(void *);
}

static inline uint64_t bounds_control_bytes(void)
{
    return BOUNDS_CONTROL_PAGES_BYTES + pages_header_bytes(BOUNDS_CONTROL_PAGES_BYTES);
}

/* What is reserved at boot, without what comes from the heap and goes again. */
static inline uint64_t bounds_process_bytes(const struct bounds *b)
{
    return bounds_worker_bytes(b) * b->workers_n + bounds_control_bytes() + bounds_rings_bytes(b) +
           BOUNDS_SESSION_BYTES;
}

/* ── descriptors ── */

/* Log files open at once, of the process. */
static inline uint64_t bounds_open_files(const struct bounds *b)
{
    return min_u64(b->open_files, b->descriptors / 2);
}

/* Of the process: what the log files and our own descriptors leave. */
static inline uint64_t bounds_connections(const struct bounds *b)
{
    uint64_t used = bounds_open_files(b)          /* segments                          */
                    + bounds_threads(b) * 4ull    /* ring, event, listener, directory  */
                    + BOUNDS_DESCRIPTORS_RESERVE; /* metrics, checkpoints, the lock    */
    uint64_t left = b->descriptors > used ? b->descriptors - used : 0;
    return min_u64(min_u64(b->connections, left), BOUNDS_CONNECTIONS_MAX);
}

/* ── contradictions ── */

/* 0, or E_INVALID with one line that names the settings and the numbers. */
nodiscard static inline int bounds_check(const struct bounds *b, char *why, size_t why_n)
{
    unsigned long long mib = 1 << 20;
    if (b->workers_n == 0 || b->workers_n > BOUNDS_WORKERS_MAX)
        snprintf(why, why_n, "dataplane.workers=%u: 1 to %d are possible", b->workers_n,
                 BOUNDS_WORKERS_MAX);
    else if (bounds_log_pages_bytes(b) < BOUNDS_LOG_PAGES_MIN)
        snprintf(why, why_n,
                 "storage.cache.bytes is %llu MiB: each of %u workers needs %llu MiB or more; "
                 "raise it or lower "
                 "dataplane.workers",
                 b->cache_bytes / mib, b->workers_n, BOUNDS_LOG_PAGES_MIN / mib);
    else if (bounds_tail_bytes(b) + PAGE_BLOCK > bounds_log_pages_bytes(b) / 4 * 3)
        snprintf(why, why_n,
                 "storage.tail.bytes (%llu MiB) may be at most three quarters of "
                 "storage.cache.bytes (%llu MiB) "
                 "less 2 MiB per worker",
                 b->tail_bytes / mib, b->cache_bytes / mib);
    else if (bounds_connections(b) < 16)
        snprintf(why, why_n,
                 "the limit of open files (%llu) leaves no room for connections beside %llu log "
                 "files: raise it "
                 "(ulimit -n) or lower storage.open.files.max",
                 (unsigned long long)b->descriptors, (unsigned long long)bounds_open_files(b));
    else if (b->memory_bytes != 0 && bounds_process_bytes(b) > b->memory_bytes)
        snprintf(why, why_n,
                 "the settings need %llu MiB of memory, the machine has %llu MiB: lower "
                 "storage.cache.bytes, "
                 "dataplane.request.bytes or dataplane.workers",
                 (unsigned long long)(bounds_process_bytes(b) / mib),
                 (unsigned long long)(b->memory_bytes / mib));
    else
        return 0;
    return E_INVALID;
}

/* ── the start lines ── */

/* What comes from the heap and goes again, and what is counted in numbers; the rest of the ledger
 * is printed from what was taken (dataplane/ledger.c). */
static inline void bounds_print(const struct bounds *b, FILE *to)
{
    double mib = 1 << 20;
    if (b->compact_bytes > 0)
        fprintf(to, "and up to%9.1f MiB for keys while logs are compacted\n",
                (double)b->compact_bytes / mib);
    fprintf(to, "and up to%9.1f MiB while batches are inflated or compressed anew\n",
            (double)bounds_repack_bytes(b) / mib);
    fprintf(to, "requests %9u under way at most, %u of them at control (per worker)\n",
            bounds_requests(b), bounds_control_requests(b));
    fprintf(to,
            "files    %9llu descriptors: %llu for log files, %llu for connections, the rest in "
            "reserve\n",
            (unsigned long long)b->descriptors, (unsigned long long)bounds_open_files(b),
            (unsigned long long)bounds_connections(b));
}

#endif
