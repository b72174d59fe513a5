/*
 * peers.c - how many connections each address has, for max.connections.per.ip.
 *
 * Owner: worker.
 *
 * A hash table with open addressing and linear probing; at most half full, because it has at least
 * twice as many places as there may be connections. Removing moves later members of the run back
 * (no tombstones), so the table does not age. The hash is seeded: a peer chooses its address, not
 * its place.
 */
#include "inside.h"

#include <sys/mman.h>

#include "hash.h"

int peers_init(struct peers *peers, uint32_t conns_max, uint64_t seed)
{
    uint64_t n = 16;
    while (n < 2 * (uint64_t)conns_max)
        n *= 2;
    /* Mapped, not allocated: places that no address falls on never cost memory. */
    void *v = mmap(NULL, n * sizeof *peers->v, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (v == MAP_FAILED)
        return E_NO_MEMORY;
    *peers = (struct peers){v, (uint32_t)(n - 1), seed};
    return 0;
}

void peers_fini(struct peers *peers)
{
    munmap(peers->v, ((uint64_t)peers->mask + 1) * sizeof *peers->v);
    peers->v = NULL;
}

static uint32_t place_of(const struct peers *peers, const uint8_t ip[16])
{
    return (uint32_t)hash_bytes(ip, 16, peers->seed) & peers->mask;
}

/* The place of ip, or the free one where it would go. */
static uint32_t place_find(const struct peers *peers, const uint8_t ip[16])
{
    uint32_t at = place_of(peers, ip);
    while (peers->v[at].n != 0 && memcmp(peers->v[at].ip, ip, 16) != 0)
        at = (at + 1) & peers->mask;
    return at;
}

bool peers_add(struct peers *peers, const uint8_t ip[16], uint32_t n_max)
{
    struct peer_count *p = &peers->v[place_find(peers, ip)];
    if (p->n >= n_max)
        return false;
    memcpy(p->ip, ip, 16);
    p->n++;
    return true;
}

void peers_remove(struct peers *peers, const uint8_t ip[16])
{
    uint32_t hole = place_find(peers, ip);
    check(peers->v[hole].n > 0);
    if (--peers->v[hole].n > 0)
        return;
    for (uint32_t at = (hole + 1) & peers->mask; peers->v[at].n != 0; at = (at + 1) & peers->mask) {
        uint32_t home = place_of(peers, peers->v[at].ip);
        /* It may move into the hole when its home is not between hole and at (cyclically). */
        if (((at - home) & peers->mask) < ((at - hole) & peers->mask))
            continue;
        peers->v[hole] = peers->v[at];
        peers->v[at].n = 0;
        hole = at;
    }
}
