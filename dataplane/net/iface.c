/*
 * iface.c - Ethernet II out. What comes in is sorted in net_input.
 *
 * Owner: worker. Frames carry no tag; a port that needs one inserts it. They are padded to 60 bytes
 * by whoever transmits.
 */
#include "net_inside.h"

void eth_output(struct net *net, struct pkt *pkt, const uint8_t mac[6], uint16_t type)
{
    check(pkt->data - pkt->room >= ETH_BYTES);
    pkt->data -= ETH_BYTES;
    pkt->n += ETH_BYTES;
    memcpy(pkt->data, mac, 6);
    memcpy(pkt->data + 6, net->config.mac, 6);
    store_u16(pkt->data + 12, type);
    pkt_queue_append(&net->out, pkt);
}
