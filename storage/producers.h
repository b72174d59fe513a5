/*
 * producers.h - what a log remembers of its idempotent and transactional producers.
 *
 * Owner: home. Memory: a fixed pool per store (store_config.producers_max) shared by its logs; when
 * it is full the entry idle longest over all logs is forgotten and counted.
 *
 * Rules: kafka-broker 2.3. Per (log, producer id): epoch, the last 5 batches, the open
 * transaction's first offset, coordinator epoch, time of the last append. Sources:
 * ProducerStateManager.java, ProducerAppendInfo.java, ProducerStateEntry.java (Kafka); KIP-98,
 * KIP-360. Snapshot format: .snapshot, version 1.
 */
#ifndef MILLRACE_PRODUCERS_H
#define MILLRACE_PRODUCERS_H

#include "batch.h"
#include "storage.h"

enum { PRODUCER_BATCHES = 5, PRODUCER_SNAPSHOT_HEADER = 10, PRODUCER_SNAPSHOT_ENTRY = 46 };

struct producer;
struct producer_pool; /* of a store */

nodiscard int producer_pool_init(struct producer_pool **out, uint32_t producers_max);
void producer_pool_fini(struct producer_pool *pool);
struct ledger;
void producer_pool_ledger(const struct producer_pool *pool, struct ledger *ledger);
/* Idle ones dropped for want of room. */
uint64_t producer_pool_forgotten(const struct producer_pool *pool);
uint32_t producer_pool_used(const struct producer_pool *pool);

/* Of a log; all zero when empty. Must not move while it holds entries: they point back at it.
 * Owner: home, with the pool. */
struct producers {
    struct producer *first; /* all entries, the next to look at for expiry first    */
    struct producer *open;  /* those with an open transaction, by first offset       */
    uint32_t n;
};

enum producer_verdict { PRODUCER_APPEND, PRODUCER_DUPLICATE };
struct producer_answer {
    enum producer_verdict verdict;
    bool is_new;                                 /* the producer is not known */
    int64_t base_offset, last_offset, timestamp; /* of the original, for a duplicate */
};
/* May this batch (with producer_id >= 0, no control batch) be appended now? Changes nothing.
 * E_OUT_OF_ORDER, E_BAD_EPOCH, E_BAD_TXN_STATE; E_NO_MEMORY when the pool is full of open
 * transactions. After PRODUCER_APPEND, producers_note of the same batch in the same turn does not
 * fail. A producer that is not known may begin with any sequence (trap 29). */
nodiscard int producers_check(struct producer_pool *pool, const struct producers *p,
                              const struct batch *b, struct producer_answer *answer);
/* It was appended at b->base_offset (also replay of a log: no checks; control batches end
 * transactions, the coordinator epoch stays as it was). Batches without a producer are ignored.
 * E_NO_MEMORY. */
nodiscard int producers_note(struct producer_pool *pool, struct producers *p, const struct batch *b,
                             int64_t wall_ms);
/* A control record (commit or abort marker) of this producer at `offset`. *first_offset = where its
 * transaction began, -1 when none was open. E_BAD_EPOCH (older producer epoch), E_BAD_TXN_STATE
 * (older coordinator), and E_NO_MEMORY change nothing. */
nodiscard int producers_end_txn(struct producer_pool *pool, struct producers *p,
                                int64_t producer_id, int16_t producer_epoch,
                                int32_t coordinator_epoch, int64_t offset, int64_t timestamp,
                                int64_t *first_offset);
/* First offset of the oldest open transaction, -1 for none: what holds the last stable offset.
 * O(1). */
int64_t producers_first_open(const struct producers *p);
/* Forgets entries idle for `expiration_ms` since their last append (by our clock, not the batch's
 * timestamps); at most `budget` looked at per call. Entries from a snapshot count from the first
 * call. Open transactions stay. Returns how many went. */
uint32_t producers_expire(struct producer_pool *pool, struct producers *p, int64_t wall_ms,
                          int64_t expiration_ms, uint32_t budget);
/* Adds those of `from`, of another pool, with all that is known of them. E_NO_MEMORY: some are
 * there. */
nodiscard int producers_copy(struct producer_pool *pool, struct producers *p,
                             const struct producers *from);
void producers_clear(struct producer_pool *pool, struct producers *p);

/* Copies at most `max`; returns how many there are. */
uint32_t producers_list(const struct producers *p, struct producer_state *to, uint32_t max);

/* Snapshot file: size, encode, decode (E_CORRUPT: caller drops the file and goes on with an older
 * one; E_NO_MEMORY; `p` is empty then). What `p` held before is dropped. */
uint64_t producers_snapshot_bytes(const struct producers *p);
void producers_snapshot_encode(const struct producers *p, uint8_t *to);
nodiscard int producers_snapshot_decode(struct producer_pool *pool, struct producers *p,
                                        struct bytes from);

#endif
