/*
 * request_test.c - frames, headers, versions and the life of requests, from bytes to bytes.
 */
#include "kafka_bed.h"

static void api_versions_v4_lists_what_the_table_offers(void **state)
{
    (void)state;
    struct bed *bed = bed_new(1);
    struct client c = client_connect(bed);
    struct api_versions_request q = {bytes_of_string("test"), bytes_of_string("1.0")};
    const struct api_versions_response *p = client_ask(&c, 18, 4, &q);
    assert_int_equal(p->error_code, 0);
    assert_int_equal(p->api_keys_n, apis_n);
    assert_int_equal(p->api_keys[0].api_key, 0);
    assert_int_equal(p->api_keys[0].min_version, 0); /* trap 1 */
    assert_int_equal(p->api_keys[0].max_version, 13);
    assert_int_equal(p->supported_features_n, 1);
    assert_true(bytes_equal_string(p->supported_features[0].name, "metadata.version"));
    assert_int_equal(p->finalized_features_epoch, 77);
    client_close(&c);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(api_versions_v4_lists_what_the_table_offers),
    };
    bed_unused();
    return TESTS_RUN(tests);
}
