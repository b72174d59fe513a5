/*
 * fuzz_config.c - server.properties of any bytes: read or refused, and what was taken can be shown
 * and checked.
 *
 * Owner: the fuzzer.
 */
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "config.h"
#include "config_props.h"
#include "fuzz.h"

static void take_all(struct config *config, char *text, size_t n, FILE *sink)
{
    struct props props;
    char *key, *value, assignment[512];
    props_init(&props, text, n);
    int e;
    while ((e = props_next(&props, &key, &value)) == 0) {
        check(key >= text && value >= key && value + strlen(value) <= text + n);
        check(props.line_key >= 1 && props.line_key <= props.line);
        snprintf(assignment, sizeof assignment, "%s=%s", key, value);
        (void)!config_override(config, assignment, sink);
    }
    check(e == E_EOF || e == E_MALFORMED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct config *config;
    FILE *sink = fopen("/dev/null", "w");
    char *text = malloc(n + 1);
    if (sink == NULL || text == NULL || config_new(&config) < 0)
        abort();
    if (n > 0)
        memcpy(text, data, n);
    take_all(config, text, n, sink);
    (void)!config_check(config, sink);
    config_report(config, sink);
    config_free(config);
    free(text);
    fclose(sink);
    return 0;
}
