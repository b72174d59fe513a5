/* ledger_test.c - the memory ledger: blocks add up by line, what is touched counts as used. */
#include "ledger_lines.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "thread.h"
#include "unit.h"

/* A broker without parts. Owner: the test. */
static struct broker *broker_new(uint8_t workers_n)
{
    struct broker *b = calloc(1, sizeof *b);
    assert_non_null(b);
    b->workers_n = workers_n;
    b->bounds = (struct bounds){
        .workers_n = workers_n, .cache_bytes = MIB(64), .request_bytes = MIB(64), .dirs = 1};
    return b;
}

static void broker_free(struct broker *b)
{
    free(b->ledger.v);
    free(b);
}

static void ledger_blocks_of_a_line_add_up(void **state)
{
    struct broker *b = broker_new(2);
    static uint8_t some[1];
    (void)state;
    for (int i = 0; i < 1000; i++)
        ledger_add(&b->ledger, LEDGER_JOURNAL, some, MIB(1));
    ledger_add_mapped(&b->ledger, LEDGER_RECEIVE, some, MIB(3));
    ledger_add(&b->ledger, LEDGER_RECEIVE, NULL, MIB(3));                  /* was not taken */
    ledger_add(&b->ledger, LEDGER_RECEIVE, some, LEDGER_BLOCK_MIN - 1ull); /* is in HEAP */
    assert_false(b->ledger.is_short);
    assert_int_equal(ledger_bound(b, LEDGER_JOURNAL), 1000 * MIB(1));
    assert_int_equal(ledger_bound(b, LEDGER_RECEIVE), MIB(3));
    assert_int_equal(ledger_bound(b, LEDGER_HEAP), 0);
    /* Two workers, control and two helpers. */
    assert_int_equal(ledger_bound(b, LEDGER_STACKS), 5 * THREAD_STACK_BYTES);
    assert_int_equal(ledger_bounds_sum(b), 1003 * MIB(1) + 5 * THREAD_STACK_BYTES);
    broker_free(b);
}

static void ledger_block_is_used_as_far_as_it_was_touched(void **state)
{
    struct broker *b = broker_new(1);
    struct ledger_used used;
    uint8_t *block = mmap(NULL, MIB(64), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)state;
    assert_ptr_not_equal(block, MAP_FAILED);
    assert_int_equal(madvise(block, MIB(64), MADV_NOHUGEPAGE), 0);
    ledger_add_mapped(&b->ledger, LEDGER_LOG_PAGES, block, MIB(64));
    ledger_used(b, &used);
    assert_int_equal(used.lines[LEDGER_LOG_PAGES], 0);
    assert_true(used.resident > 0 && used.lines[LEDGER_CODE] > 0);
    memset(block + MIB(1), 1, MIB(33)); /* more than one answer of the kernel holds */
    ledger_used(b, &used);
    assert_int_equal(used.lines[LEDGER_LOG_PAGES], MIB(33));
    assert_int_equal(used.lines[LEDGER_STACKS], 0); /* no thread runs */
    munmap(block, MIB(64));
    broker_free(b);
}

static void ledger_heap_is_what_malloc_has_beside_the_blocks(void **state)
{
    struct broker *b = broker_new(1);
    struct ledger_used before, after;
    uint8_t *block;
    (void)state;
    ledger_used(b, &before);
    block = malloc(MIB(48));
    assert_non_null(block);
    ledger_used(b, &after);
    assert_true(after.lines[LEDGER_HEAP] >= before.lines[LEDGER_HEAP] + MIB(48));
    ledger_add(&b->ledger, LEDGER_PRODUCERS, block, MIB(48));
    ledger_used(b, &after);
    assert_true(after.lines[LEDGER_HEAP] < before.lines[LEDGER_HEAP] + MIB(1));
    free(block);
    broker_free(b);
}

static void ledger_print_tells_every_line_and_when_it_is_too_much(void **state)
{
    struct broker *b = broker_new(1);
    static uint8_t some[1];
    char *text = NULL;
    size_t n = 0;
    FILE *to = open_memstream(&text, &n);
    (void)state;
    assert_non_null(to);
    for (int line = 0; line <= LEDGER_MAIL; line++)
        ledger_add(&b->ledger, (enum ledger_line)line, some, MIB(line + 1));
    b->bounds.memory_bytes = MIB(1);
    ledger_print(b, to);
    fclose(to);
#define LEDGER(name, label, words)    \
    if (LEDGER_##name != LEDGER_CODE) \
        assert_non_null(strstr(text, words));
#include "ledger.def"
#undef LEDGER
    assert_non_null(strstr(text, "more than the machine has (1.0 MiB)"));
    free(text);
    broker_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(ledger_blocks_of_a_line_add_up),
        TEST(ledger_block_is_used_as_far_as_it_was_touched),
        TEST(ledger_heap_is_what_malloc_has_beside_the_blocks),
        TEST(ledger_print_tells_every_line_and_when_it_is_too_much),
    };
    return TESTS_RUN(tests);
}
