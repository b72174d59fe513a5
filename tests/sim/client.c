/*
 * client.c - simulated clients: speak the protocol through our own codec over an in-memory
 * connection.
 *
 * Owner: the simulator.
 *
 * A producer keeps a queue of batches; each batch has a fixed partition, sequence and content from
 * birth to acknowledgement. Up to SIM_FLIGHT requests are under way. When a connection ends, or an
 * answer is a retriable error, an idempotent producer sends the same batches again, in order, after
 * everything under way has been answered; a plain producer gives them up (at most once).
 *
 * A consumer fetches all partitions of all created topics from where it stands and hands every
 * record to the model. Rule 5 (order of answers) is checked here for both.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "batch.h"
#include "check.h"
#include "compress.h"
#include "crc.h"
#include "messages.h"
#include "proto.h"
#include "sim.h"
#include "wire.h"

enum { SIM_FLIGHT = 3, SIM_QUEUE = 16, SIM_BATCH_BYTES = 16384, VALUE_HEADER = 16 };

enum batch_state { BATCH_FREE, BATCH_WAITING, BATCH_UNDER_WAY, BATCH_FAILED };

struct queued {
    uint8_t state;
    uint32_t topic;
    int32_t partition;
    uint32_t birth; /* of the topic it is for */
    uint32_t records_n;
    uint64_t first_number;
    uint32_t tombstones; /* a bit per record */
    int64_t ms;
    uint32_t bytes;
    uint64_t order;        /* of birth: batches of a partition are sent in this order */
    bool may_be_forgotten; /* it was under way when a broker died */
    uint8_t data[SIM_BATCH_BYTES];
};

enum sent_kind { SENT_INIT, SENT_PRODUCE, SENT_FETCH, SENT_START };

/* A request under way, in the order sent. */
struct sent {
    int32_t correlation_id;
    uint8_t kind;
    int16_t version;
    int16_t acks;
    bool is_stale; /* SENT_FETCH, SENT_START: asked before a rewind */
    uint32_t births[SIM_TOPICS_MAX];
    int64_t start_min[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX]; /* the model's then */
    uint32_t topic;                                        /* SENT_START */
    int32_t partition;
    struct queued *batches[SIM_TOPICS_MAX * SIM_PARTITIONS_MAX];
    uint32_t batches_n;
};

struct sim_client {
    enum sim_role role;
    uint32_t number;
    struct sim_wire wire;
    struct sent flight[SIM_FLIGHT];
    uint32_t flight_n;
    int16_t acks;
    int64_t producer_id;
    int16_t producer_epoch;
    bool is_retrying; /* idempotent: something failed; wait for the flight to land, then send again
                       */
    uint32_t births[SIM_TOPICS_MAX]; /* the topics it knows */
    uint64_t next_number[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX];
    uint64_t order;
    uint16_t life; /* how many connections the broker has ended */
    struct queued queue[SIM_QUEUE];
    int64_t position[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX];
    int64_t high[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX];
    int64_t start[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX];
    bool wants_start[SIM_TOPICS_MAX][SIM_PARTITIONS_MAX];
    uint64_t lost_ns; /* when a connection ended with something under way */
    uint64_t idle_until_ns;
};

struct sim_client *client_new(struct sim *s, uint32_t number, enum sim_role role)
{
    static const int16_t acks[] = {-1, -1, 1, 0};
    struct sim_client *c = calloc(1, sizeof *c);
    check(c != NULL);
    wire_init(&c->wire);
    c->role = role;
    c->number = number;
    c->acks = role == SIM_IDEMPOTENT_PRODUCER ? -1 : acks[prng_below(&s->prng, array_n(acks))];
    c->producer_id = -1;
    client_rewind(c);
    return c;
}

void client_free(struct sim_client *c)
{
    wire_fini(&c->wire);
    free(c);
}

enum sim_role client_role(const struct sim_client *c)
{
    return c->role;
}

int64_t client_position(const struct sim_client *c, uint32_t topic, int32_t partition)
{
    return c->position[topic][partition];
}

int64_t client_start(const struct sim_client *c, uint32_t topic, int32_t partition)
{
    return c->start[topic][partition];
}

bool client_is_loose(const struct sim_client *c)
{
    return c->acks == 0;
}

bool client_is_over(const struct sim_client *c, uint32_t topic, uint64_t now_ns, uint64_t late_ns)
{
    for (uint32_t i = 0; i < c->flight_n; i++)
        for (uint32_t b = 0; b < c->flight[i].batches_n; b++)
            if (c->flight[i].batches[b]->topic == topic)
                return false;
    return c->lost_ns == 0 || now_ns - c->lost_ns > late_ns;
}

/* What it had to do with topics that were deleted is over. */
static void client_look(const struct sim *s, struct sim_client *c)
{
    for (uint32_t t = 0; t < s->topics_n; t++) {
        if (c->births[t] == s->topics[t].birth)
            continue;
        c->births[t] = s->topics[t].birth;
        memset(c->next_number[t], 0, sizeof c->next_number[t]);
        memset(c->position[t], 0, sizeof c->position[t]);
        memset(c->start[t], 0, sizeof c->start[t]);
        memset(c->wants_start[t], 0, sizeof c->wants_start[t]);
        for (int p = 0; p < SIM_PARTITIONS_MAX; p++)
            c->high[t][p] = -1;
    }
    for (int i = 0; i < SIM_QUEUE; i++)
        if (c->queue[i].state != BATCH_UNDER_WAY &&
            c->queue[i].birth != s->topics[c->queue[i].topic].birth)
            c->queue[i].state = BATCH_FREE;
}

void client_rewind(struct sim_client *c)
{
    for (uint32_t i = 0; i < c->flight_n; i++)
        c->flight[i].is_stale = true;
    memset(c->position, 0, sizeof c->position);
    memset(c->start, 0, sizeof c->start);
    memset(c->wants_start, 0, sizeof c->wants_start);
    for (int t = 0; t < SIM_TOPICS_MAX; t++)
        for (int p = 0; p < SIM_PARTITIONS_MAX; p++)
            c->high[t][p] = -1;
}

bool client_is_done(const struct sim *s, const struct sim_client *c)
{
    if (c->role == SIM_CONSUMER) {
        for (uint32_t t = 0; t < s->topics_n; t++)
            for (int32_t p = 0; s->topics[t].is_created && p < s->topics[t].partitions_n; p++)
                if (c->births[t] != s->topics[t].birth || c->high[t][p] < 0 ||
                    c->wants_start[t][p] || c->position[t][p] < c->high[t][p])
                    return false;
        return true;
    }
    for (int i = 0; i < SIM_QUEUE; i++)
        if (c->queue[i].state != BATCH_FREE)
            return false;
    return c->flight_n == 0;
}

/* ── the connection ── */

/* What was under way will not be answered: an idempotent producer sends it again, a plain one gives
 * it up. */
static void flight_lost(struct sim_client *c, uint64_t now_ns)
{
    if (c->flight_n > 0)
        c->lost_ns = now_ns;
    for (uint32_t i = 0; i < c->flight_n; i++)
        for (uint32_t b = 0; b < c->flight[i].batches_n; b++)
            c->flight[i].batches[b]->state =
                c->role == SIM_IDEMPOTENT_PRODUCER ? BATCH_FAILED : BATCH_FREE;
    c->is_retrying = c->role == SIM_IDEMPOTENT_PRODUCER;
    c->flight_n = 0;
}

void client_broker_gone(const struct sim *s, struct sim_client *c)
{
    wire_gone(&c->wire);
    for (int i = 0; i < SIM_QUEUE; i++) /* also what an ended connection has left to be repeated */
        c->queue[i].may_be_forgotten |=
            c->queue[i].state == BATCH_UNDER_WAY || c->queue[i].state == BATCH_FAILED;
    flight_lost(c, s->now.ns);
}

static struct sent *client_sent(const struct sim *s, struct sim_client *c, uint8_t kind,
                                int16_t version)
{
    struct sent *sent = &c->flight[c->flight_n++];
    *sent = (struct sent){
        .correlation_id = c->wire.correlation_id + 1, .kind = kind, .version = version};
    for (uint32_t t = 0; t < s->topics_n; t++) {
        sent->births[t] = s->topics[t].birth;
        for (int p = 0; p < SIM_PARTITIONS_MAX; p++)
            sent->start_min[t][p] = s->topics[t].logs[p].start_min;
    }
    return sent;
}

/* ── producing ── */

/* In a compacted topic a record says who it is in a header too, since a tombstone has no value, and
 * its key is one of few. Encoded: count 1, key "n", value of VALUE_HEADER bytes. */
static int compacted_add(struct sim *s, struct batch_builder *b, struct queued *q,
                         uint32_t producer, uint64_t number, uint8_t *value, uint32_t bytes)
{
    static const uint8_t head[] = {2, 2, 'n', VALUE_HEADER * 2};
    uint8_t headers[sizeof head + VALUE_HEADER], key[9];
    bool is_tombstone = prng_chance(&s->prng, 20);
    uint32_t slot = (uint32_t)(number % SIM_SLOTS);
    uint64_t *tombstone = &s->topics[q->topic].logs[q->partition].tombstones[producer][slot];
    memcpy(headers, head, sizeof head);
    memcpy(headers + sizeof head, value, VALUE_HEADER);
    memcpy(key, value, 8);
    key[8] = (uint8_t)slot;
    if (is_tombstone)
        q->tombstones |= 1u << (number - q->first_number);
    if (is_tombstone)
        *tombstone = max_u64(*tombstone, number + 1);
    return batch_add_headers(b, s->now.wall_ms, bytes_of(key, sizeof key),
                             is_tombstone ? (struct bytes){NULL, 0} : bytes_of(value, bytes),
                             bytes_of(headers, sizeof headers));
}

/* The batch compressed; its header is stamped by the caller. */
static void batch_pack(struct queued *q, uint8_t codec)
{
    struct bytes records = bytes_of(q->data + BATCH_HEADER, q->bytes - BATCH_HEADER);
    uint64_t room = codec_bytes_max(codec, records.n);
    uint8_t *packed = malloc(room);
    check(packed != NULL);
    int64_t n = codec_compress(codec, COMPRESS_LEVEL_DEFAULT, records, packed, (uint32_t)room);
    if (n >= 0 && n <= SIM_BATCH_BYTES - BATCH_HEADER) {
        memcpy(q->data + BATCH_HEADER, packed, (size_t)n);
        q->bytes = BATCH_HEADER + (uint32_t)n;
        store_u32(q->data + BATCH_LENGTH_AT, q->bytes - BATCH_LENGTH_END);
        store_u16(q->data + BATCH_ATTRIBUTES_AT, codec);
        batch_stamp_crc(q->data, q->bytes);
    }
    free(packed);
}

static void batch_fill(struct sim *s, struct sim_client *c, struct queued *q)
{
    struct batch_builder b;
    uint8_t value[2048];
    uint32_t n = 1 + (uint32_t)prng_below(&s->prng, 5);
    q->records_n = 0;
    q->tombstones = 0;
    q->ms = s->now.wall_ms;
    q->first_number = c->next_number[q->topic][q->partition];
    batch_begin(&b, q->data, sizeof q->data);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bytes =
            VALUE_HEADER + (uint32_t)prng_below(&s->prng, prng_chance(&s->prng, 10) ? 2000 : 100);
        store_u32(value, c->number);
        store_u32(value + 4, sim_where(s, q->topic, q->partition));
        store_u64(value + 8, (uint64_t)c->life << SIM_LIFE_SHIFT | (q->first_number + i));
        memset(value + VALUE_HEADER, (int)(q->first_number + i), bytes - VALUE_HEADER);
        bool is_compacted = s->topics[q->topic].is_compacted;
        int error = is_compacted
                        ? compacted_add(s, &b, q, c->number, q->first_number + i, value, bytes)
                        : batch_add(&b, s->now.wall_ms, bytes_of(value, 8), bytes_of(value, bytes));
        if (error != 0)
            break;
        q->records_n++;
    }
    c->next_number[q->topic][q->partition] += q->records_n;
    q->bytes = batch_end(&b, 0, -1);
    if (s->options.is_packing)
        batch_pack(q, (uint8_t)prng_below(&s->prng, CODECS_N));
    if (c->role == SIM_IDEMPOTENT_PRODUCER) {
        store_u64(q->data + 43, (uint64_t)c->producer_id);
        store_u16(q->data + 51, (uint16_t)c->producer_epoch);
        store_u32(q->data + 53, (uint32_t)q->first_number);
        store_u32(q->data + BATCH_CRC_AT,
                  crc_of(q->data + BATCH_ATTRIBUTES_AT, q->bytes - BATCH_ATTRIBUTES_AT));
    }
}

/* Makes a new batch for a random partition, if there is room for one. */
static void client_invent(struct sim *s, struct sim_client *c)
{
    uint32_t topic = (uint32_t)prng_below(&s->prng, s->topics_n);
    if (!s->topics[topic].is_created)
        return;
    for (int i = 0; i < SIM_QUEUE; i++) {
        struct queued *q = &c->queue[i];
        if (q->state != BATCH_FREE)
            continue;
        *q = (struct queued){.state = BATCH_WAITING,
                             .topic = topic,
                             .birth = s->topics[topic].birth,
                             .order = ++c->order};
        q->partition = (int32_t)prng_below(&s->prng, (uint64_t)s->topics[topic].partitions_n);
        batch_fill(s, c, q);
        return;
    }
}

/* The oldest batch of a partition that waits; NULL when there is none, or an older one has failed.
 */
static struct queued *oldest(struct sim_client *c, uint32_t topic, int32_t partition)
{
    struct queued *first = NULL;
    for (int i = 0; i < SIM_QUEUE; i++) {
        struct queued *q = &c->queue[i];
        if (q->state == BATCH_WAITING && q->topic == topic && q->partition == partition &&
            (first == NULL || q->order < first->order))
            first = q;
    }
    return first;
}

static void client_produce(struct sim *s, struct sim_client *c)
{
    struct arena arena;
    struct slice slices[SIM_TOPICS_MAX * SIM_PARTITIONS_MAX];
    int16_t version = (int16_t)(3 + prng_below(&s->prng, 10));
    if (s->options.is_packing) /* zstd is refused before */
        version = (int16_t)max_i64(version, 7);
    struct sent *sent = client_sent(s, c, SENT_PRODUCE, version);
    arena_init(&arena, NULL, NULL, MIB(8));
    struct produce_request *r = PROTO_NEW(&arena, produce_request, 1);
    r->acks = sent->acks = c->acks;
    r->timeout_ms = 30000;
    r->topic_data = PROTO_NEW(&arena, produce_request_topic_data, s->topics_n);
    r->topic_data_n = 0;
    for (uint32_t t = 0; t < s->topics_n; t++) {
        struct produce_request_topic_data *topic = &r->topic_data[r->topic_data_n];
        topic->name = bytes_of_string(s->topics[t].name);
        topic->partition_data =
            PROTO_NEW(&arena, produce_request_topic_data_partition_data, SIM_PARTITIONS_MAX);
        topic->partition_data_n = 0;
        for (int32_t p = 0; p < s->topics[t].partitions_n; p++) {
            struct queued *q = oldest(c, t, p);
            if (q == NULL || (sent->batches_n > 0 && prng_chance(&s->prng, 30)))
                continue;
            struct produce_request_topic_data_partition_data *part =
                &topic->partition_data[topic->partition_data_n++];
            struct slice *slice = &slices[sent->batches_n];
            *slice = (struct slice){q->data, q->bytes, NULL};
            part->index = p;
            part->records = (struct slices){slice, 1, q->bytes};
            q->state = BATCH_UNDER_WAY;
            sent->batches[sent->batches_n++] = q;
        }
        r->topic_data_n += topic->partition_data_n > 0;
    }
    if (sent->batches_n == 0) {
        c->flight_n--;
    } else {
        wire_queue(&c->wire, 0, version, r, &arena);
        if (c->acks == 0) { /* no answer will come: given up at once */
            for (uint32_t i = 0; i < sent->batches_n; i++)
                sent->batches[i]->state = BATCH_FREE;
            c->flight_n--;
        }
    }
    arena_fini(&arena);
}

/* Behind a restart a log knows of each producer only its last batch, when the ones before it stood
 * in a segment that was rolled (that is all a snapshot of Apache Kafka's form holds) or that was
 * compacted: an earlier one that was appended, but never answered, is then no duplicate but out of
 * sequence, for ever. It is given up when it is the first of its partition; that it was appended is
 * seen in the log: no number may be missing. */
static bool is_forgotten(const struct sim_client *c, const struct queued *q, int16_t error)
{
    enum { OUT_OF_ORDER_SEQUENCE_NUMBER = 45 };
    for (int i = 0; i < SIM_QUEUE; i++) {
        const struct queued *o = &c->queue[i];
        if (o->state != BATCH_FREE && o->topic == q->topic && o->partition == q->partition &&
            o->order < q->order)
            return false;
    }
    return error == OUT_OF_ORDER_SEQUENCE_NUMBER && q->may_be_forgotten;
}

static bool produce_answer(struct sim *s, struct sim_client *c, struct sent *sent,
                           struct proto_in *in)
{
    struct produce_response r;
    uint32_t answered = 0;
    if (proto_decode(&proto_produce_response, sent->version, in, &r) != 0)
        return sim_fail(s, "client %u: a Produce v%d answer cannot be decoded", c->number,
                        sent->version);
    for (int32_t t = 0; t < r.responses_n; t++) {
        for (int32_t p = 0; p < r.responses[t].partition_responses_n; p++) {
            const struct produce_response_responses_partition_responses *a =
                &r.responses[t].partition_responses[p];
            struct queued *q = NULL;
            for (uint32_t i = 0; i < sent->batches_n; i++)
                if (sent->batches[i]->partition == a->index &&
                    bytes_equal_string(r.responses[t].name,
                                       s->topics[sent->batches[i]->topic].name))
                    q = sent->batches[i];
            if (q == NULL)
                return sim_fail(s, "client %u: an answer for a partition that was not asked",
                                c->number);
            answered++;
            if (q->birth != s->topics[q->topic].birth) { /* deleted meanwhile */
                q->state = BATCH_FREE;
                continue;
            }
            if (a->error_code != 0) {
                bool is_again =
                    c->role == SIM_IDEMPOTENT_PRODUCER && !is_forgotten(c, q, a->error_code);
                if (s->options.is_verbose)
                    fprintf(stderr, "  client %u: produce error %d at %s-%d\n", c->number,
                            a->error_code, s->topics[q->topic].name, q->partition);
                q->state = is_again ? BATCH_FAILED : BATCH_FREE;
                c->is_retrying |= is_again;
                continue;
            }
            for (uint32_t i = 0; i < q->records_n; i++) {
                struct sim_record record = {.producer = c->number,
                                            .where = sim_where(s, q->topic, q->partition),
                                            .number = q->first_number + i,
                                            .life = c->life,
                                            .is_tombstone = (q->tombstones & 1u << i) != 0,
                                            .ms = q->ms};
                if (!model_acked(s, q->topic, q->partition, a->base_offset + i, &record,
                                 sent->acks))
                    return false;
            }
            q->state = BATCH_FREE;
        }
    }
    if (answered != sent->batches_n)
        return sim_fail(s, "client %u: %u partitions answered of %u", c->number, answered,
                        sent->batches_n);
    return true;
}

/* ── producer ids ── */

static void client_init_producer(const struct sim *s, struct sim_client *c)
{
    struct arena arena;
    client_sent(s, c, SENT_INIT, 4);
    arena_init(&arena, NULL, NULL, MIB(1));
    struct init_producer_id_request *r = PROTO_NEW(&arena, init_producer_id_request, 1);
    r->transactional_id = (struct bytes){NULL, 0};
    r->transaction_timeout_ms = 60000;
    wire_queue(&c->wire, 22, 4, r, &arena);
    arena_fini(&arena);
}

static bool init_answer(struct sim *s, struct sim_client *c, struct sent *sent, struct proto_in *in)
{
    struct init_producer_id_response r;
    if (proto_decode(&proto_init_producer_id_response, sent->version, in, &r) != 0)
        return sim_fail(s, "client %u: an InitProducerId answer cannot be decoded", c->number);
    if (r.error_code != 0)
        return true;
    for (uint32_t i = 0; i < s->clients_n; i++)
        if (s->clients[i] != c && s->clients[i]->producer_id == r.producer_id)
            return sim_fail(s, "producer id %" PRId64 " was given twice", r.producer_id);
    c->producer_id = r.producer_id;
    c->producer_epoch = r.producer_epoch;
    return true;
}

/* ── consuming ── */

static void client_fetch(struct sim *s, struct sim_client *c)
{
    struct arena arena;
    int16_t version = (int16_t)(4 + prng_below(&s->prng, 9));
    if (s->options.is_packing)
        version = (int16_t)max_i64(version, 10);
    client_sent(s, c, SENT_FETCH, version);
    arena_init(&arena, NULL, NULL, MIB(1));
    struct fetch_request *r = PROTO_NEW(&arena, fetch_request, 1);
    r->max_wait_ms = (int32_t)prng_below(&s->prng, 300);
    r->min_bytes = prng_chance(&s->prng, 70) ? 1 : 5000;
    r->max_bytes = 200000;
    r->isolation_level = (int8_t)prng_below(&s->prng, 2);
    r->topics = PROTO_NEW(&arena, fetch_request_topics, s->topics_n);
    r->topics_n = 0;
    for (uint32_t t = 0; t < s->topics_n; t++) {
        if (!s->topics[t].is_created)
            continue;
        struct fetch_request_topics *topic = &r->topics[r->topics_n++];
        topic->topic = bytes_of_string(s->topics[t].name);
        topic->partitions_n = s->topics[t].partitions_n;
        topic->partitions = PROTO_NEW(&arena, fetch_request_topics_partitions, topic->partitions_n);
        for (int32_t p = 0; p < topic->partitions_n; p++) {
            topic->partitions[p].partition = p;
            topic->partitions[p].fetch_offset = c->position[t][p];
            topic->partitions[p].partition_max_bytes = 1 + (int32_t)prng_below(&s->prng, 60000);
        }
    }
    wire_queue(&c->wire, 1, version, r, &arena);
    arena_fini(&arena);
}

/* A log that does not begin at its offset any more is asked where it does. */
static bool client_ask_start(const struct sim *s, struct sim_client *c)
{
    struct arena arena;
    for (uint32_t t = 0; t < s->topics_n; t++) {
        int32_t p = 0;
        while (p < s->topics[t].partitions_n && !c->wants_start[t][p])
            p++;
        if (!s->topics[t].is_created || p == s->topics[t].partitions_n)
            continue;
        struct sent *sent = client_sent(s, c, SENT_START, 5);
        sent->topic = t;
        sent->partition = p;
        struct list_offsets_request_topics_partitions part = {p, -1, -2};
        struct list_offsets_request_topics topic = {bytes_of_string(s->topics[t].name), &part, 1};
        struct list_offsets_request r = {.replica_id = -1, .topics = &topic, .topics_n = 1};
        arena_init(&arena, NULL, NULL, MIB(1));
        wire_queue(&c->wire, 2, 5, &r, &arena);
        arena_fini(&arena);
        return true;
    }
    return false;
}

static bool start_answer(struct sim *s, struct sim_client *c, struct sent *sent,
                         struct proto_in *in)
{
    struct list_offsets_response r;
    uint32_t t = sent->topic;
    int32_t p = sent->partition;
    if (proto_decode(&proto_list_offsets_response, sent->version, in, &r) != 0 || r.topics_n != 1 ||
        r.topics[0].partitions_n != 1)
        return sim_fail(s, "client %u: a ListOffsets answer cannot be decoded", c->number);
    const struct list_offsets_response_topics_partitions *a = &r.topics[0].partitions[0];
    if (a->error_code != 0 || sent->is_stale || sent->births[t] != s->topics[t].birth)
        return true;
    if (!model_start(s, t, p, a->offset, sent->start_min[t][p]))
        return false;
    c->position[t][p] = c->start[t][p] = a->offset;
    c->wants_start[t][p] = false;
    return true;
}

static bool consume_records(struct sim *s, struct sim_client *c, uint32_t topic, int32_t partition,
                            struct bytes records, const struct batch *b)
{
    struct record record;
    uint32_t place = 0;
    for (int32_t i = 0; i < b->records_n; i++) {
        struct bytes said;
        bool is_whole = record_next(records, &place, &record) == 0;
        said = is_whole && s->topics[topic].is_compacted && record.headers.n > 4
                   ? bytes_of(record.headers.ptr + 4, record.headers.n - 4)
                   : record.value;
        if (!is_whole || said.n < VALUE_HEADER)
            return sim_fail(s, "%s-%d at %" PRId64 ": bad record", s->topics[topic].name, partition,
                            b->base_offset);
        struct sim_record r = {.producer = load_u32(said.ptr),
                               .where = load_u32(said.ptr + 4),
                               .number = load_u64(said.ptr + 8) & ((1ull << SIM_LIFE_SHIFT) - 1),
                               .life = (uint16_t)(load_u64(said.ptr + 8) >> SIM_LIFE_SHIFT),
                               .is_tombstone = record.value.ptr == NULL,
                               .ms = b->base_timestamp + record.timestamp_delta,
                               .bytes = (uint32_t)record.value.n + SIM_RECORD_REST};
        if (b->base_offset + record.offset_delta < c->position[topic][partition])
            continue;
        if (!model_seen(s, topic, partition, b->base_offset + record.offset_delta, &r))
            return false;
    }
    c->position[topic][partition] = batch_last_offset(b) + 1;
    return true;
}

/* One whole batch: every record goes to the model. A compacted topic keeps empty batches, which are
 * of no codec. */
static bool consume_batch(struct sim *s, struct sim_client *c, uint32_t topic, int32_t partition,
                          const uint8_t *at, const struct batch *b)
{
    struct bytes records = bytes_of(at + BATCH_HEADER, b->bytes - BATCH_HEADER);
    uint8_t codec = batch_codec(b), wanted = s->topics[topic].codec;
    struct plain plain = {NULL, 0, 0};
    if (crc_of(at + BATCH_ATTRIBUTES_AT, b->bytes - BATCH_ATTRIBUTES_AT) != b->crc)
        return sim_fail(s, "%s-%d at %" PRId64 ": wrong checksum", s->topics[topic].name, partition,
                        b->base_offset);
    if (wanted != CODEC_PRODUCER && codec != wanted && b->records_n > 0)
        return sim_fail(s, "%s-%d at %" PRId64 ": codec %d instead of %d", s->topics[topic].name,
                        partition, b->base_offset, codec, wanted);
    if (codec == CODEC_NONE)
        return consume_records(s, c, topic, partition, records, b);
    bool ok = plain_decompress(&plain, codec, records, 1 << 20) == 0
                  ? consume_records(s, c, topic, partition, bytes_of(plain.v, plain.n), b)
                  : sim_fail(s, "%s-%d at %" PRId64 ": not codec %d", s->topics[topic].name,
                             partition, b->base_offset, codec);
    plain_fini(&plain);
    return ok;
}

static bool consume(struct sim *s, struct sim_client *c, uint32_t topic, int32_t partition,
                    const struct slices *data)
{
    uint8_t *flat = malloc(data->bytes + 1);
    struct slices_at from = {0, 0};
    bool ok = true;
    check(flat != NULL);
    slices_copy(data, &from, flat, data->bytes);
    for (uint64_t at = 0; ok && data->bytes - at >= BATCH_HEADER;) {
        struct batch b;
        if (batch_header(flat + at, &b) != 0)
            ok = sim_fail(s, "%s-%d: bad batch header", s->topics[topic].name, partition);
        else if (b.bytes > data->bytes - at)
            break; /* a batch that did not fit whole */
        else if ((b.base_offset > c->position[topic][partition] &&
                  !s->topics[topic].is_compacted) ||
                 batch_last_offset(&b) < c->position[topic][partition])
            ok = sim_fail(s, "%s-%d: batch %" PRId64 "..%" PRId64 " where %" PRId64 " was asked",
                          s->topics[topic].name, partition, b.base_offset, batch_last_offset(&b),
                          c->position[topic][partition]);
        else
            ok = consume_batch(s, c, topic, partition, flat + at, &b);
        at += ok ? b.bytes : 0;
    }
    free(flat);
    return ok;
}

/* One partition of an answer. */
static bool fetch_part(struct sim *s, struct sim_client *c, const struct sent *sent, uint32_t t,
                       const struct fetch_response_responses_partitions *a)
{
    const struct sim_topic *topic = &s->topics[t];
    int32_t p = a->partition_index;
    if (sent->is_stale || sent->births[t] != topic->birth)
        return true;
    if (a->error_code == 1 && s->options.has_changes)
        c->wants_start[t][p] = true;
    else if (a->error_code == 1)
        return sim_fail(
            s, "%s-%d: offset %" PRId64 " is out of range; the log is %" PRId64 "..%" PRId64,
            topic->name, p, c->position[t][p], a->log_start_offset, a->high_watermark);
    if (a->error_code == 3 && topic->is_created && !topic->is_going)
        return sim_fail(s, "%s-%d: a created topic is unknown", topic->name, p);
    if (a->error_code != 0)
        return true;
    c->high[t][p] = a->high_watermark;
    if (a->records.bytes > 0 && c->position[t][p] < sent->start_min[t][p])
        return sim_fail(
            s, "%s-%d: records at %" PRId64 " are read, but those below %" PRId64 " were deleted",
            topic->name, p, c->position[t][p], sent->start_min[t][p]);
    return consume(s, c, t, p, &a->records);
}

static bool fetch_answer(struct sim *s, struct sim_client *c, struct sent *sent,
                         struct proto_in *in)
{
    struct fetch_response r;
    if (proto_decode(&proto_fetch_response, sent->version, in, &r) != 0)
        return sim_fail(s, "client %u: a Fetch v%d answer cannot be decoded", c->number,
                        sent->version);
    for (int32_t i = 0; i < r.responses_n; i++) {
        uint32_t t = 0;
        while (t < s->topics_n && !bytes_equal_string(r.responses[i].topic, s->topics[t].name))
            t++;
        if (t == s->topics_n)
            return sim_fail(s, "client %u: Fetch answers an unknown topic", c->number);
        for (int32_t j = 0; j < r.responses[i].partitions_n; j++)
            if (!fetch_part(s, c, sent, t, &r.responses[i].partitions[j]))
                return false;
    }
    return true;
}

/* ── a turn ── */

static bool client_answer(struct sim *s, struct sim_client *c, const uint8_t *frame, uint32_t n)
{
    struct arena arena;
    struct slice slice = {frame, n, NULL};
    struct slices slices = {&slice, 1, n};
    struct proto_in in;
    struct sent sent;
    int32_t correlation_id = 0;
    static const int16_t keys[] = {22, 0, 1, 2};
    bool ok = false;
    if (c->flight_n == 0)
        return sim_fail(s, "client %u: an answer nobody asked for", c->number);
    sent = c->flight[0];
    memmove(c->flight, c->flight + 1, --c->flight_n * sizeof c->flight[0]);
    arena_init(&arena, NULL, NULL, MIB(16));
    proto_in_init(&in, &slices, &arena);
    if (proto_decode_response_header(&in, keys[sent.kind], sent.version, &correlation_id) != 0 ||
        correlation_id != sent.correlation_id)
        ok = sim_fail(s, "client %u: answer %d where %d was due", c->number, correlation_id,
                      sent.correlation_id);
    else if (sent.kind == SENT_INIT)
        ok = init_answer(s, c, &sent, &in);
    else if (sent.kind == SENT_PRODUCE)
        ok = produce_answer(s, c, &sent, &in);
    else if (sent.kind == SENT_START)
        ok = start_answer(s, c, &sent, &in);
    else
        ok = fetch_answer(s, c, &sent, &in);
    arena_fini(&arena);
    return ok;
}

/* After a failure, and when nothing is under way any more: everything that failed waits again. */
static void client_retry(struct sim_client *c)
{
    if (!c->is_retrying || c->flight_n > 0)
        return;
    for (int i = 0; i < SIM_QUEUE; i++)
        if (c->queue[i].state == BATCH_FAILED)
            c->queue[i].state = BATCH_WAITING;
    c->is_retrying = false;
}

static void client_ask(struct sim *s, struct sim_client *c)
{
    if (c->flight_n == SIM_FLIGHT || c->wire.tx_n - c->wire.tx_at > 65536 ||
        s->now.ns < c->idle_until_ns)
        return;
    if (prng_chance(&s->prng, 20))
        c->idle_until_ns = s->now.ns + prng_below(&s->prng, 20 * NS_PER_MS);
    if (c->role == SIM_CONSUMER) {
        bool any = false;
        for (uint32_t t = 0; t < s->topics_n; t++)
            any |= s->topics[t].is_created;
        if (any && c->flight_n == 0 && !client_ask_start(s, c))
            client_fetch(s, c);
        return;
    }
    if (c->role == SIM_IDEMPOTENT_PRODUCER && c->producer_id < 0) {
        if (c->flight_n == 0)
            client_init_producer(s, c);
        return;
    }
    client_retry(c);
    if (c->is_retrying)
        return;
    if (!s->is_draining)
        client_invent(s, c);
    client_produce(s, c);
}

static bool client_frame(struct sim *s, void *context, const uint8_t *frame, uint32_t n)
{
    return client_answer(s, context, frame, n);
}

/* The broker ended the connection, as it does after an error when acks=0. What it had taken from it
 * may still be appended, behind what comes by the next one: order holds per connection, so what a
 * plain producer has not sent yet goes, too, and the next batches are of another life. */
static void connection_ended(const struct sim *s, struct sim_client *c)
{
    flight_lost(c, s->now.ns);
    if (c->role != SIM_PRODUCER)
        return;
    c->life++;
    for (int i = 0; i < SIM_QUEUE; i++)
        c->queue[i].state = BATCH_FREE;
}

bool client_turn(struct sim *s, struct sim_client *c)
{
    client_look(s, c);
    if (!wire_is_connected(&c->wire) && !wire_connect(s, &c->wire))
        return true;
    if (!s->is_draining && c->role != SIM_PRODUCER && prng_below(&s->prng, 2000) == 0) {
        wire_disconnect(&c->wire);
        flight_lost(c, s->now.ns);
        return true;
    }
    client_ask(s, c);
    enum wire_end end = wire_pump(s, &c->wire, client_frame, c);
    if (end == WIRE_ENDED)
        connection_ended(s, c);
    return end != WIRE_FAILED;
}
