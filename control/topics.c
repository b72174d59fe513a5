/*
 * topics.c - CreateTopics, and topics made because Metadata asked for them.
 *
 * Owner: control.
 *
 * Checks, order and sentences are those of Kafka's ControllerApis and ReplicationControlManager:
 * the same name twice;
 * __cluster_metadata; the number of partitions of the whole request; then per topic its name,
 * whether it exists, a collision of '.' and '_', its settings, its partitions and replicas. A topic
 * that fails leaves no record; all others of the request are one batch.
 *
 * Records of a topic: TOPIC, a CONFIG per setting, CLEAR_ELR when min.insync.replicas is set, a
 * PARTITION each.
 */
#include <stdlib.h>

#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "messages.h"
#include "settings_check.h"

enum {
    PARTITIONS_PER_REQUEST_MAX = 10000,
    WORK_TOPIC = 5,      /* checks and an answer, in records (CONTROL_CHANGE_WORK) ... */
    WORK_SETTINGS = 100, /* ... when it has settings of its own */
};

/* One topic on its way through the checks. Owner: the request. */
struct creation {
    const struct create_topics_request_topics *asked;
    struct uuid id;
    int32_t partitions_n;
    struct settings settings; /* canonical */
    struct fault fault;
};

/* ── partitions and replicas ── */

bool replicas_check(const struct control *c, const int32_t *ids, int32_t n, int32_t expected_n,
                    struct fault *fault)
{
    if (n <= 0)
        return fault_set(fault, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                         "The manual partition assignment includes an empty replica list.");
    int32_t ours_n = 0, other = -1;
    for (int32_t i = 0; i < n; i++) {
        ours_n += ids[i] == c->node_id;
        if (ids[i] != c->node_id)
            other = other < 0 ? ids[i] : (int32_t)(other < ids[i] ? other : ids[i]);
    }
    if (ours_n < n)
        return fault_set(
            fault, KAFKA_INVALID_REPLICA_ASSIGNMENT,
            "The manual partition assignment includes broker %d, but no such broker is registered.",
            other);
    if (ours_n > 1)
        return fault_set(fault, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                         "The manual partition assignment includes the broker %d more than once.",
                         c->node_id);
    if (n != expected_n)
        return fault_set(fault, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                         "The manual partition assignment includes a partition with %d replica(s), "
                         "but this is not "
                         "consistent with previous partitions, which have %d replica(s).",
                         n, expected_n);
    return true;
}

/* Numbers must be 0 .. n-1, each once: marks in a bitmap of n bits. */
static bool check_assignments(const struct control *c, struct creation *t, struct arena *arena)
{
    const struct create_topics_request_topics *asked = t->asked;
    uint32_t n = (uint32_t)asked->assignments_n;
    uint8_t *seen = arena_alloc(arena, n / 8 + 1);
    bool has_gap = false;
    if (seen == NULL)
        return fault_set(&t->fault, KAFKA_UNKNOWN_SERVER_ERROR, "%s", error_text(E_NO_MEMORY));
    for (uint32_t i = 0; i < n; i++) {
        const struct create_topics_request_topics_assignments *a = &asked->assignments[i];
        uint32_t number = (uint32_t)a->partition_index;
        if (a->partition_index < 0 || number >= n)
            has_gap = true;
        else if (seen[number / 8] & 1 << number % 8)
            return fault_set(&t->fault, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                             "Found multiple manual partition assignments for partition %u",
                             number);
        else
            seen[number / 8] |= (uint8_t)(1 << number % 8);
        if (!replicas_check(c, a->broker_ids, a->broker_ids_n, asked->assignments[0].broker_ids_n,
                            &t->fault))
            return false;
    }
    t->partitions_n = asked->assignments_n;
    return !has_gap || fault_set(&t->fault, KAFKA_INVALID_REPLICA_ASSIGNMENT,
                                 "partitions should be a consecutive 0-based integer sequence");
}

static bool check_counts(const struct control *c, struct creation *t)
{
    const struct create_topics_request_topics *asked = t->asked;
    const char *default_replicas = resolve_broker(&c->resolver, "default.replication.factor");
    if (asked->replication_factor < -1 || asked->replication_factor == 0)
        return fault_set(
            &t->fault, KAFKA_INVALID_REPLICATION_FACTOR,
            "Replication factor must be larger than 0, or -1 to use the default value.");
    if (asked->num_partitions < -1 || asked->num_partitions == 0)
        return fault_set(&t->fault, KAFKA_INVALID_PARTITIONS,
                         "Number of partitions was set to an invalid non-positive value.");
    long replicas = asked->replication_factor == -1 ? strtol(default_replicas, NULL, 10)
                                                    : asked->replication_factor;
    if (dirs_are_cordoned(c))
        return fault_set(&t->fault, KAFKA_INVALID_REPLICATION_FACTOR,
                         "Unable to replicate the partition %ld time(s): All brokers are currently "
                         "fenced, or have all their log directories cordoned.",
                         replicas);
    if (replicas != 1)
        return fault_set(
            &t->fault, KAFKA_INVALID_REPLICATION_FACTOR,
            "Unable to replicate the partition %ld time(s): The target replication factor of %ld "
            "cannot be "
            "reached because only 1 broker(s) are registered or some brokers have all their log "
            "directories cordoned.",
            replicas, replicas);
    t->partitions_n = asked->num_partitions == -1
                          ? (int32_t)config_int(c->config.config, "num.partitions")
                          : asked->num_partitions;
    return true;
}

static bool check_placement(const struct control *c, struct creation *t, struct arena *arena)
{
    if (t->asked->assignments_n <= 0)
        return check_counts(c, t);
    if (t->asked->replication_factor != -1)
        return fault_set(&t->fault, KAFKA_INVALID_REQUEST,
                         "A manual partition assignment was specified, but replication factor was "
                         "not set to -1.");
    if (t->asked->num_partitions != -1)
        return fault_set(
            &t->fault, KAFKA_INVALID_REQUEST,
            "A manual partition assignment was specified, but numPartitions was not set to -1.");
    return check_assignments(c, t, arena);
}

/* ── name and settings ── */

static bool check_name(const struct control *c, struct creation *t)
{
    struct bytes name = t->asked->name;
    char why[512];
    if (topic_name_fault(name, why, sizeof why) != NULL)
        return fault_set(&t->fault, KAFKA_INVALID_TOPIC_EXCEPTION, "%s", why);
    const struct topic *other = state_topic_collision(&c->state, name);
    if (state_topic_by_name(&c->state, name) != NULL)
        return fault_set(&t->fault, KAFKA_TOPIC_ALREADY_EXISTS, "Topic '%.*s' already exists.",
                         (int)name.n, name.ptr);
    return other == NULL || fault_set(&t->fault, KAFKA_INVALID_TOPIC_EXCEPTION,
                                      "Topic '%.*s' collides with existing topic: %s", (int)name.n,
                                      name.ptr, other->name);
}

static bool check_settings(const struct control *c, struct creation *t)
{
    const struct create_topics_request_topics *asked = t->asked;
    char nulls[256] = "";
    for (int32_t i = 0; i < asked->configs_n; i++)
        if (asked->configs[i].value.ptr == NULL)
            snprintf(nulls + strlen(nulls), sizeof nulls - strlen(nulls), "%s%.*s",
                     nulls[0] ? "," : "", (int)asked->configs[i].name.n,
                     asked->configs[i].name.ptr);
    if (nulls[0] != 0)
        return fault_set(&t->fault, KAFKA_INVALID_CONFIG,
                         "Null value not supported for topic configs: %s", nulls);
    for (int32_t i = 0; i < asked->configs_n; i++)
        if (!settings_check_name(asked->configs[i].name, CONFIG_TOPIC, &t->fault))
            return false;
    for (int32_t i = 0; i < asked->configs_n; i++)
        if (!settings_check_value(&t->settings, CONFIG_TOPIC, asked->configs[i].name,
                                  asked->configs[i].value, &t->fault))
            return false;
    return settings_check_together(&c->resolver, &t->settings, &t->fault);
}

/* ── records ── */

static void add_records(struct control *c, const struct creation *t)
{
    struct bytes name = t->asked->name;
    struct topic_record topic = {name, t->id};
    records_add(&c->records, &proto_topic_record, 0, &topic);
    for (uint32_t i = 0; i < t->settings.n; i++) {
        struct config_record config = {RESOURCE_TOPIC, name, bytes_of_string(t->settings.v[i].key),
                                       bytes_of_string(t->settings.v[i].value)};
        records_add(&c->records, &proto_config_record, 0, &config);
    }
    if (settings_get(&t->settings, "min.insync.replicas") != NULL &&
        state_feature(&c->state, "eligible.leader.replicas.version") > 0) {
        struct clear_elr_record clear = {name};
        records_add(&c->records, &proto_clear_elr_record, 0, &clear);
    }
}

/* Checks one topic and adds its records but those of its partitions; false with its fault set. */
static bool creation_begin(struct control *c, struct creation *t, struct arena *arena)
{
    prng_uuid(&c->prng, &t->id);
    if (!check_name(c, t) || !check_settings(c, t) || !check_placement(c, t, arena))
        return false;
    add_records(c, t);
    return true;
}

/* Makes what was appended known to the round: the logs of these topics must be opened. */
static void topics_created(struct control *c, const struct uuid *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct topic *topic = state_topic_by_id(&c->state, &ids[i]);
        check(topic != NULL);
        topic_list_add(&c->created, topic);
    }
}

/* ── the answer ── */

static void answer_settings(struct control *c, const struct creation *t,
                            struct create_topics_response_topics *to, struct arena *arena)
{
    uint32_t n, out = 0;
    const struct config_row *row = config_rows(CONFIG_TOPIC, &n);
    struct synonym synonyms[SYNONYMS_MAX];
    to->configs = PROTO_NEW(arena, create_topics_response_topics_configs, n);
    for (uint32_t i = 0; to->configs != NULL && i < n; i++, row++) {
        char text[RESOLVE_TEXT_MAX];
        if (row->is_hidden && settings_get(&t->settings, row->key) == NULL)
            continue;
        bool is_own = settings_get(&t->settings, row->key) != NULL;
        const struct config_row *broker =
            row->synonyms[0] ? config_row_find(CONFIG_BROKER, row->synonyms) : NULL;
        uint32_t synonyms_n = broker == NULL ? 0 : resolve_synonyms(&c->resolver, broker, synonyms);
        to->configs[out++] = (struct create_topics_response_topics_configs){
            .name = bytes_of_string(row->key),
            .value = answer_text(arena, resolve_value(&c->resolver, &t->settings, row, text)),
            .config_source = is_own           ? SOURCE_TOPIC
                             : synonyms_n > 0 ? synonyms[0].source
                                              : SOURCE_DEFAULT,
        };
    }
    to->configs_n = to->configs == NULL ? -1 : (int32_t)out;
}

/* `plain`: a topic of the same answer without settings of its own, NULL: none yet. */
static void answer_topic(struct control *c, const struct creation *t, int16_t version,
                         const struct create_topics_response_topics *plain,
                         struct create_topics_response_topics *to, struct arena *arena)
{
    to->name = answer_bytes(arena, t->asked->name);
    to->error_code = t->fault.code;
    to->error_message = (struct bytes){NULL, 0};
    if (t->fault.code != KAFKA_NONE) {
        to->error_message = answer_text(arena, t->fault.text);
        to->configs_n = version >= 5 ? 0 : to->configs_n;
        return;
    }
    to->topic_id = t->id;
    to->num_partitions = t->partitions_n;
    to->replication_factor = 1;
    if (version >= 5 && plain != NULL && t->settings.n == 0) {
        to->configs = plain->configs;
        to->configs_n = plain->configs_n;
    } else if (version >= 5) {
        answer_settings(c, t, to, arena);
    }
}

/* ── CreateTopics ── */

static int name_compare(const void *a, const void *b)
{
    const struct create_topics_request_topics *x =
        *(const struct create_topics_request_topics *const *)a;
    const struct create_topics_request_topics *y =
        *(const struct create_topics_request_topics *const *)b;
    uint32_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = n > 0 ? memcmp(x->name.ptr, y->name.ptr, n) : 0;
    return order != 0 ? order : x->name.n < y->name.n ? -1 : x->name.n > y->name.n;
}

/* A request under way through create_topics_run. Owner: it. */
struct create_run {
    const struct create_topics_request *request;
    int16_t version;
    struct create_topics_response *response;
    const struct create_topics_request_topics **sorted; /* by name */
    struct uuid *ids;                                   /* of what was made */
    uint32_t ids_n;
    bool is_too_large; /* more partitions than one request may make */
    bool is_too_long;  /* more records than one operation may make: nothing is made */
    bool is_checked;   /* all of it: the records stand there */
    const struct create_topics_response_topics *plain; /* an answer that others share */
    int32_t at;                                        /* of the request's topics: the next one */
    int32_t partition, partitions_n; /* of the last one: whose records are to be made yet */
};

/* How often the name stands in the request; `first` of its kind in sorted order. */
static uint32_t name_count(const struct create_run *run,
                           const struct create_topics_request_topics *topic,
                           const struct create_topics_request_topics **first)
{
    uint32_t low = 0, high = (uint32_t)run->request->topics_n, n = 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (name_compare(&run->sorted[middle], &topic) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *first = run->sorted[low];
    while (low + n < (uint32_t)run->request->topics_n &&
           name_compare(&run->sorted[low + n], &topic) == 0)
        n++;
    return n;
}

static bool is_too_much(const struct control *c, const struct create_topics_request *request)
{
    int64_t n = 0;
    for (int32_t i = 0; i < request->topics_n; i++) {
        const struct create_topics_request_topics *t = &request->topics[i];
        n += t->assignments_n > 0      ? t->assignments_n
             : t->num_partitions == -1 ? config_int(c->config.config, "num.partitions")
                                       : t->num_partitions;
        if (n > PARTITIONS_PER_REQUEST_MAX)
            return true;
    }
    return false;
}

/* The next topic of the request, but for its partitions. */
static void run_one(struct control *c, struct create_run *run, struct arena *arena)
{
    const struct create_topics_request_topics *asked = &run->request->topics[run->at++], *first;
    struct creation t = {.asked = asked};
    struct create_topics_response_topics *to = &run->response->topics[run->response->topics_n];
    if (name_count(run, asked, &first) > 1) {
        if (asked != first)
            return; /* one entry for all of them */
        fault_set(&t.fault, KAFKA_INVALID_REQUEST, "Duplicate topic name.");
    } else if (bytes_equal_string(asked->name, METADATA_TOPIC)) {
        fault_set(&t.fault, KAFKA_INVALID_REQUEST,
                  "Creation of internal topic " METADATA_TOPIC " is prohibited.");
    } else if (run->is_too_large) {
        fault_set(&t.fault, KAFKA_POLICY_VIOLATION,
                  "Excessively large number of partitions per request.");
    } else if (creation_begin(c, &t, arena)) {
        run->ids[run->ids_n++] = t.id;
        run->partition = 0;
        run->partitions_n = t.partitions_n;
    }
    run->response->topics_n++;
    answer_topic(c, &t, run->version, run->plain, to, arena);
    if (t.fault.code == KAFKA_NONE && t.settings.n == 0)
        run->plain = to;
    c->change_work -= t.settings.n > 0 ? WORK_SETTINGS : 0;
    settings_clear(&t.settings);
}

/* Too many records: what is left is only checked. */
static void run_too_long(struct control *c, struct create_run *run)
{
    run->is_too_long = true;
    run->partition = run->partitions_n;
    records_begin(&c->records, c->now.wall_ms);
}

/* Topics and their partitions, until the turn has no more room; true: that was all. */
static bool run_records(struct control *c, struct create_run *run, struct arena *arena)
{
    while (run->partition < run->partitions_n || run->at < run->request->topics_n) {
        bool is_partition = run->partition < run->partitions_n;
        if (is_partition)
            bootstrap_add_partition(c, &run->ids[run->ids_n - 1], run->partition++);
        else
            run_one(c, run, arena);
        if (c->records.error != 0)
            run_too_long(c, run);
        if (control_change_is_spent(c, is_partition ? 1 : WORK_TOPIC))
            break;
    }
    return run->partition >= run->partitions_n && run->at >= run->request->topics_n;
}

/* The records are too many or the log has failed: nothing is made, every topic that would have been
 * says why. */
static void run_refuse(struct create_run *run, int error, struct arena *arena)
{
    bool is_size = error == E_TOO_LARGE;
    for (int32_t i = 0; i < run->response->topics_n; i++) {
        struct create_topics_response_topics *to = &run->response->topics[i];
        if (to->error_code != KAFKA_NONE)
            continue;
        struct bytes name = to->name;
        *to = *(struct create_topics_response_topics *)PROTO_NEW(arena,
                                                                 create_topics_response_topics, 1);
        to->name = name;
        to->error_code = is_size ? KAFKA_POLICY_VIOLATION : KAFKA_KAFKA_STORAGE_ERROR;
        to->error_message =
            answer_text(arena, is_size ? "Unable to perform excessively large batch operation."
                                       : error_text(error));
    }
}

/* NULL: no memory. */
static struct create_run *run_begin(struct control *c, struct control_op *op)
{
    const struct create_topics_request *request = op->request;
    uint32_t n = request->topics_n > 0 ? (uint32_t)request->topics_n : 0;
    struct create_run *run = arena_array(&op->arena, 1, sizeof *run);
    if (run == NULL)
        return NULL;
    run->request = request;
    run->version = op->api_version;
    run->response = PROTO_NEW(&op->arena, create_topics_response, 1);
    run->sorted = arena_array(&op->arena, n + 1, sizeof *run->sorted);
    run->ids = arena_array(&op->arena, n + 1, sizeof *run->ids);
    if (run->response != NULL)
        run->response->topics = PROTO_NEW(&op->arena, create_topics_response_topics, n + 1);
    if (run->response == NULL || run->response->topics == NULL || run->sorted == NULL ||
        run->ids == NULL)
        return NULL;
    for (uint32_t i = 0; i < n; i++)
        run->sorted[i] = &request->topics[i];
    qsort(run->sorted, n, sizeof *run->sorted, name_compare);
    run->is_too_large = is_too_much(c, request);
    records_begin(&c->records, c->now.wall_ms);
    return run;
}

enum verdict create_topics_run(struct control *c, struct control_op *op)
{
    struct create_run *run = c->change;
    if (run == NULL) {
        const struct create_topics_request *request = op->request;
        if (topic_list_reserve(&c->created, (uint32_t)max_i64(request->topics_n, 0)) < 0)
            return VERDICT_AGAIN;
        run = c->change = run_begin(c, op);
        if (run == NULL)
            return VERDICT_CLOSE;
    }
    run->is_checked = run->is_checked || run_records(c, run, &op->arena);
    if (!run->is_checked)
        return VERDICT_MORE;
    if (run->is_too_long) {
        run_refuse(run, E_TOO_LARGE, &op->arena);
    } else if (run->ids_n > 0 && !run->request->validate_only) {
        int e = control_commit_more(c);
        if (e == E_AGAIN)
            return VERDICT_AGAIN;
        if (e > 0)
            return VERDICT_MORE;
        if (e < 0)
            run_refuse(run, e, &op->arena);
        else
            topics_created(c, run->ids, run->ids_n);
    }
    op->response = run->response;
    return VERDICT_DONE;
}

/* ── topics that Metadata asked for ── */

/* Settings of the topics Kafka makes for itself. */
static int32_t internal_settings(const struct control *c, struct bytes name,
                                 struct create_topics_request_topics_configs *to,
                                 int32_t *partitions_n)
{
    static const char *const offsets[][2] = {
        {"compression.type", "producer"}, {"cleanup.policy", "compact"}, {"segment.bytes", NULL}};
    static const char *const transactions[][2] = {{"compression.type", "uncompressed"},
                                                  {"cleanup.policy", "compact"},
                                                  {"min.insync.replicas", NULL},
                                                  {"segment.bytes", NULL},
                                                  {"unclean.leader.election.enable", "false"}};
    bool is_offsets = bytes_equal_string(name, "__consumer_offsets");
    bool is_transactions = bytes_equal_string(name, "__transaction_state");
    const char *prefix = is_offsets ? "offsets.topic." : "transaction.state.log.";
    int32_t n = is_offsets ? array_n(offsets) : is_transactions ? array_n(transactions) : 0;
    for (int32_t i = 0; i < n; i++) {
        const char *const *pair = is_offsets ? offsets[i] : transactions[i];
        const char *value = pair[1];
        char key[64];
        snprintf(key, sizeof key, "%s%s", prefix,
                 strcmp(pair[0], "segment.bytes") == 0 ? "segment.bytes" : "min.isr");
        if (value == NULL)
            value = config_string(c->config.config, key);
        to[i] = (struct create_topics_request_topics_configs){bytes_of_string(pair[0]),
                                                              bytes_of_string(value)};
    }
    if (n > 0) {
        char key[64];
        snprintf(key, sizeof key, "%snum.partitions", prefix);
        *partitions_n = (int32_t)config_int(c->config.config, key);
    }
    return n;
}

static void auto_create_one(struct control *c, struct bytes name, struct uuid *ids, uint32_t *ids_n,
                            struct arena *arena)
{
    struct create_topics_request_topics_configs configs[8];
    struct create_topics_request_topics asked = {
        .name = name, .num_partitions = -1, .replication_factor = -1, .configs = configs};
    struct records_mark mark = records_mark(&c->records);
    asked.configs_n = internal_settings(c, name, configs, &asked.num_partitions);
    struct creation t = {.asked = &asked};
    if (bytes_equal_string(name, METADATA_TOPIC))
        return;
    if (asked.configs_n > 0)
        asked.replication_factor = 1; /* one node: whatever the setting asks for */
    bool is_good = creation_begin(c, &t, arena);
    for (int32_t p = 0; is_good && p < t.partitions_n && c->records.error == 0; p++)
        bootstrap_add_partition(c, &t.id, p);
    if (is_good && c->records.error == 0)
        ids[(*ids_n)++] = t.id;
    else
        records_back(&c->records, mark);
    settings_clear(&t.settings);
}

enum {
    AUTO_CREATE_MAX = 256, /* topics made for one request; a client that wants more asks again */
    AUTO_CREATE_LOOK_MAX = 10000, /* names looked at */
};

/* The names that are to be made: missing ones, each once. */
static uint32_t missing_names(const struct control *c, const struct metadata_request *request,
                              struct bytes *out)
{
    uint32_t n = 0;
    for (int32_t i = 0; i < request->topics_n && i < AUTO_CREATE_LOOK_MAX && n < AUTO_CREATE_MAX;
         i++) {
        struct bytes name = request->topics[i].name;
        uint32_t at = 0;
        if (name.ptr == NULL || state_topic_by_name(&c->state, name) != NULL)
            continue;
        while (at < n && !bytes_equal(out[at], name))
            at++;
        if (at == n)
            out[n++] = name;
    }
    return n;
}

/* FindCoordinator of a group while there is no __consumer_offsets: it is made, and the answer (any
 * pointer; the worker says COORDINATOR_NOT_AVAILABLE) leaves when it is there. */
enum verdict find_coordinator_run(struct control *c, struct control_op *op)
{
    struct bytes name = bytes_of_string("__consumer_offsets");
    struct uuid *ids = arena_array(&op->arena, 1, sizeof *ids);
    uint32_t ids_n = 0;
    op->response = ids;
    if (ids == NULL)
        return VERDICT_CLOSE;
    if (state_topic_by_name(&c->state, name) != NULL)
        return VERDICT_DONE;
    if (topic_list_reserve(&c->created, 1) < 0)
        return VERDICT_AGAIN;
    records_begin(&c->records, c->now.wall_ms);
    auto_create_one(c, name, ids, &ids_n, &op->arena);
    int e = ids_n == 0 ? 0 : control_commit(c);
    if (e == E_AGAIN)
        return VERDICT_AGAIN;
    if (e == 0)
        topics_created(c, ids, ids_n);
    return VERDICT_DONE;
}

enum verdict auto_create_run(struct control *c, struct control_op *op)
{
    const struct metadata_request *request = op->request;
    struct uuid *ids = arena_array(&op->arena, AUTO_CREATE_MAX, sizeof *ids);
    struct bytes *names = arena_array(&op->arena, AUTO_CREATE_MAX, sizeof *names);
    uint32_t ids_n = 0;
    op->response = ids;
    if (ids == NULL || names == NULL)
        return VERDICT_CLOSE;
    if (!config_bool(c->config.config, "auto.create.topics.enable") ||
        !request->allow_auto_topic_creation)
        return VERDICT_DONE;
    if (topic_list_reserve(&c->created, AUTO_CREATE_MAX) < 0)
        return VERDICT_AGAIN;
    uint32_t names_n = missing_names(c, request, names);
    records_begin(&c->records, c->now.wall_ms);
    for (uint32_t i = 0; i < names_n; i++)
        auto_create_one(c, names[i], ids, &ids_n, &op->arena);
    int e = ids_n == 0 ? 0 : control_commit(c);
    if (e == E_AGAIN)
        return VERDICT_AGAIN;
    if (e == 0)
        topics_created(c, ids, ids_n);
    return VERDICT_DONE;
}
