/*
 * dump_text.c - dumps and checks the text files of a log directory: the four checkpoints,
 * meta.properties, partition.metadata.
 *
 * Owner: the call.
 */
#include "checkpoint.h"
#include "dump_row.h"
#include "properties.h"
#include "text.h"
#include "uuid_text.h"

int dump_checkpoint(struct dump *d, const char *name, struct bytes content)
{
    struct checkpoints *c = checkpoints_new();
    struct bytes rest = content, line;
    int64_t n;
    (void)name; /* all four have one format */
    if (c == NULL)
        return E_NO_MEMORY;
    int error = content.n == 0 ? 0 : checkpoint_parse(c, CHECKPOINT_HIGH, content);
    checkpoints_free(c);
    if (error == E_NO_MEMORY)
        return error;
    if (error < 0) {
        row_damage(d, 0,
                   "not a checkpoint file: version 0, the number of entries, a line of topic, "
                   "partition and offset each");
        d->sum->damaged_bytes = content.n;
        return 0;
    }
    if (content.n > 0 && text_checkpoint_head(&rest, INT32_MAX, &n) < 0)
        return 0;
    while (content.n > 0 && text_line(&rest, &line) && line.n > 0) {
        row_begin(d, "checkpoint", row_is_wanted(d, 0));
        row_bytes(d, "line", line);
        row_end(d);
        d->sum->entries_n++;
    }
    return 0;
}

int dump_properties(struct dump *d, struct bytes content)
{
    struct bytes rest = content;
    struct property p;
    int error;
    while ((error = property_next(&rest, &p)) == 0) {
        row_begin(d, "property", row_is_wanted(d, 0));
        row_bytes(d, "key", bytes_of_string(p.key));
        row_bytes(d, "value", bytes_of_string(p.value));
        row_end(d);
        d->sum->entries_n++;
    }
    if (error != E_EOF)
        row_damage(d, content.n - rest.n, "not readable as a properties file");
    return 0;
}

int dump_partition_metadata(struct dump *d, struct bytes content)
{
    static const char id_key[] = "topic_id: ", version[] = "version: 0";
    struct bytes rest = content, line;
    struct uuid id;
    bool has_id = false, has_version = false;
    while (text_line(&rest, &line)) {
        row_begin(d, "metadata", row_is_wanted(d, 0));
        row_bytes(d, "line", line);
        row_end(d);
        d->sum->entries_n++;
        has_version |= bytes_equal_string(line, version);
        if (line.n >= sizeof id_key - 1 && memcmp(line.ptr, id_key, sizeof id_key - 1) == 0)
            has_id |= uuid_from_text(
                bytes_of(line.ptr + sizeof id_key - 1, line.n - (sizeof id_key - 1)), &id);
    }
    if (!has_id || !has_version)
        row_damage(d, 0, "version 0 and a topic id are not in it");
    return 0;
}
