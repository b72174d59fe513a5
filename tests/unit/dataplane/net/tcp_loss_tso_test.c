/*
 * tcp_loss_tso_test.c - tcp_loss_test.c once more, all of it, by way of a device that cuts large
 * packets: sending, recovery, timers and the bugs of other stacks look the same on the wire.
 */
#define PEER_TSO
#include "tcp_loss_test.c"
