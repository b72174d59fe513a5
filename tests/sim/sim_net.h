/*
 * sim_net.h - the network between simulated clients and the broker's own TCP.
 *
 * Owner: the simulator.
 *
 * The broker opens it as a port (a port_driver by the seam), so its lanes, engines and connections
 * are the real ones; the clients share one engine of their own. Frames between the two are copied
 * and travel by virtual time; the network loses, doubles, reorders and breaks them. A packet the
 * broker sent stays with the "device" for a while, so memory that is freed at the ACK alone shows.
 * The clients' engine lives through crashes of the broker.
 */
#ifndef MILLRACE_SIM_NET_H
#define MILLRACE_SIM_NET_H

#include "net.h"
#include "port.h"
#include "prng.h"
#include "slice.h"

enum { SIM_NET_PORT = 9092 };
#define SIM_NET_BROKER_IP 0x0a000001u

struct sim_net;

struct sim_net *sim_net_new(uint64_t seed, struct now now);
void sim_net_free(struct sim_net *n);
/* What the broker's dpdk.devargs must be to find it. */
void sim_net_devargs(const struct sim_net *n, char *to, size_t to_n);
extern const struct port_driver sim_net_driver;
/* Time for the devices, before the broker's threads take their turns. */
void sim_net_clock(struct sim_net *n, struct now now);
/* The clients' side of a step. */
void sim_net_turn(struct sim_net *n, struct now now);
struct net *sim_net_clients(struct sim_net *n);
/* A copy of the bytes, freed when the engine lets go of it. */
struct slice sim_net_slice(const uint8_t *p, uint32_t bytes);
/* Frames carried, and lost. */
void sim_net_counts(const struct sim_net *n, uint64_t *frames, uint64_t *lost);

#endif
