/*
 * setup.c - before and after a run: versions, topics, leaders.
 *
 * Owner: the generator's thread, blocking (tools/client.h).
 */
#include <stdlib.h>

#include "client.h"
#include "load.h"
#include "messages.h"
#include "wire.h"

enum {
    API_PRODUCE = 0,
    API_FETCH = 1,
    API_LIST_OFFSETS = 2,
    API_METADATA = 3,
    API_CREATE_TOPICS = 19,
    API_DELETE_TOPICS = 20,
    PRODUCE_VERSION_MAX = 11, /* by topic name, without transactions v2 */
    FETCH_VERSION_MAX = 12,   /* by topic name                          */
    LIST_OFFSETS_VERSION_MAX = 7,
    TIMEOUT_MS = 60000,
    TRIES_MAX = 300,
    TOPIC_ALREADY_EXISTS = 36,
    PARTITIONS_AT_ONCE = 5000,
};

static int fail(const struct client *c, const char *what)
{
    fprintf(stderr, "millrace bench: %s: %s\n", what, c->why);
    return E_CLOSED;
}

static void topic_name(const struct load_options *o, uint32_t i, char *to, size_t n)
{
    snprintf(to, n, o->topics_n > 1 ? "%.48s-%u" : "%.48s", o->topic, i);
}

static int topics_answer(const struct create_topics_response *answer)
{
    char text[64];
    for (int32_t i = 0; i < answer->topics_n; i++) {
        int16_t code = answer->topics[i].error_code;
        if (code == 0 || code == TOPIC_ALREADY_EXISTS)
            continue;
        fprintf(stderr, "millrace bench: topic %.*s cannot be made: %s: %.*s\n",
                (int)answer->topics[i].name.n, (const char *)answer->topics[i].name.ptr,
                kafka_error_name(code, text, sizeof text), (int)answer->topics[i].error_message.n,
                (const char *)answer->topics[i].error_message.ptr);
        return E_INVALID;
    }
    return 0;
}

static int topics_create_some(struct client *c, const struct load_options *o, uint32_t first,
                              uint32_t n)
{
    char text[64];
    const struct create_topics_response *answer = NULL;
    struct create_topics_request *r = PROTO_NEW(&c->arena, create_topics_request, 1);
    if (r == NULL || (r->topics = PROTO_NEW(&c->arena, create_topics_request_topics, n)) == NULL)
        return E_NO_MEMORY;
    r->topics_n = (int32_t)n;
    r->timeout_ms = TIMEOUT_MS;
    for (uint32_t i = 0; i < n; i++) {
        topic_name(o, first + i, text, sizeof text);
        r->topics[i].name = bytes_of(arena_copy(&c->arena, text, strlen(text)), strlen(text));
        r->topics[i].num_partitions = (int32_t)o->partitions_n;
        r->topics[i].replication_factor = 1;
    }
    if (client_call(c, API_CREATE_TOPICS, 7, r, (const void **)&answer, NULL) != 0)
        return fail(c, "the topics cannot be made");
    return topics_answer(answer);
}

/* Controllers refuse requests that would write more than 10,000 records at once. */
static int topics_create(struct client *c, const struct load_options *o)
{
    uint32_t n = (uint32_t)max_u64(1, PARTITIONS_AT_ONCE / o->partitions_n);
    int rc = 0;
    for (uint32_t first = 0; first < o->topics_n && rc == 0; first += n)
        rc = topics_create_some(c, o, first, (uint32_t)min_u64(n, o->topics_n - first));
    return rc;
}

/* How many partitions of ours have a leader; negative: an error. */
static int64_t leaders_count(struct client *c, const struct load_options *o)
{
    char text[64];
    const struct metadata_response *answer = NULL;
    struct metadata_request *r = PROTO_NEW(&c->arena, metadata_request, 1);
    int64_t n = 0;
    if (r == NULL ||
        (r->topics = PROTO_NEW(&c->arena, metadata_request_topics, o->topics_n)) == NULL)
        return E_NO_MEMORY;
    r->topics_n = (int32_t)o->topics_n;
    r->allow_auto_topic_creation = false;
    for (uint32_t i = 0; i < o->topics_n; i++) {
        topic_name(o, i, text, sizeof text);
        r->topics[i].name = bytes_of(arena_copy(&c->arena, text, strlen(text)), strlen(text));
    }
    if (client_call(c, API_METADATA, 12, r, (const void **)&answer, NULL) != 0)
        return fail(c, "no metadata");
    for (int32_t i = 0; i < answer->topics_n; i++)
        for (int32_t p = 0; p < answer->topics[i].partitions_n; p++)
            n += answer->topics[i].partitions[p].error_code == 0 &&
                 answer->topics[i].partitions[p].leader_id >= 0;
    return n;
}

/* How many partitions of one topic their leader answers for: metadata knows them before the leader
 * has made their logs, and until then it refuses what is produced. Negative: an error. */
static int64_t topic_served_count(struct client *c, const struct load_options *o, uint32_t topic)
{
    char text[64];
    const struct list_offsets_response *answer = NULL;
    struct list_offsets_request *r = PROTO_NEW(&c->arena, list_offsets_request, 1);
    int64_t n = 0;
    if (r == NULL || (r->topics = PROTO_NEW(&c->arena, list_offsets_request_topics, 1)) == NULL)
        return E_NO_MEMORY;
    r->replica_id = -1;
    r->topics_n = 1;
    topic_name(o, topic, text, sizeof text);
    r->topics->name = bytes_of(arena_copy(&c->arena, text, strlen(text)), strlen(text));
    r->topics->partitions =
        PROTO_NEW(&c->arena, list_offsets_request_topics_partitions, o->partitions_n);
    if (r->topics->partitions == NULL)
        return E_NO_MEMORY;
    r->topics->partitions_n = (int32_t)o->partitions_n;
    for (uint32_t i = 0; i < o->partitions_n; i++) {
        r->topics->partitions[i].partition_index = (int32_t)i;
        r->topics->partitions[i].current_leader_epoch = -1;
        r->topics->partitions[i].timestamp = -1;
    }
    if (client_call(c, API_LIST_OFFSETS, LIST_OFFSETS_VERSION_MAX, r, (const void **)&answer,
                    NULL) != 0)
        return fail(c, "no offsets");
    for (int32_t i = 0; i < answer->topics_n; i++)
        for (int32_t p = 0; p < answer->topics[i].partitions_n; p++)
            n += answer->topics[i].partitions[p].error_code == 0;
    return n;
}

static void pause_short(void)
{
    struct timespec pause = {0, 100 * 1000 * 1000};
    nanosleep(&pause, NULL);
}

static int leaders_wait(struct client *c, const struct load_options *o)
{
    int64_t want = (int64_t)o->topics_n * o->partitions_n, have = 0;
    for (int i = 0; i < TRIES_MAX && (have = leaders_count(c, o)) >= 0 && have < want; i++)
        pause_short();
    if (have < 0)
        return (int)have;
    if (have == want)
        return 0;
    fprintf(stderr,
            "millrace bench: %lld of %lld partitions have a leader; does the topic exist with "
            "another number of partitions? (--topic names another)\n",
            (long long)have, (long long)want);
    return E_INVALID;
}

static int served_wait(struct client *c, const struct load_options *o)
{
    int64_t have = 0;
    for (uint32_t t = 0; t < o->topics_n; t++) {
        for (int i = 0;
             i < TRIES_MAX && (have = topic_served_count(c, o, t)) >= 0 && have < o->partitions_n;
             i++)
            pause_short();
        if (have == o->partitions_n)
            continue;
        if (have >= 0)
            fprintf(stderr, "millrace bench: the leader serves %lld of %u partitions of topic %u\n",
                    (long long)have, o->partitions_n, t);
        return have < 0 ? (int)have : E_INVALID;
    }
    return 0;
}

int load_setup(const struct load_options *o, struct wire *wire, uint16_t *produce_version,
               uint16_t *fetch_version)
{
    struct client c;
    if (client_open_over(&c, wire->ops->client(wire), o->bootstrap, TIMEOUT_MS) != 0)
        return fail(&c, "no broker");
    *produce_version = (uint16_t)client_version(&c, API_PRODUCE, PRODUCE_VERSION_MAX);
    *fetch_version = (uint16_t)client_version(&c, API_FETCH, FETCH_VERSION_MAX);
    int rc = topics_create(&c, o);
    if (rc == 0)
        rc = leaders_wait(&c, o);
    if (rc == 0)
        rc = served_wait(&c, o);
    client_close(&c);
    return rc;
}

void load_teardown(const struct load_options *o, struct wire *wire)
{
    struct client c;
    char text[64];
    const struct delete_topics_response *answer = NULL;
    if (client_open_over(&c, wire->ops->client(wire), o->bootstrap, TIMEOUT_MS) != 0)
        return;
    struct delete_topics_request *r = PROTO_NEW(&c.arena, delete_topics_request, 1);
    if (r != NULL &&
        (r->topic_names = arena_array(&c.arena, o->topics_n, sizeof *r->topic_names)) != NULL) {
        r->topic_names_n = (int32_t)o->topics_n;
        r->timeout_ms = TIMEOUT_MS;
        for (uint32_t i = 0; i < o->topics_n; i++) {
            topic_name(o, i, text, sizeof text);
            r->topic_names[i] = bytes_of(arena_copy(&c.arena, text, strlen(text)), strlen(text));
        }
        if (client_call(&c, API_DELETE_TOPICS, 5, r, (const void **)&answer, NULL) != 0)
            fprintf(stderr, "millrace bench: the topics were not deleted: %s\n", c.why);
    }
    client_close(&c);
}
