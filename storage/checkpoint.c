/*
 * checkpoint.c - offsets per partition, in memory and in the four checkpoint files.
 *
 * Owner: main at boot and stop, the files helper its own table in between.
 *
 * One hash table (linear probing, at most half full) of partitions; each has up to four offsets, -1
 * = none. A removed partition keeps its place with four times -1, so probing never breaks.
 *
 * Reading takes what Apache Kafka takes: fields apart by any white space, a last line without its
 * line feed. Two lines for one partition: the later one counts.
 */
#include "checkpoint.h"

#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "disk_tools.h"
#include "hash.h"
#include "text.h"

enum { CHECKPOINT_FILE_MAX = 256 << 20, CHECKPOINT_ENTRIES_MAX = 1 << 22, TOPIC_MAX = 249 };

/* One partition. */
struct checkpoint {
    char *topic; /* heap; NULL: free place */
    uint32_t topic_n;
    int32_t partition;
    int64_t offsets[CHECKPOINTS_N];
};

struct checkpoints {
    struct checkpoint *v;
    uint32_t n, max; /* places used, places; max is a power of two */
};

const char *checkpoint_name(enum checkpoint_kind kind)
{
    static const char *const names[CHECKPOINTS_N] = {
        [CHECKPOINT_RECOVERY_POINT] = "recovery-point-offset-checkpoint",
        [CHECKPOINT_LOG_START] = "log-start-offset-checkpoint",
        [CHECKPOINT_HIGH] = "replication-offset-checkpoint",
        [CHECKPOINT_CLEANER] = "cleaner-offset-checkpoint",
    };
    check(kind < CHECKPOINTS_N);
    return names[kind];
}

struct checkpoints *checkpoints_new(void)
{
    return calloc(1, sizeof(struct checkpoints));
}

void checkpoints_free(struct checkpoints *c)
{
    if (c == NULL)
        return;
    for (uint32_t i = 0; i < c->max; i++)
        free(c->v[i].topic);
    free(c->v);
    free(c);
}

/* Its place, or the free one where it would stand. There is always one. */
static struct checkpoint *place_of(const struct checkpoints *c, struct bytes topic,
                                   int32_t partition)
{
    uint32_t at = (uint32_t)hash_bytes(topic.ptr, topic.n, (uint64_t)(uint32_t)partition);
    for (;; at++) {
        struct checkpoint *p = &c->v[at & (c->max - 1)];
        if (p->topic == NULL ||
            (p->partition == partition && bytes_equal(bytes_of(p->topic, p->topic_n), topic)))
            return p;
    }
}

static int checkpoints_grow(struct checkpoints *c)
{
    if (c->n < c->max / 2)
        return 0;
    struct checkpoints bigger = {.max = c->max == 0 ? 64 : c->max * 2, .n = c->n};
    bigger.v = calloc(bigger.max, sizeof *bigger.v);
    if (bigger.v == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < c->max; i++)
        if (c->v[i].topic != NULL)
            *place_of(&bigger, bytes_of(c->v[i].topic, c->v[i].topic_n), c->v[i].partition) =
                c->v[i];
    free(c->v);
    *c = bigger;
    return 0;
}

/* Its place, made when there is none. */
static int place_take(struct checkpoints *c, struct bytes topic, int32_t partition,
                      struct checkpoint **out)
{
    check(partition >= 0 && topic.n > 0);
    int error = checkpoints_grow(c);
    if (error < 0)
        return error;
    struct checkpoint *p = place_of(c, topic, partition);
    if (p->topic == NULL) {
        p->topic = malloc(topic.n);
        if (p->topic == NULL)
            return E_NO_MEMORY;
        memcpy(p->topic, topic.ptr, topic.n);
        p->topic_n = topic.n;
        p->partition = partition;
        for (int i = 0; i < CHECKPOINTS_N; i++)
            p->offsets[i] = -1;
        c->n++;
    }
    *out = p;
    return 0;
}

int checkpoint_set(struct checkpoints *c, enum checkpoint_kind kind, struct bytes topic,
                   int32_t partition, int64_t offset)
{
    struct checkpoint *p;
    check(kind < CHECKPOINTS_N && offset >= 0);
    int error = place_take(c, topic, partition, &p);
    if (error == 0)
        p->offsets[kind] = offset;
    return error;
}

int checkpoint_set_all(struct checkpoints *c, struct bytes topic, int32_t partition,
                       const int64_t offsets[CHECKPOINTS_N])
{
    struct checkpoint *p;
    int error = place_take(c, topic, partition, &p);
    for (int i = 0; error == 0 && i < CHECKPOINTS_N; i++)
        p->offsets[i] = max_i64(offsets[i], -1);
    return error;
}

bool checkpoint_get(const struct checkpoints *c, enum checkpoint_kind kind, struct bytes topic,
                    int32_t partition, int64_t *offset)
{
    check(kind < CHECKPOINTS_N);
    const struct checkpoint *p = c->max == 0 ? NULL : place_of(c, topic, partition);
    if (p == NULL || p->topic == NULL || p->offsets[kind] < 0)
        return false;
    *offset = p->offsets[kind];
    return true;
}

int checkpoint_copy(struct checkpoints *to, const struct checkpoints *from, struct bytes topic,
                    int32_t partition)
{
    int64_t offset;
    int error = 0;
    for (enum checkpoint_kind kind = 0; error == 0 && kind < CHECKPOINTS_N; kind++)
        if (checkpoint_get(from, kind, topic, partition, &offset))
            error = checkpoint_set(to, kind, topic, partition, offset);
    return error;
}

int checkpoints_copy(struct checkpoints *to, const struct checkpoints *from)
{
    int error = 0;
    for (uint32_t i = 0; error == 0 && i < from->max; i++)
        if (from->v[i].topic != NULL)
            error = checkpoint_copy(to, from, bytes_of(from->v[i].topic, from->v[i].topic_n),
                                    from->v[i].partition);
    return error;
}

bool checkpoint_remove(struct checkpoints *c, struct bytes topic, int32_t partition)
{
    struct checkpoint *p = c->max == 0 ? NULL : place_of(c, topic, partition);
    bool had_any = false;
    for (int i = 0; p != NULL && p->topic != NULL && i < CHECKPOINTS_N; i++) {
        had_any |= p->offsets[i] >= 0;
        p->offsets[i] = -1;
    }
    return had_any;
}

uint32_t checkpoint_count(const struct checkpoints *c, enum checkpoint_kind kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->max; i++)
        n += c->v[i].topic != NULL && c->v[i].offsets[kind] >= 0;
    return n;
}

/* ── text ── */

static int compare(const void *a, const void *b)
{
    const struct checkpoint *x = *(const struct checkpoint *const *)a,
                            *y = *(const struct checkpoint *const *)b;
    uint32_t n = x->topic_n < y->topic_n ? x->topic_n : y->topic_n;
    int order = memcmp(x->topic, y->topic, n);
    if (order == 0)
        order = (x->topic_n > y->topic_n) - (x->topic_n < y->topic_n);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

/* Pointers to the partitions that have an offset of this kind, sorted; *bytes: room their lines
 * need. */
static int sorted_of(const struct checkpoints *c, enum checkpoint_kind kind,
                     const struct checkpoint ***out, uint32_t *n, uint64_t *bytes)
{
    const struct checkpoint **v = malloc((c->n + 1) * sizeof(struct checkpoint *));
    if (v == NULL)
        return E_NO_MEMORY;
    *n = 0;
    *bytes = 32;
    for (uint32_t i = 0; i < c->max; i++) {
        if (c->v[i].topic == NULL || c->v[i].offsets[kind] < 0)
            continue;
        v[(*n)++] = &c->v[i];
        *bytes += c->v[i].topic_n + 36;
    }
    if (*n > 0)
        qsort(v, *n, sizeof *v, compare);
    *out = v;
    return 0;
}

int checkpoint_text(const struct checkpoints *c, enum checkpoint_kind kind, struct bytes *out)
{
    const struct checkpoint **v;
    uint32_t n;
    uint64_t bytes;
    check(kind < CHECKPOINTS_N);
    int error = sorted_of(c, kind, &v, &n, &bytes);
    if (error < 0)
        return error;
    char *text = malloc(bytes);
    if (text == NULL) {
        free(v);
        return E_NO_MEMORY;
    }
    size_t at = (size_t)snprintf(text, bytes, "0\n%u\n", n);
    for (uint32_t i = 0; i < n; i++)
        at += (size_t)snprintf(text + at, bytes - at, "%.*s %d %lld\n", (int)v[i]->topic_n,
                               v[i]->topic, v[i]->partition, (long long)v[i]->offsets[kind]);
    check(at < bytes);
    free(v);
    *out = bytes_of(text, at);
    return 0;
}

/* Letters, digits, '.', '_', '-': what Kafka lets a topic be called. */
static bool is_topic(struct bytes topic)
{
    for (uint32_t i = 0; i < topic.n; i++) {
        uint8_t c = topic.ptr[i], letter = c | 0x20;
        if (!(letter >= 'a' && letter <= 'z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
            c != '-')
            return false;
    }
    return topic.n > 0 && topic.n <= TOPIC_MAX;
}

/* "topic partition offset". */
static int parse_line(struct checkpoints *c, enum checkpoint_kind kind, struct bytes line)
{
    const uint8_t *space = line.n == 0 ? NULL : memchr(line.ptr, ' ', line.n);
    int64_t partition, offset;
    if (space == NULL)
        return E_CORRUPT;
    struct bytes topic = bytes_of(line.ptr, (size_t)(space - line.ptr));
    if (!is_topic(topic))
        return E_CORRUPT;
    line = bytes_of(space, line.n - topic.n);
    if (!text_char(&line, ' ') || !text_number(&line, 0, INT32_MAX, &partition) ||
        !text_char(&line, ' ') || !text_number(&line, 0, INT64_MAX, &offset) || line.n > 0)
        return E_CORRUPT;
    return checkpoint_set(c, kind, topic, (int32_t)partition, offset);
}

int checkpoint_parse(struct checkpoints *c, enum checkpoint_kind kind, struct bytes text)
{
    struct bytes line;
    int64_t n = 0;
    if (text.n == 0)
        return 0;
    int error = text_checkpoint_head(&text, CHECKPOINT_ENTRIES_MAX, &n);
    for (int64_t i = 0; error == 0 && i < n; i++)
        error = text_line(&text, &line) ? parse_line(c, kind, line) : E_CORRUPT;
    return error == 0 && text.n > 0 ? E_CORRUPT : error;
}

/* ── files ── */

static int read_one(struct checkpoints *c, enum checkpoint_kind kind, struct disk *disk,
                    const char *directory)
{
    char path[DISK_PATH_MAX];
    struct bytes text;
    int error = path_join(path, directory, checkpoint_name(kind));
    if (error == 0)
        error = file_read(disk, path, CHECKPOINT_FILE_MAX, &text);
    if (error < 0)
        return error == E_NOT_FOUND ? 0 : error;
    error = checkpoint_parse(c, kind, text);
    file_read_free(&text);
    return error;
}

int checkpoints_read(struct checkpoints *c, struct disk *disk, const char *directory, char *why,
                     size_t why_n)
{
    for (enum checkpoint_kind kind = 0; kind < CHECKPOINTS_N; kind++) {
        int error = read_one(c, kind, disk, directory);
        if (error == 0)
            continue;
        snprintf(why, why_n, "%s/%s cannot be used: %s; %s", directory, checkpoint_name(kind),
                 error_text(error),
                 kind == CHECKPOINT_LOG_START
                     ? "removing it brings records back that were deleted"
                     : "it may be removed: the logs are then checked from their beginning");
        return error;
    }
    return 0;
}

int checkpoint_write(const struct checkpoints *c, enum checkpoint_kind kind, struct disk *disk,
                     const char *directory)
{
    struct bytes text;
    int error = checkpoint_text(c, kind, &text);
    if (error < 0)
        return error;
    error = file_replace(disk, directory, checkpoint_name(kind), text);
    file_read_free(&text);
    return error;
}

int checkpoints_write(const struct checkpoints *c, struct disk *disk, const char *directory)
{
    int error = 0;
    for (enum checkpoint_kind kind = 0; kind < CHECKPOINTS_N && error == 0; kind++)
        error = checkpoint_write(c, kind, disk, directory);
    return error;
}
