/* words_test.c - cli.h: what was meant by a word that is not known. */
#include "cli.h"
#include "unit.h"

static void distance_counts_each_slip_once(void **state)
{
    (void)state;
    assert_int_equal(words_distance("topic", "topic"), 0);
    assert_int_equal(words_distance("topci", "topic"), 1);
    assert_int_equal(words_distance("topics", "topic"), 1);
    assert_int_equal(words_distance("tpic", "topic"), 1);
    assert_int_equal(words_distance("tobic", "topic"), 1);
    assert_int_equal(words_distance("", "topic"), 5);
    assert_int_equal(words_distance("topic", ""), 5);
    assert_int_equal(words_distance("kitten", "sitting"), 3);
}

static void distance_of_a_long_word_is_far(void **state)
{
    char word[WORDS_MAX + 2];
    (void)state;
    memset(word, 'a', sizeof word);
    word[WORDS_MAX] = 0;
    assert_int_equal(words_distance(word, word), 0);
    word[WORDS_MAX] = 'a';
    word[WORDS_MAX + 1] = 0;
    assert_int_equal(words_distance(word, word), UINT32_MAX);
    assert_int_equal(words_distance("a", word), UINT32_MAX);
    assert_false(words_near(word, word));
}

static void near_allows_fewer_slips_in_short_words(void **state)
{
    (void)state;
    assert_true(words_near("topci", "topic"));
    assert_true(words_near("lst", "list"));
    assert_true(words_near("partitons", "partitions"));
    assert_true(words_near("ap", "api"));
    assert_false(words_near("abc", "api"));
    assert_false(words_near("nonsense", "consume"));
}

static void elsewhere_is_told_by_command_and_word(void **state)
{
    (void)state;
    assert_string_equal(words_elsewhere("topic", "ls"), "millrace topic list");
    assert_string_equal(words_elsewhere("consume", "-o"), "--from POSITION");
    assert_null(words_elsewhere("group", "add-partitions"));
    assert_null(words_elsewhere("topic", "nonsense"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(distance_counts_each_slip_once),
        TEST(distance_of_a_long_word_is_far),
        TEST(near_allows_fewer_slips_in_short_words),
        TEST(elsewhere_is_told_by_command_and_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
