/*
 * tcp_input_tso_test.c - tcp_input_test.c once more, by way of a device that cuts large packets.
 */
#define PEER_TSO
#include "tcp_input_test.c"
