/*
 * forward.c - a decoded request goes to control, its answer comes back and is encoded here.
 *
 * Owner: worker; control has the operation between mail_send and its answer.
 *
 * At most control_requests_max are at control at once; the last tenth is only for heartbeats
 * (api_is_heartbeat), so that a storm of admin requests never costs a group member its session. The
 * others wait here in order. The frame stays until the operation is back, because the decoded
 * request points into it.
 *
 * JoinGroup and SyncGroup stay at control until other members have done their part, for minutes if
 * need be. They are counted by themselves (half of the pool of requests), so that nothing else
 * waits behind them; and when their connection goes, control is told (MAIL_CANCEL) and gives them
 * back.
 *
 * When a generation is complete, a thousand of them come back at once; half requests_per_turn are
 * answered in a turn, because each is a send of its own: other answers (heartbeats, produces) go
 * out with each portion instead of behind them all.
 *
 * The answer's structs stand in the operation's arena (heap, made by control) until they are bytes.
 */
#include "request.h"

#include <stdlib.h>

#include "control.h"
#include "utf8.h"

/* Owner: the request. */
struct forward {
    struct control_op op;
    struct cancel_op cancel;
    struct request *request;
    bool is_away; /* at control */
};

static bool api_waits_for_others(int16_t key)
{
    return key == 11 || key == 14; /* JoinGroup, SyncGroup */
}

static bool api_is_heartbeat(int16_t key)
{
    return key == 12 || key == 68 || key == 76 ||
           key == 88; /* Heartbeat and those of the newer group kinds */
}

static bool forward_has_room(const struct kafka *k, int16_t key)
{
    uint32_t max = k->config.control_requests_max, reserve = (max + 9) / 10;
    if (api_waits_for_others(key))
        return k->join_n < (k->config.requests_max + 1) / 2;
    if (api_is_heartbeat(key))
        return k->control_n < max;
    return k->control_n < (max > reserve ? max - reserve : 1);
}

static void forward_go(struct request *r)
{
    struct kafka *k = r->kafka;
    struct forward *f = r->forward;
    if (api_waits_for_others(f->op.api_key))
        k->join_n++;
    else
        k->control_n++;
    r->holds_control = true;
    f->is_away = true;
    request_op_begin(r);
    mail_send(k->post, k->config.control_thread, MAIL_REQUEST, &f->op.mail);
}

/* What subscriptions of telemetry may ask of the client; NULL for other requests, or without room.
 */
static const struct control_client *client_copy(struct request *r, int16_t key)
{
    if (key != proto_push_telemetry_request.api_key &&
        key != proto_get_telemetry_subscriptions_request.api_key)
        return NULL;
    struct control_client *client = arena_alloc(&r->arena, sizeof *client);
    const char *port = strrchr(conn_peer(r->conn->conn), ':');
    if (client == NULL)
        return NULL;
    static_assert(sizeof client->software_name == sizeof r->conn->software_name &&
                      sizeof client->software_version == sizeof r->conn->software_version,
                  "they are copied");
    memcpy(client->software_name, r->conn->software_name, sizeof client->software_name);
    memcpy(client->software_version, r->conn->software_version, sizeof client->software_version);
    client->port = (uint16_t)(port == NULL ? 0 : strtoul(port + 1, NULL, 10));
    return client;
}

void forward_send(struct request *r, int16_t key, int16_t version, const void *body,
                  void (*more)(struct request *, const struct view *, struct now))
{
    struct kafka *k = r->kafka;
    struct forward *f = arena_alloc(&r->arena, sizeof *f);
    if (f == NULL) {
        request_close(r, CONN_END_MEMORY, STAT_NO_REQUEST_MEMORY);
        return;
    }
    r->forward = f;
    f->request = r;
    list_init(&f->op.mail.link);
    f->op.api_key = key;
    f->op.api_version = version;
    r->is_crowd = api_waits_for_others(key);
    f->op.client_id = utf8_is_valid(r->client_id) ? r->client_id : bytes_of("?", 1);
    request_client_host(r, f->op.client_host, sizeof f->op.client_host);
    f->op.client = client_copy(r, key);
    f->op.listener = conn_listener(r->conn->conn);
    f->op.request = body;
    f->op.started_ns = k->now.ns;
    arena_init(&f->op.arena, NULL, NULL, REQUEST_ARENA_MAX);
    struct list *queue = api_waits_for_others(key) ? &k->wait_join : &k->wait_control;
    list_init(&f->cancel.mail.link);
    f->cancel.op = &f->op;
    if ((list_is_empty(queue) || api_is_heartbeat(key)) && forward_has_room(k, key)) {
        forward_go(r);
        request_wait(r, more);
        return;
    }
    r->more = more;
    request_state_set(r, REQUEST_WAITING);
    stats_add(k->stats, STAT_CONTROL_WAITS, 1);
    if (api_is_heartbeat(key))
        list_push(queue, &r->run_link);
    else
        list_append(queue, &r->run_link);
}

static void forward_next_of(struct kafka *k, struct list *queue)
{
    while (!list_is_empty(queue)) {
        struct request *r = list_first(queue, struct request, run_link);
        if (!forward_has_room(k, r->forward->op.api_key))
            return;
        list_del(&r->run_link);
        forward_go(r);
    }
}

void forward_next(struct kafka *k)
{
    forward_next_of(k, &k->wait_control);
    forward_next_of(k, &k->wait_join);
}

void forward_back(struct mail *mail)
{
    struct forward *f =
        container_of(container_of(mail, struct control_op, mail), struct forward, op);
    struct request *r = f->request;
    struct kafka *k = r->kafka;
    uint32_t *count = api_waits_for_others(f->op.api_key) ? &k->join_n : &k->control_n;
    check(f->is_away && r->holds_control && *count > 0);
    f->is_away = false;
    r->holds_control = false;
    --*count;
    request_stamp(r, STAGE_MAILED, k->now.ns);
    forward_next(k);
    if (r->state == REQUEST_RELEASING)
        arena_fini(&f->op.arena); /* nobody waits for the answer any more */
    request_op_end(r);
}

void forward_cancelled(struct mail *mail)
{
    struct cancel_op *cancel = container_of(mail, struct cancel_op, mail);
    request_op_end(container_of(cancel, struct forward, cancel)->request);
}

/* The whole broker ends, in whatever state the request is: only what is not page memory has to go.
 */
void forward_fini(struct request *r)
{
    if (r->state != REQUEST_FREE && r->forward != NULL)
        arena_fini(&r->forward->op.arena);
}

void *forward_response(struct request *r)
{
    return r->forward->op.response;
}

/* Encoded: the structs of the answer may go. */
void forward_end(struct request *r)
{
    struct forward *f = r->forward;
    if (f != NULL && !f->is_away)
        arena_fini(&f->op.arena);
}

static void forward_answer(struct request *r, const struct view *view, struct now now)
{
    void *response = forward_response(r);
    (void)view, (void)now;
    if (response == NULL) {
        request_close(r, CONN_END_PROTOCOL, STAT_BAD_BODY);
        return;
    }
    r->encoded = forward_end;
    request_answer(r, response);
}

void forward_start(struct request *r, const struct view *view, struct now now)
{
    (void)view, (void)now;
    forward_send(r, r->api->key, r->version, r->body, forward_answer);
}

void forward_release(struct request *r, struct now now)
{
    struct forward *f = r->forward;
    (void)now;
    forward_end(r);
    if (f == NULL || !f->is_away || !api_waits_for_others(f->op.api_key))
        return;
    request_op_begin(r);
    mail_send(r->kafka->post, r->kafka->config.control_thread, MAIL_CANCEL, &f->cancel.mail);
}
