/*
 * group.h - what the commands of `millrace group` share.
 *
 * Owner: the process, which has one thread.
 */
#ifndef MILLRACE_GROUP_COMMAND_H
#define MILLRACE_GROUP_COMMAND_H

#include "cli.h"
#include "client.h"
#include "messages.h"

enum { TIME_END = -1, TIME_BEGINNING = -2 };

/* One offset that a group committed, and what the partition holds. */
struct group_offset {
    struct bytes topic;
    int32_t partition;
    int64_t committed, end; /* -1: not known */
    struct bytes metadata;
    struct bytes owner, client_id, host; /* of the member that has it; n 0: nobody */
    int16_t error;
};
struct group_offsets {
    struct group_offset *v; /* in the client's arena */
    uint32_t n;
};

/* Connects; on failure the reason was printed. */
bool group_connect(const struct cli *cli, struct client *c);
/* "group: what the broker says", CLI_FAILED. */
int group_failed(const struct cli *cli, const char *group, int16_t code);
/* All that the group committed; 0, E_ with c->why, or a positive Kafka code. */
nodiscard int group_offsets_ask(struct client *c, const char *group, struct group_offsets *out);
/* Offsets of partitions by time (TIME_ or ms); `to` gets -1 where there is none. Same result. */
nodiscard int group_list_offsets(struct client *c, const struct group_offset *v, uint32_t n,
                                 int64_t time, int64_t *to);
/* "orders:3" -> "orders" and 3; without a number -1. */
int32_t group_split_partition(char *text);
/* group_forget.c: deletes what the group has committed for these topics or partitions (TOPIC[:P]),
 * and says what. */
int group_forget(const struct cli *cli, struct client *c, const char *group, char **topics,
                 uint32_t topics_n);
/* group_reset.c */
int group_reset(struct cli *cli, int argc, char **argv);
extern const char group_reset_help[];

#endif
