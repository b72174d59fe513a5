/*
 * journal_record.c - the bytes of a journal's ring head, records and entries: put and read.
 *
 * Owner: none, there is no state. The format is described in journal.h.
 *
 * Reading trusts nothing: a record is believed when its generation, its lengths and its CRC are
 * right, an entry when it lies inside what its record uses.
 */
#include "crc.h"
#include "journal.h"

enum { CRC_AT = 60, ENTRY_ALIGN = 8 };

void journal_ring_put(uint8_t *block, const struct uuid *generation)
{
    memset(block, 0, JOURNAL_BLOCK);
    store_u64(block, JOURNAL_RING_MAGIC);
    memcpy(block + 8, generation->b, sizeof generation->b);
    store_u32(block + CRC_AT, crc_of(block, CRC_AT));
}

int journal_ring_read(const uint8_t *block, struct uuid *generation)
{
    bool is_zero = true;
    for (int i = 0; i < JOURNAL_RING_HEAD && is_zero; i++)
        is_zero = block[i] == 0;
    if (is_zero)
        return E_EOF;
    if (load_u64(block) != JOURNAL_RING_MAGIC || load_u32(block + CRC_AT) != crc_of(block, CRC_AT))
        return E_CORRUPT;
    memcpy(generation->b, block + 8, sizeof generation->b);
    return 0;
}

uint32_t journal_entry_bytes(uint32_t topic_n, uint32_t data_n)
{
    return (uint32_t)(JOURNAL_ENTRY_HEAD + align_up(topic_n, ENTRY_ALIGN) +
                      align_up(data_n, ENTRY_ALIGN));
}

uint8_t *journal_entry_put(uint8_t *to, const struct journal_entry *entry)
{
    uint64_t name_n = align_up(entry->topic.n, ENTRY_ALIGN);
    uint64_t data_n = align_up(entry->data.n, ENTRY_ALIGN);
    check(entry->topic.n > 0 && entry->topic.n <= UINT8_MAX);
    memset(to, 0, JOURNAL_ENTRY_HEAD + name_n);
    memcpy(to, entry->topic_id.b, sizeof entry->topic_id.b);
    store_u32(to + 16, (uint32_t)entry->partition);
    store_u32(to + 20, entry->pos);
    store_u64(to + 24, (uint64_t)entry->base_offset);
    store_u64(to + 32, (uint64_t)entry->end_offset);
    store_u32(to + 40, (uint32_t)entry->data.n);
    store_u32(to + 44, (uint32_t)entry->epoch);
    to[48] = (uint8_t)entry->topic.n;
    to += JOURNAL_ENTRY_HEAD;
    memcpy(to, entry->topic.ptr, entry->topic.n);
    to += name_n;
    memset(to + entry->data.n, 0, data_n - entry->data.n);
    return to;
}

static uint32_t record_crc(const uint8_t *record, uint32_t used)
{
    uint32_t crc = crc_more(CRC_INIT, record, CRC_AT);
    return crc_end(crc_more(crc, record + JOURNAL_RECORD_HEAD, used - JOURNAL_RECORD_HEAD));
}

void journal_record_end(uint8_t *record, const struct uuid *generation,
                        const struct journal_head *head)
{
    check(head->used >= JOURNAL_RECORD_HEAD && head->used <= head->bytes);
    check(is_aligned(head->bytes, JOURNAL_BLOCK));
    store_u64(record, JOURNAL_RECORD_MAGIC);
    memcpy(record + 8, generation->b, sizeof generation->b);
    store_u64(record + 24, head->seq);
    store_u64(record + 32, head->tail_seq);
    store_u64(record + 40, head->flushed_seq);
    store_u32(record + 48, head->bytes);
    store_u32(record + 52, head->used);
    store_u32(record + 56, head->entries_n);
    store_u32(record + CRC_AT, record_crc(record, head->used));
}

int journal_head_read(const uint8_t *block, const struct uuid *generation,
                      struct journal_head *head)
{
    if (load_u64(block) != JOURNAL_RECORD_MAGIC ||
        memcmp(block + 8, generation->b, sizeof generation->b) != 0)
        return E_NOT_FOUND;
    *head = (struct journal_head){.seq = load_u64(block + 24),
                                  .tail_seq = load_u64(block + 32),
                                  .flushed_seq = load_u64(block + 40),
                                  .bytes = load_u32(block + 48),
                                  .used = load_u32(block + 52),
                                  .entries_n = load_u32(block + 56)};
    bool is_sound = head->bytes >= JOURNAL_BLOCK && head->bytes <= JOURNAL_RECORD_MAX &&
                    is_aligned(head->bytes, JOURNAL_BLOCK) && head->used >= JOURNAL_RECORD_HEAD &&
                    head->used <= head->bytes && head->seq > 0 && head->tail_seq <= head->seq &&
                    head->flushed_seq < head->seq;
    return is_sound ? 0 : E_NOT_FOUND;
}

int journal_record_check(const uint8_t *record, const struct journal_head *head)
{
    return load_u32(record + CRC_AT) == record_crc(record, head->used) ? 0 : E_CORRUPT;
}

int journal_entry_next(struct bytes record, uint32_t *at, struct journal_entry *out)
{
    if (*at >= record.n)
        return E_EOF;
    uint64_t left = record.n - *at;
    const uint8_t *p = record.ptr + *at;
    if (left < JOURNAL_ENTRY_HEAD)
        return E_CORRUPT;
    uint32_t data_n = load_u32(p + 40), name_n = p[48];
    uint64_t name_room = align_up(name_n, ENTRY_ALIGN);
    if (name_n == 0 || data_n > JOURNAL_RECORD_MAX ||
        JOURNAL_ENTRY_HEAD + name_room + align_up(data_n, ENTRY_ALIGN) > left)
        return E_CORRUPT;
    *out = (struct journal_entry){
        .partition = load_i32(p + 16),
        .pos = load_u32(p + 20),
        .base_offset = load_i64(p + 24),
        .end_offset = load_i64(p + 32),
        .epoch = load_i32(p + 44),
        .topic = bytes_of(p + JOURNAL_ENTRY_HEAD, name_n),
        .data = bytes_of(p + JOURNAL_ENTRY_HEAD + name_room, data_n),
    };
    memcpy(out->topic_id.b, p, sizeof out->topic_id.b);
    if (out->partition < 0 || out->base_offset < 0 || out->pos > INT32_MAX ||
        out->end_offset <= out->base_offset || data_n == 0)
        return E_CORRUPT;
    *at += journal_entry_bytes(name_n, data_n);
    return 0;
}
