/*
 * words.c - what was meant by a word that is not known: a slip of the finger, or the word of
 * another tool (rpk, kafka-topics and its like, kcat). See cli.h.
 *
 * Owner: immutable (pure functions).
 */
#include "cli.h"

/* Owner: immutable. */
static const struct {
    const char *command; /* of ours, where the word was typed; "" before any */
    const char *word;
    const char *ours;
} ELSEWHERE[] = {
    {"", "version", "--version"},
    {"", "acl", "ACLs are not served"},
    {"", "reset", "millrace group reset NAME"},
    {"", "-L", "millrace topic list, millrace cluster"},
    {"", "-C", "millrace consume TOPIC"},
    {"", "-P", "millrace produce TOPIC"},
    {"topic", "ls", "millrace topic list"},
    {"topic", "alter", "millrace config set topic NAME, millrace partition add NAME"},
    {"topic", "alter-config", "millrace config set topic NAME KEY=VALUE"},
    {"topic", "add-partitions", "millrace partition add NAME --to N"},
    {"topic", "trim-prefix", "millrace partition trim NAME PARTITION --before OFFSET"},
    {"topic", "trim", "millrace partition trim NAME PARTITION --before OFFSET"},
    {"topic", "produce", "millrace produce NAME"},
    {"topic", "consume", "millrace consume NAME"},
    {"topic", "--create", "millrace topic create NAME"},
    {"topic", "--list", "millrace topic list"},
    {"topic", "--describe", "millrace topic describe NAME"},
    {"topic", "--delete", "millrace topic delete NAME"},
    {"topic", "--alter", "millrace config set topic NAME, millrace partition add NAME"},
    {"group", "ls", "millrace group list"},
    {"group", "seek", "millrace group reset NAME"},
    {"group", "offset-delete", "millrace group delete NAME --topic TOPIC"},
    {"group", "--list", "millrace group list"},
    {"group", "--describe", "millrace group describe NAME"},
    {"group", "--delete", "millrace group delete NAME"},
    {"group", "--delete-offsets", "millrace group delete NAME --topic TOPIC"},
    {"group", "--reset-offsets", "millrace group reset NAME"},
    {"config", "get", "millrace config describe KIND NAME"},
    {"config", "alter", "millrace config set KIND NAME KEY=VALUE"},
    {"config", "--describe", "millrace config describe KIND NAME"},
    {"config", "--alter", "millrace config set KIND NAME KEY=VALUE"},
    {"consume", "--from-beginning", "--from beginning, which is the default"},
    {"consume", "--offset", "--from POSITION"},
    {"consume", "-o", "--from POSITION"},
    {"consume", "--max-messages", "--count N"},
    {"consume", "--num", "--count N"},
    {"consume", "-c", "--count N"},
    {"consume", "--topic", "the topic stands alone: millrace consume TOPIC"},
    {"consume", "-t", "the topic stands alone: millrace consume TOPIC"},
    {"produce", "--topic", "the topic stands alone: millrace produce TOPIC"},
    {"produce", "-t", "the topic stands alone: millrace produce TOPIC"},
    {"produce", "--compression", "--codec NAME"},
    {"produce", "--compression-codec", "--codec NAME"},
    {"produce", "-z", "--codec NAME"},
    {"produce", "-k", "--key KEY"},
    {"topic create", "--topic", "the name stands alone: millrace topic create NAME"},
    {"topic create", "--replicas", "--replication-factor N"},
    {"topic create", "--topic-config", "--config KEY=VALUE"},
    {"topic describe", "--topic", "the name stands alone: millrace topic describe NAME"},
    {"topic delete", "--topic", "the name stands alone: millrace topic delete NAME"},
    {"group describe", "--group", "the name stands alone: millrace group describe NAME"},
    {"group reset", "--group", "the name stands alone: millrace group reset NAME"},
    {"group delete", "--group", "the name stands alone: millrace group delete NAME"},
    {"config set", "--add-config", "millrace config set KIND NAME KEY=VALUE"},
    {"config set", "--delete-config", "millrace config delete KIND NAME KEY"},
    {"partition add", "--num", "--to N, how many there are then"},
    {"partition add", "-n", "--to N, how many there are then"},
    {"partition add", "--partitions", "--to N"},
};

const char *words_elsewhere(const char *command, const char *word)
{
    for (size_t i = 0; i < array_n(ELSEWHERE); i++)
        if (strcmp(command, ELSEWHERE[i].command) == 0 && strcmp(word, ELSEWHERE[i].word) == 0)
            return ELSEWHERE[i].ours;
    if (strcmp(word, "-b") == 0 || strcmp(word, "--broker-list") == 0)
        return "--bootstrap-server HOST:PORT";
    return NULL;
}

static uint32_t min_of(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Row i of the table holds the distances of a's first i letters to each beginning of b. */
uint32_t words_distance(const char *a, const char *b)
{
    size_t a_n = strlen(a), b_n = strlen(b);
    uint32_t d[WORDS_MAX + 1][WORDS_MAX + 1];
    if (a_n > WORDS_MAX || b_n > WORDS_MAX)
        return UINT32_MAX;
    for (size_t i = 0; i <= a_n; i++)
        d[i][0] = (uint32_t)i;
    for (size_t k = 0; k <= b_n; k++)
        d[0][k] = (uint32_t)k;
    for (size_t i = 1; i <= a_n; i++)
        for (size_t k = 1; k <= b_n; k++) {
            uint32_t change = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
            d[i][k] = min_of(change, 1 + min_of(d[i - 1][k], d[i][k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
                d[i][k] = min_of(d[i][k], d[i - 2][k - 2] + 1);
        }
    return d[a_n][b_n];
}

bool words_near(const char *typed, const char *known)
{
    size_t n = strlen(known);
    return words_distance(typed, known) <= (n < 4 ? 1 : n < 8 ? 2 : 3);
}
