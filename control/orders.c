/*
 * orders.c - what control asks of home workers: open the logs of new partitions, configure those
 * whose topic's settings changed, drop those of deleted topics.
 *
 * Owner: control; an order belongs to the worker while it is away.
 *
 * At most CONTROL_LOG_OPS are away at once, so a topic of 9,999 partitions goes out in portions
 * over turns and no worker's ring or turn is filled by it. A log that cannot be opened makes its
 * partition leaderless in the view: clients wait for it, the others work.
 */
#include "check.h"
#include "control_inside.h"

static struct log_op *order_take(struct control *c)
{
    struct list *link = list_pop(&c->orders_free);
    return link == NULL ? NULL
                        : container_of(list_entry(link, struct mail, link), struct log_op, mail);
}

static void order_send(struct control *c, struct log_op *op, enum log_order order,
                       const struct view_topic *view, int32_t partition, struct topic *topic)
{
    op->order = (uint8_t)order;
    op->id = (struct log_id){.topic_id = view->id, .topic = view->name, .partition = partition};
    op->dir = view->partitions[partition].dir;
    op->config = view->config;
    op->error = 0;
    op->inside[0] = topic;
    c->orders_n++;
    mail_send(c->post, view->partitions[partition].home, MAIL_LOG, &op->mail);
}

/* The next partition of the list that needs an order; false when there is none left. */
static bool order_next(struct control *c, enum log_order order, const struct topic_list *list,
                       const struct view_topic **view, struct topic **topic, int32_t *partition)
{
    for (; c->order_topic_at < list->n; c->order_topic_at++, c->order_partition_at = 0) {
        *topic = order == LOG_OPEN ? list->v[c->order_topic_at] : NULL;
        if (*topic != NULL && (*topic)->is_removed)
            continue;
        *view = *topic != NULL ? (*topic)->view : list->v[c->order_topic_at];
        check(*view != NULL);
        while (c->order_partition_at < (*view)->partitions_n) {
            *partition = c->order_partition_at++;
            if ((*view)->partitions[*partition].leader == c->node_id)
                return true;
        }
    }
    return false;
}

bool orders_work(struct control *c, enum log_order order)
{
    const struct topic_list *list = order == LOG_OPEN ? &c->created : &c->dropped;
    const struct view_topic *view;
    struct topic *topic;
    int32_t partition;
    while (!list_is_empty(&c->orders_free)) {
        if (!order_next(c, order, list, &view, &topic, &partition))
            return c->orders_n == 0;
        bool is_open = topic != NULL && partition < topic->opened_n;
        order_send(c, order_take(c), is_open ? LOG_CONFIGURE : order, view, partition, topic);
        if (topic != NULL && !is_open)
            topic->opened_n = partition + 1;
    }
    return false;
}

void orders_answer(struct control *c, struct log_op *op)
{
    check(c->orders_n > 0);
    c->orders_n--;
    struct topic *topic = op->inside[0];
    if (op->error < 0 && topic != NULL) {
        topic->partitions[op->id.partition].is_failed = true;
        topic->is_changed = true;
        c->failed_logs_n++;
    }
    list_append(&c->orders_free, &op->mail.link);
}
