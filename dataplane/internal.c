/*
 * internal.c - appends and reads of internal partitions that control asks for.
 *
 * Owner: worker, the home of the partition.
 *
 * An append: placed in the tail (later when the tail is full, in order of arrival), then answered
 * when it is visible, which for STORE_GROUP means durable. A read: whole batches copied into
 * control's buffer, so no page of the log is lent to another thread.
 *
 * Bounds: control sends at most one of each kind per partition and waits for the answer; a read
 * copies what its buffer holds.
 */
#include "internal.h"

void internal_init(struct internal *in, struct store *store, struct post *post)
{
    *in = (struct internal){.store = store, .post = post};
    list_init(&in->waiting);
}

bool internal_is_quiet(const struct internal *in)
{
    return in->under_way == 0 && list_is_empty(&in->waiting);
}

/* ── appends ── */

static void commit_answer(struct internal *in, struct commit_op *op, int error)
{
    op->error = error;
    mail_answer(in->post, &op->mail);
}

static void commit_wake(struct plog_wait *wait, int error, struct now now)
{
    struct commit_op *op = container_of(wait, struct commit_op, home.wait);
    struct internal *in = op->home.at;

    (void)now;
    in->under_way--;
    commit_answer(in, op, error);
}

/* False: no room in the tail. */
static bool commit_place(struct internal *in, struct commit_op *op, struct now now)
{
    struct plog *log = store_log_find(in->store, &op->topic_id, op->partition);
    struct slices slices = {&op->home.slice, 1, op->bytes};
    struct append append = {.from = &slices, .bytes = op->bytes, .request_version = -1};
    int rc = E_NOT_FOUND;

    op->home.slice = (struct slice){op->batch, op->bytes, NULL};
    if (log != NULL)
        rc = plog_append(log, &append, now);
    if (rc == E_AGAIN)
        return false;
    if (rc != 0) {
        commit_answer(in, op, rc);
        return true;
    }
    op->base_offset = append.base_offset;
    op->home.wait = (struct plog_wait){
        .mark = PLOG_HIGH, .offset = append.last_offset + 1, .wake = commit_wake};
    list_init(&op->home.wait.link);
    if (plog_wait(log, &op->home.wait))
        commit_answer(in, op, 0);
    else
        in->under_way++;
    return true;
}

static void commit_arrive(struct internal *in, struct commit_op *op, struct now now)
{
    op->home.at = in;
    list_init(&op->home.link);
    if (!list_is_empty(&in->waiting) || !commit_place(in, op, now))
        list_append(&in->waiting, &op->home.link);
}

int internal_turn(struct internal *in, struct now now)
{
    int n = 0;

    for (; !list_is_empty(&in->waiting); n++) {
        struct commit_op *op = list_first(&in->waiting, struct commit_op, home.link);
        list_del(&op->home.link);
        if (!commit_place(in, op, now)) {
            list_push(&in->waiting, &op->home.link);
            break;
        }
    }
    return n;
}

/* ── reads ── */

static void load_answer(struct internal *in, struct load_op *op, int error)
{
    struct read *read = &op->home.read;

    op->error = error;
    op->bytes = 0;
    if (error == 0) {
        op->bytes = (uint32_t)read->data.bytes;
        if (read->data.bytes > op->bytes_max) { /* one batch larger than the buffer */
            op->error = E_TOO_LARGE;
        } else {
            struct slices_at at = {0, 0};
            slices_copy(&read->data, &at, op->buffer, read->data.bytes);
        }
        read_release(read);
    }
    mail_answer(in->post, &op->mail);
}

static void load_came(struct read *read, int error, struct now now)
{
    struct load_op *op = container_of(read, struct load_op, home.read);
    struct internal *in = op->home.at;

    (void)now;
    in->under_way--;
    load_answer(in, op, error);
}

static void load_arrive(struct internal *in, struct load_op *op, struct now now)
{
    struct plog *log = store_log_find(in->store, &op->topic_id, op->partition);
    struct plog_offsets offsets;
    int rc;

    op->home.at = in;
    if (log == NULL) {
        load_answer(in, op, E_NOT_FOUND);
        return;
    }
    plog_offsets(log, &offsets);
    op->home.read = (struct read){.offset = max_i64(op->offset, offsets.start),
                                  .bytes_max = op->bytes_max,
                                  .at_least_one = true,
                                  .done = load_came};
    list_init(&op->home.read.link);
    rc = plog_read(log, &op->home.read, now);
    if (rc == E_AGAIN)
        in->under_way++;
    else
        load_answer(in, op, rc);
}

void internal_mail(struct internal *in, struct mail *mail, struct now now)
{
    if (mail->kind == MAIL_COMMIT)
        commit_arrive(in, container_of(mail, struct commit_op, mail), now);
    else
        load_arrive(in, container_of(mail, struct load_op, mail), now);
}
