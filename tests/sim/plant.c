/*
 * plant.c - bugs of the broker that the checks must find: made between its turns, and in what a
 * crash has left. Those of the disk are in sim_disk.c.
 *
 * Owner: the simulator.
 */
#include <stdlib.h>

#include "check.h"
#include "journal.h"
#include "sim.h"

/* Planted bugs of the journal; and loads that are small here act as large ones do. */
void plant_step(struct sim *s)
{
    for (uint8_t i = 0; i < s->options.workers_n; i++) {
        struct journal *j = s->broker->workers[i]->store->journal;
        if (j == NULL)
            continue;
        if (s->options.seed % 2 != 0)
            j->second_min = 1; /* two records are under way all the time */
        if (j->state != JOURNAL_IDLE)
            continue;
        if (s->options.plant == SIM_PLANT_TAIL_EARLY && j->tail_seq <= j->flushed_seq) {
            j->tail_seq = j->flushed_seq + 1;
            j->tail = j->flushed;
        }
        if (s->options.plant == SIM_PLANT_REUSE_EARLY)
            j->tail_safe = j->flushed;
    }
}

/* Entries of topics that were deleted get the ids of those that have their names now. */
static void record_spoil(const struct sim *s, const struct uuid *generation, uint8_t *record,
                         const struct journal_head *head)
{
    uint32_t at = JOURNAL_RECORD_HEAD, here = at;
    struct journal_entry e;
    while (journal_entry_next(bytes_of(record, head->used), &at, &e) == 0) {
        for (uint32_t t = 0; t < s->topics_n; t++)
            if (bytes_equal_string(e.topic, s->topics[t].name) && !uuid_is_zero(&s->topics[t].id))
                memcpy(record + here, s->topics[t].id.b, sizeof s->topics[t].id.b);
        here = at;
    }
    journal_record_end(record, generation, head);
}

static void ring_spoil(struct sim *s, const char *path)
{
    struct disk *disk = sim_disk_disk(s->disk);
    struct disk_stat stat;
    struct journal_head head;
    struct uuid generation;
    if (disk_stat(disk, path, &stat) != 0)
        return;
    uint8_t *ring = malloc(stat.bytes + 1);
    int fd = disk_open(disk, path, DISK_WRITE);
    check(ring != NULL && fd >= 0);
    check(disk_read(disk, fd, ring, stat.bytes, 0) == (int64_t)stat.bytes);
    if (stat.bytes >= JOURNAL_BLOCK && journal_ring_read(ring, &generation) == 0) {
        for (uint64_t at = JOURNAL_BLOCK; at + JOURNAL_BLOCK <= stat.bytes; at += JOURNAL_BLOCK)
            if (journal_head_read(ring + at, &generation, &head) == 0 &&
                head.bytes <= stat.bytes - at && journal_record_check(ring + at, &head) == 0)
                record_spoil(s, &generation, ring + at, &head);
        check(disk_write(disk, fd, ring, stat.bytes, 0) == 0);
    }
    disk_close(disk, fd);
    free(ring);
}

void plant_crash(struct sim *s)
{
    for (uint8_t i = 0; s->options.plant == SIM_PLANT_HEIR && i < s->options.workers_n; i++) {
        char path[64];
        snprintf(path, sizeof path, "/data/%s/%u.ring", JOURNAL_DIRECTORY, i);
        ring_spoil(s, path);
    }
}
