/*
 * producer_ids.c - InitProducerId for idempotent producers.
 *
 * Owner: control.
 *
 * Ids come from blocks of PRODUCER_ID_BLOCK. A block is a PRODUCER_IDS record; an id leaves in an
 * answer only when that record is durable, so no id is ever given twice. A restart abandons the
 * rest of its block.
 *
 * A producer without transactional id always gets a new id with epoch 0, also when it names the one
 * it had (v3+): that is how Kafka's coordinator answers too. Transactional ids are not served yet:
 * 53 is the error that clients do not try again.
 */
#include "answers.h"
#include "check.h"
#include "control_inside.h"
#include "messages.h"

static bool has_half_an_identity(const struct init_producer_id_request *request)
{
    return (request->producer_id == -1) != (request->producer_epoch == -1);
}

/* What is wrong with the request; KAFKA_NONE for an idempotent producer. */
static int16_t fault_of(const struct control *c, const struct init_producer_id_request *request)
{
    if (has_half_an_identity(request))
        return KAFKA_INVALID_REQUEST;
    if (request->transactional_id.ptr == NULL)
        return KAFKA_NONE;
    if (request->transactional_id.n == 0)
        return KAFKA_INVALID_REQUEST;
    if (request->transaction_timeout_ms <= 0 ||
        request->transaction_timeout_ms >
            config_int(c->config.config, "transaction.max.timeout.ms"))
        return KAFKA_INVALID_TRANSACTION_TIMEOUT;
    return KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
}

/* Appends the record of the next block. */
static int block_take(struct control *c)
{
    const struct broker *broker = state_broker(&c->state, c->node_id);
    int64_t first = c->state.next_producer_id;
    struct producer_ids_record record = {c->node_id, broker->epoch, first + PRODUCER_ID_BLOCK};
    records_begin(&c->records, c->now.wall_ms);
    records_add(&c->records, &proto_producer_ids_record, 0, &record);
    int e = control_commit(c);
    if (e < 0)
        return e;
    c->producer_id_next = first;
    c->producer_id_end = first + PRODUCER_ID_BLOCK;
    c->block_is_durable = false;
    return 0;
}

enum verdict init_producer_id_run(struct control *c, struct control_op *op)
{
    const struct init_producer_id_request *request = op->request;
    struct init_producer_id_response *response = op->response; /* of an earlier try */
    if (response == NULL)
        response = PROTO_NEW(&op->arena, init_producer_id_response, 1);
    if (response == NULL)
        return VERDICT_CLOSE;
    op->response = response;
    response->error_code = fault_of(c, request);
    response->producer_id = -1;
    response->producer_epoch = -1;
    if (response->error_code != KAFKA_NONE)
        return VERDICT_NOW;
    if (c->is_failed)
        return VERDICT_CLOSE;
    if (!c->block_is_durable && c->phase != CONTROL_OPEN)
        return VERDICT_AGAIN; /* the block is on its way to the disk: its ids are not */
    if (c->producer_id_next == c->producer_id_end) {
        int e = control_may_change(c) ? block_take(c) : E_AGAIN;
        if (e < 0)
            return e == E_AGAIN ? VERDICT_AGAIN : VERDICT_CLOSE;
    }
    response->producer_id = c->producer_id_next++;
    response->producer_epoch = 0;
    return c->block_is_durable ? VERDICT_NOW : VERDICT_DONE;
}
