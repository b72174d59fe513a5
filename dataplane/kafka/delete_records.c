/*
 * delete_records.c - DeleteRecords, versions 0-2: the start of logs moves, at their homes.
 *
 * Owner: worker.
 *
 * -1 means the high watermark. Answered when the new start is durable: a deleted record never comes
 * back. Internal topics are refused with 17, topics that are only compacted with 44, offsets beyond
 * the high watermark with 1; a start below the present one changes nothing and is no error.
 */
#include "ops.h"

#define PARTITION struct delete_records_response_topics_partitions

static int16_t delete_judge(struct kafka *k, const struct view *view, struct bytes name,
                            int32_t partition, const struct view_topic **topic,
                            const struct view_partition **found)
{
    int16_t code = partition_find(k, view, name, NULL, false, partition, topic, found);
    if (*topic == NULL)
        return code;
    if ((*topic)->is_internal)
        return KAFKA_INVALID_TOPIC_EXCEPTION;
    if (code == 0 && (*topic)->config.is_compacted && !(*topic)->config.is_deleted)
        return KAFKA_POLICY_VIOLATION;
    return code;
}

static bool delete_add(struct request *r, struct queries *s, const struct view *view,
                       struct bytes name, int32_t partition, int64_t offset, PARTITION *to)
{
    const struct view_topic *topic;
    const struct view_partition *found;
    to->partition_index = partition;
    to->low_watermark = -1;
    to->error_code = delete_judge(r->kafka, view, name, partition, &topic, &found);
    if (to->error_code != 0)
        return true;
    struct query_part *part = query_add(r, s, found->home, &topic->id, partition);
    if (part == NULL)
        return false;
    part->offset = offset;
    part->response = to;
    return true;
}

static bool delete_plan(struct request *r, struct queries *s, const struct view *view)
{
    const struct delete_records_request *q = r->body;
    struct delete_records_response *p = s->response;
    p->topics_n = q->topics_n > 0 ? q->topics_n : 0;
    p->topics = PROTO_NEW(&r->arena, delete_records_response_topics, p->topics_n);
    if (p->topics == NULL)
        return false;
    for (int32_t i = 0; i < p->topics_n; i++) {
        const struct delete_records_request_topics *from = &q->topics[i];
        struct delete_records_response_topics *to = &p->topics[i];
        to->name = from->name; /* in the frame, which stays until the answer is bytes */
        to->partitions_n = from->partitions_n > 0 ? from->partitions_n : 0;
        to->partitions =
            PROTO_NEW(&r->arena, delete_records_response_topics_partitions, to->partitions_n);
        if (to->partitions == NULL)
            return false;
        for (int32_t j = 0; j < to->partitions_n; j++)
            if (!delete_add(r, s, view, from->name, from->partitions[j].partition_index,
                            from->partitions[j].offset, &to->partitions[j]))
                return false;
    }
    return true;
}

static void delete_answer(struct request *r, const struct view *view, struct now now)
{
    struct queries *s = r->work;
    (void)view, (void)now;
    for (struct query_op *op = s->ops; op != NULL; op = op->next) {
        for (struct query_part *part = op->parts; part != NULL; part = part->next) {
            PARTITION *to = part->response;
            to->error_code = part->error == 0 ? KAFKA_NONE : error_kafka(part->error);
            to->low_watermark = part->error == 0 ? part->offset : -1;
        }
    }
    request_answer(r, s->response);
}

void delete_records_start(struct request *r, const struct view *view, struct now now)
{
    struct queries *s =
        queries_new(r, PROTO_NEW(&r->arena, delete_records_response, 1), QUERY_DELETE);
    if (s == NULL || !delete_plan(r, s, view))
        request_answer(r, NULL);
    else
        query_send(r, s, delete_answer, now);
}
