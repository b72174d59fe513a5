/* options_test.c - the command line of `millrace bench`. */
#include "unit.h"

#include "load.h"

enum { WORDS_MAX = 16, USAGE = 2 };

/* Parses "--rate 10k --acks 1". What it says about mistakes goes to the test's log. */
static int parse(struct load_options *o, const char *line)
{
    char copy[512], *argv[WORDS_MAX + 1] = {(char *)"bench"}, *save = NULL;
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w != NULL && argc < WORDS_MAX;
         w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    return load_options_parse(o, "127.0.0.1:9092", argc, argv);
}

static void options_of_nothing_are_the_defaults(void **state)
{
    struct load_options o;
    (void)state;
    assert_int_equal(parse(&o, ""), 0);
    assert_string_equal(o.bootstrap, "127.0.0.1:9092");
    assert_int_equal(o.rates_n, 1);
    assert_true(o.rates[0] == 0);
    assert_int_equal(o.window, 8);
    assert_int_equal(o.acks, -1);
    assert_int_equal(o.record_bytes, 1024);
    assert_int_equal(o.cpu, -1);
}

static void options_of_rates_are_steps(void **state)
{
    struct load_options o;
    (void)state;
    assert_int_equal(parse(&o, "--rate 500,10k,1.5M,max"), 0);
    assert_int_equal(o.rates_n, 4);
    assert_true(o.rates[0] == 500 && o.rates[1] == 10000 && o.rates[2] == 1500000);
    assert_true(o.rates[3] == 0);
    assert_int_equal(o.window, 1000);
}

static void options_of_everything_are_taken(void **state)
{
    struct load_options o;
    (void)state;
    assert_int_equal(parse(&o, "--partitions 16 --producers 4 --codec lz4 --acks 1 --seed 9"), 0);
    assert_int_equal(o.partitions_n, 16);
    assert_int_equal(o.producers_n, 4);
    assert_int_equal(o.codec, CODEC_LZ4);
    assert_int_equal(o.acks, 1);
    assert_int_equal(o.seed, 9);
}

static void options_that_make_no_sense_are_refused(void **state)
{
    static const char *const lines[] = {
        "--rate fast",
        "--rate 0",
        "--rate -5",
        "--rate 10q",
        "--rate ,",
        "--codec brotli",
        "--acks 2",
        "--partitions 0",
        "--partitions 20001",
        "--producers -1",
        "--record-size 0",
        "--duration 0",
        "--duration 1e9",
        "--entropy 2",
        "--keys -1",
        "--keys 1e9",
        "--keys 10 --key-distribution gauss",
        "--key-distribution zipf",
        "--seed x",
        "--seed -1",
        "--cpu 1x",
        "--cpu -1",
        "--broker-pid abc",
        "--window 0",
        "--topics 1000 --partitions 1000",
        "--producers 0",
        "--producers 10000 --consumers 1",
        "--ceiling --consumers 1",
        "--ceiling --acks 0",
        "--nonsense",
        "word",
        "--rate",
        "--readers 101",
        "--dpdk-devargs net_memif0",
        "--dpdk-devargs ,role=client --address 10.77.0.2/24",
        "--address 10.77.0.2/24",
        "--gateway 10.77.0.254",
        "--dpdk-devargs net_memif0 --address 10.77.0.2",
        "--dpdk-devargs net_memif0 --address 10.77.0.2/33",
        "--dpdk-devargs net_memif0 --address 10.77.0/24",
        "--dpdk-devargs net_memif0 --address 10.77.0.2/24 --gateway 10.78.0.1",
        "--dpdk-devargs net_memif0 --address 10.77.0.2/24 --gateway 10.77.0.1/24",
        "--dpdk-devargs net_memif0 --address 10.77.0.2/24 --ceiling",
    };
    (void)state;
    for (size_t i = 0; i < array_n(lines); i++) {
        struct load_options o;
        int rc = parse(&o, lines[i]);
        if (rc != USAGE)
            print_error("'%s' gives %d\n", lines[i], rc);
        assert_int_equal(rc, USAGE);
    }
}

static void options_of_a_port_are_taken(void **state)
{
    struct load_options o;
    (void)state;
    assert_int_equal(parse(&o, "--topic t"), 0);
    assert_string_equal(o.port.name, "");
    assert_int_equal(parse(&o, "--dpdk-devargs net_memif0,role=client,socket=/s --address "
                               "10.77.0.2/24 --gateway 10.77.0.254"),
                     0);
    assert_string_equal(o.port.name, "net_memif0");
    assert_string_equal(o.port.devargs, "role=client,socket=/s");
    assert_int_equal(o.port.ip, 0x0a4d0002);
    assert_int_equal(o.port.mask, 0xffffff00);
    assert_int_equal(o.port.gateway, 0x0a4d00fe);
}

static void options_with_too_many_steps_are_refused(void **state)
{
    struct load_options o;
    char line[256] = "--rate 1";
    (void)state;
    for (int i = 0; i < LOAD_STEPS_MAX; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), ",1");
    assert_int_equal(parse(&o, line), USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(options_of_nothing_are_the_defaults), TEST(options_of_rates_are_steps),
        TEST(options_of_everything_are_taken),     TEST(options_that_make_no_sense_are_refused),
        TEST(options_of_a_port_are_taken),         TEST(options_with_too_many_steps_are_refused),
    };
    return TESTS_RUN(tests);
}
