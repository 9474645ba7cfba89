// SPDX-License-Identifier: BSD-3-Clause
//
// What the wg_*.c and peer*.c files share: the set of interfaces and one interface. Main loop thread.
// Nobody outside of them and their tests includes this.
#pragma once

#include "../../crypto/cookie.h"
#include "../../crypto/noise.h"
#include "handshake.h"
#include "peer.h"
#include "timers.h"
#include "wg.h"
#include "wg_index.h"
#include "wg_socket.h"

#include <glib.h>

#include <stdbool.h>
#include <stdint.h>

struct conn_iface;
struct ratelimiter;
struct config;
struct overlay;
struct seal;
struct stamps;
struct uapi;
struct wg_early;
struct wg_pmtu;
struct wg_recovered;

#define WG_MAX_ADDRESSES 256 // of this box, in the port map
#define WG_MAX_ALLOWED   (1U << 20)

// What happened to handshake messages and to what else came to the sockets.
#define WG_COUNTERS(X)                                                                             \
	X(received, "handshake messages")                                                          \
	X(malformed, "unknown type or wrong length")                                               \
	X(invalid_mac, "mac1 does not verify: not meant for us")                                   \
	X(no_key, "interface without a private key")                                               \
	X(rate_limited, "under load, source sends too much")                                       \
	X(cookies_sent, "under load, source has to prove its address")                             \
	X(cookies_received, "and we had to")                                                       \
	X(cookies_refused, "cookie reply that answers nothing of ours")                            \
	X(queue_full, "4096 messages wait for workers")                                            \
	X(unauthenticated, "does not decrypt")                                                     \
	X(unknown_peer, "decrypts, nobody we know")                                                \
	X(replayed, "initiation with an old timestamp")                                            \
	X(flooding, "initiations closer than 20 ms")                                               \
	X(unknown_index, "response to no handshake of ours")                                       \
	X(no_dataplane, "nobody there to carry the session")                                       \
	X(install_failed, "the data plane refused the session")                                    \
	X(initiations_sent, "initiations sent")                                                    \
	X(responses_sent, "responses sent")                                                        \
	X(sessions_initiated, "sessions that we began")                                            \
	X(sessions_answered, "sessions that a peer began")                                         \
	X(send_failed, "the kernel refused a datagram")                                            \
	X(data_passed_down, "data packets from devices that are not ours")                         \
	X(data_dropped, "data packets that an lcore should have taken, or too many")               \
	X(data_sent, "for endpoints behind devices that are not ours")

struct wg_counters {
#define X(name, text) uint64_t name;
	WG_COUNTERS(X)
#undef X
};

// Token bucket for packets that straitd carries itself.
struct wg_bucket {
	uint64_t tokens_us;
	uint64_t last_us;
};

struct wg {
	struct dp *dp;
	struct netlink *nl;
	char *uapi_dir;
	GPtrArray *ifaces;   // of struct wg_iface *
	struct peer **peers; // ST_MAX_PEERS, by id
	uint32_t nb_peers;
	uint32_t next_id; // the first that nobody ever had
	uint32_t ids_end; // no peer has this id or a greater one
	GQueue free_ids;  // see peer_ids.c
	uint64_t next_serial;
	unsigned int nb_allowed;
	struct wg_index *index;
	struct timers_params params;
	struct timers_heap heap;
	GSource *timer;
	struct handshake_pool *pool;
	struct ratelimiter *limiter;
	struct stamps *stamps;
	struct wg_pmtu *pmtu;
	struct seal *seal;       // NULL: the run directory cannot be used
	struct overlay *overlay; // what wg(8) changed
	const struct config *file; // as applied, without the overlay; the daemon's. NULL: none is whole
	bool overlay_misfit;       // it is applied without the overlay
	guint housekeeping;        // once a second
	uint64_t under_load_until;
	uint64_t asleep_ms; // suspended since boot, as of the last look
	struct wg_counters counters;
	// NULL: this box relays nothing.
	bool (*is_own_relay)(const struct st_addr *addr, uint16_t port_be, void *arg);
	void (*inside)(struct st_addr *addr, uint16_t port_be, void *arg); // see turn_inside
	void *own_relay_arg;
	struct wg_bucket down; // PACKET_OUT
	GArray *addrs;         // of struct st_addr_key: of this box
	guint refresh;         // idle source that asks for all paths again
	uint32_t refresh_at;
	struct wg_recovered *recovered; // what the data plane had, until the config has taken it
	bool dp_seen;                   // connected at least once
	bool recovery_done;             // and told what it had
	bool applied;                   // a configuration was
	bool dumping_stats;
	uint64_t stats_at;
};

struct wg_port {
	int fd; // -1 = closed
	guint source;
	bool parked;
};

struct wg_iface {
	struct wg *wg;
	char name[ST_NAME_MAX];
	uint32_t if_id;
	uint64_t serial;
	struct handshake_identity *identity; // NULL = no private key
	uint64_t identity_serial;            // changes with the key
	uint8_t public_key[NOISE_KEY_LEN];
	uint8_t file_public_key[NOISE_KEY_LEN]; // as the configuration file has it
	struct cookie_checker checker;
	uint16_t port;        // 0 = closed
	uint16_t wanted_port; // 0 = random
	uint32_t fwmark;
	uint16_t mtu;
	bool mss_clamp;
	bool port_pending; // the port was taken, try again
	struct wg_port sockets[WG_FAMILIES];
	GHashTable *peers; // public key -> struct peer *
	GQueue peer_list;
	GHashTable *allowed;    // struct st_prefix -> struct allowed_ip *
	GHashTable *portmaps;   // set of struct st_portmap_key
	struct wg_early *early; // data that came before them
	struct uapi *uapi;
	struct conn_iface *conns; // of peers found by ICE; NULL = none
};

// wg.c
uint64_t wg_now(void);    // ms, runs during suspend
int64_t wg_wall_us(void); // wall clock
void wg_timer_rearm(struct wg *wg);
void wg_note_asleep(struct wg *wg, uint64_t asleep_ms); // suspended since boot, now
struct wg_iface *wg_iface_find(struct wg *wg, const char *name);

// wg_dp.c
void wg_recovery_end(struct wg *wg); // what is configured has taken its share of wg->recovered

// wg_stats.c
void wg_stats_refresh(struct wg *wg, void (*done)(void *arg), void *arg); // done may be NULL
void wg_reconcile(struct wg *wg); // events were lost: ask the data plane

// wg_iface.c
struct wg_iface *wg_iface_new(struct wg *wg, const char *name, uint32_t if_id);
void wg_iface_free(struct wg_iface *i);    // with its objects
void wg_iface_release(struct wg_iface *i); // without: this process ends, the data plane goes on
void wg_iface_set_key(struct wg_iface *i, const uint8_t private_key[NOISE_KEY_LEN]);
int wg_iface_set_port(struct wg_iface *i, uint16_t port); // 0 or -errno, then the old one stays
int wg_iface_set_fwmark(struct wg_iface *i, uint32_t fwmark);
void wg_iface_set_mtu(struct wg_iface *i, uint16_t mtu, bool mss_clamp);
void wg_iface_install(struct wg_iface *i); // WGIF
void wg_iface_park(struct wg_iface *i, bool again);
void wg_iface_portmap(struct wg_iface *i); // after addresses or the port changed
struct peer *wg_iface_peer(struct wg_iface *i, const uint8_t public_key[NOISE_KEY_LEN]);
void wg_iface_env(struct wg_iface *i, struct endpoint_env *ret);
void wg_iface_refresh_endpoints(struct wg_iface *i);
// A datagram from that port of ours, 0 = the interface's; local all zero = the kernel's choice. 0 or -errno.
int wg_iface_send_to(struct wg_iface *i, uint16_t local_port_be, const struct wg_to *to,
	const void *data, size_t len);
// To where the peer is, from the address it talks to; handshake messages and what else we send.
void wg_iface_send(struct wg_iface *i, struct peer *p, uint8_t tos, const void *data, size_t len);
// To send from that port of ours, 0 = the interface's; -1: no such family.
int wg_iface_socket(const struct wg_iface *i, uint16_t local_port_be, const struct st_addr *remote);

// wg_receive.c
void wg_receive(const struct wg_datagram *d, void *iface);
void wg_job_done(struct handshake_job *job, void *wg);
void wg_packet_in(struct wg *wg, const struct st_packet_io *io, const void *data, uint16_t len);
bool wg_bucket_take(struct wg_bucket *b, uint64_t now_us);

// wg_recover.c
struct wg_recovered *wg_recovered_new(void);
void wg_recovered_free(struct wg_recovered *r); // closes what was not taken
void wg_recovered_add(struct wg_recovered *r, const struct dp_item *item);
bool wg_recovered_has_id(const struct wg_recovered *r, uint32_t peer_id);
// The peer id that this peer had, or ST_NO_PEER.
uint32_t wg_recovered_peer_id(
	const struct wg_recovered *r, uint32_t if_id, const uint8_t public_key[NOISE_KEY_LEN]);
void wg_recover_peer(struct peer *p);     // blob and sessions; its id is the one of old
bool wg_recover_endpoint(struct peer *p); // after it was configured; true: it has the old one
int wg_recover_socket(struct wg_iface *i, enum wg_family family, uint16_t port); // fd or -1
// The ENDPOINT that ICE had given it in that slot. The blob lives as long as wg->recovered.
bool wg_recover_pinned(struct peer *p, uint32_t slot, struct st_endpoint *ret_body,
	const uint8_t **ret_blob, uint16_t *ret_len);
int wg_recover_take_socket(struct wg *wg, uint32_t socket_id); // any other; fd or -1
void wg_recover_unpark(struct wg *wg);                         // sockets nobody took
void wg_recover_free_ids(struct wg *wg);                       // peer ids likewise

// wg_pmtu.c
struct wg_pmtu *wg_pmtu_new(struct wg *wg);
void wg_pmtu_free(struct wg_pmtu *m);
// From where to where a datagram of ours went.
struct wg_tuple {
	struct st_addr local, remote;
	uint16_t local_port_be, remote_port_be;
};
_Static_assert(sizeof(struct wg_tuple) == 36, "no padding");
// A router says that this datagram was too big for its way.
void wg_pmtu_told(struct wg_pmtu *m, const struct wg_tuple *quoted);
// What raw sockets give: which datagram is quoted. False: it is about nothing of UDP's.
bool wg_pmtu_parse4(const uint8_t *p, size_t len, struct wg_tuple *ret);
bool wg_pmtu_parse6(const uint8_t *p, size_t len, struct wg_tuple *ret);

// wg_early.c
struct wg_early *wg_early_new(struct wg_iface *i);
void wg_early_free(struct wg_early *e);
void wg_early_portmap(
	struct wg_early *e, const struct st_portmap *body); // PORTMAP, and waits for its answer
// Data of a device of ours. False: the port map is in, or too much waits.
bool wg_early_take(struct wg_early *e, const struct st_packet_io *io, const void *data, uint16_t len);
bool wg_early_just_ready(
	const struct wg_early *e); // the map came so late that such data may still arrive

// wg_apply.c
int wg_apply_file(struct wg *wg, const struct config *c, char **ret_error); // without the overlay

// wg_overlay.c
void wg_overlay_note(struct wg *wg); // after changes: how it differs from the file now
const char *wg_overlay_source(const struct peer *p); // a constant for people

// wg_uapi.c
int wg_uapi_open(struct wg_iface *i); // 0 or -errno
void wg_uapi_close(struct wg_iface *i);
