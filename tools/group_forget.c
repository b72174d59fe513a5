/*
 * group_forget.c - `millrace group delete NAME --topic TOPIC`: what a group has committed for a
 * topic is deleted, the group stays.
 *
 * Owner: the process, which has one thread.
 */
#include <stdio.h>

#include "group.h"
#include "parse.h"

enum { API_OFFSET_DELETE = 47, OFFSET_DELETE_V = 0 };

int32_t group_split_partition(char *text)
{
    char *colon = strrchr(text, ':');
    int64_t n = -1;
    if (colon == NULL || !parse_number(colon + 1, 0, INT32_MAX, &n))
        return -1;
    *colon = 0;
    return (int32_t)n;
}

/* The partitions of one --topic that the group has committed. 0, or E_ with c->why. */
static int forget_topic(struct client *c, char *text, const struct group_offsets *all,
                        struct offset_delete_request *q)
{
    int32_t only = group_split_partition(text);
    struct offset_delete_request_topics *topic = &q->topics[q->topics_n++];
    topic->name = bytes_of_string(text);
    topic->partitions =
        PROTO_NEW(&c->arena, offset_delete_request_topics_partitions, all->n + 1ull);
    if (topic->partitions == NULL)
        return E_NO_MEMORY;
    for (uint32_t i = 0; i < all->n; i++)
        if (bytes_equal(all->v[i].topic, topic->name) && (only < 0 || all->v[i].partition == only))
            topic->partitions[topic->partitions_n++].partition_index = all->v[i].partition;
    if (topic->partitions_n > 0)
        return 0;
    snprintf(c->why, sizeof c->why,
             only < 0 ? "nothing is committed for %s" : "nothing is committed for %s:%d", text,
             only);
    return E_NOT_FOUND;
}

static int forget_report(const struct cli *cli, const char *group,
                         const struct offset_delete_response *r)
{
    int status = CLI_OK;
    json_t *deleted = json_array();
    for (int32_t i = 0; i < r->topics_n; i++)
        for (int32_t k = 0; k < r->topics[i].partitions_n; k++) {
            struct bytes name = r->topics[i].name;
            int32_t partition = r->topics[i].partitions[k].partition_index;
            int16_t code = r->topics[i].partitions[k].error_code;
            char buffer[32];
            if (code == 0 && !cli->is_json)
                printf("deleted what %s had committed for %.*s:%d\n", group, (int)name.n, name.ptr,
                       partition);
            if (code == 0)
                json_array_append_new(deleted, json_pack("{s:o,s:i}", "topic", cli_json_bytes(name),
                                                         "partition", partition));
            else
                status =
                    cli_fail(cli, "%.*s:%d: %s", (int)name.n, name.ptr, partition,
                             code == 86 ? "a member reads this topic; stop its consumers first. "
                                          "(GROUP_SUBSCRIBED_TO_TOPIC)"
                                        : kafka_error_name(code, buffer, sizeof buffer));
        }
    if (cli->is_json)
        cli_json(json_pack("{s:O}", "deleted", deleted));
    json_decref(deleted);
    return status == CLI_OK ? cli_finish(cli) : status;
}

int group_forget(const struct cli *cli, struct client *c, const char *group, char **topics,
                 uint32_t topics_n)
{
    struct group_offsets all;
    const void *answer = NULL;
    struct offset_delete_request *q = PROTO_NEW(&c->arena, offset_delete_request, 1);
    int rc = group_offsets_ask(c, group, &all);
    if (rc == 0 && q != NULL)
        q->topics = PROTO_NEW(&c->arena, offset_delete_request_topics, topics_n);
    if (rc == 0 && (q == NULL || q->topics == NULL))
        rc = E_NO_MEMORY;
    for (uint32_t i = 0; rc == 0 && i < topics_n; i++)
        rc = forget_topic(c, topics[i], &all, q);
    if (rc == 0) {
        q->group_id = bytes_of_string(group);
        rc = client_call(c, API_OFFSET_DELETE, OFFSET_DELETE_V, q, &answer, NULL);
    }
    const struct offset_delete_response *r = answer;
    if (rc == 0)
        rc = r->error_code;
    if (rc > 0)
        return group_failed(cli, group, (int16_t)rc);
    if (rc < 0)
        return cli_fail(cli, "%s", c->why[0] != 0 ? c->why : error_text(rc));
    return forget_report(cli, group, r);
}
