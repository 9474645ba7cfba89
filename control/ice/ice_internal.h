// SPDX-License-Identifier: BSD-3-Clause
//
// What the files of this folder share. Main loop thread. Nobody outside of it and its tests includes this.
#pragma once

#include "../../ice/ice_msg.h"
#include "../addr.h"
#include "../log_pace.h"
#include "../stun/stun.h"
#include "candidate.h"
#include "ice.h"
#include "url.h"

#include <gio/gio.h>

#include <arpa/inet.h>
#include <string.h>

struct ice_link;
struct ice_hosts;
struct stun_client;
struct turn_client;

#define ICE_COUNTERS(X)                                                                            \
	X(stun_received, "STUN messages on the shared port")                                       \
	X(stun_malformed, "lengths, cookie or FINGERPRINT wrong")                                  \
	X(stun_limited, "source sends too much")                                                   \
	X(stun_overlay, "from inside a tunnel of ours")                                            \
	X(stun_unknown_user, "request for nobody here")                                            \
	X(stun_bad_integrity, "request or answer whose MESSAGE-INTEGRITY is wrong")                \
	X(stun_unmatched, "answer to no question of ours")                                         \
	X(stun_spoofed, "answer from another address than was asked")                              \
	X(stun_indications, "indications, which mean nothing to us")                               \
	X(stun_other, "methods that are not for this port")                                        \
	X(stun_cut, "something stood behind FINGERPRINT")                                          \
	X(punches, "two-byte punches of NetBird peers")                                            \
	X(checks_answered, "checks of peers answered under known credentials")                     \
	X(checks_sent, "checks of nominated pairs")                                                \
	X(role_conflicts, "peer had our role")                                                     \
	X(renominations, "the peer moved to another pair")                                         \
	X(remapped, "a NAT gave us another address")                                               \
	X(consent_lost, "nominated pairs that stopped answering")                                  \
	X(agents_started, "attempts begun")                                                        \
	X(agents_nominated, "attempts with a pair")                                                \
	X(agents_failed, "attempts without one")                                                   \
	X(candidates_taken, "remote candidates")                                                   \
	X(candidates_malformed, "remote candidates that cannot be read")                           \
	X(candidates_refused, "names, multicast, loopback, overlay, not UDP")                      \
	X(candidates_repeated, "an address known already")                                         \
	X(candidates_too_many, "beyond what one attempt takes")                                    \
	X(process_starts, "strait-ice started")                                                    \
	X(process_deaths, "strait-ice ended by itself")                                            \
	X(link_dropped, "datagrams that strait-ice had no room for")                               \
	X(agent_refused, "datagrams of an agent that are not allowed")                             \
	X(send_failed, "the kernel refused a datagram")                                            \
	X(transactions_full, "questions that are not remembered")                                  \
	X(turn_sockets, "sockets opened towards TURN servers")                                     \
	X(turn_refused, "TURN server said no")                                                     \
	X(turn_released, "allocations given back")                                                 \
	X(turn_lost, "allocations that ended by themselves")                                       \
	X(ports_refused, "ports of single peers that the data plane did not take")

struct ice_counters {
#define X(name, text) uint64_t name;
	ICE_COUNTERS(X)
#undef X
};

// Whose checks come with a local ufrag.
enum ice_owner_kind {
	ICE_OWNER_AGENT,
	ICE_OWNER_KEEP,
};

struct ice_owner {
	enum ice_owner_kind kind;
	const struct ice_credentials *ours;
};

// A STUN or TURN server with what its name resolved to.
struct ice_known_server {
	struct ice_url url;
	char *text, *username, *password;
	GArray *addrs; // of struct st_addr
	GCancellable *resolving;
	uint64_t resolved_ms; // 0 = never
	char *error;          // of the last attempt, NULL = none
	struct ice *ice;
};

struct ice_mapping {
	struct st_addr external, internal;
	bool any; // without an internal address: of its family
};

struct ice {
	struct ice_env env;
	char *program;
	struct ice_link *link;
	struct stun_client *stun;
	GPtrArray *servers; // of struct ice_known_server *
	GArray *mappings;   // of struct ice_mapping, once interfaces are known
	char **external, **blacklist;
	bool no_v6;
	bool port_per_peer; // wanted
	uint16_t port_be;   // the shared one, as it was when addresses were last looked at
	struct ice_ports *ports;
	GArray *hosts;      // of struct st_addr: our candidates' bases
	GHashTable *agents; // number -> struct ice_agent *
	GHashTable *owners; // ufrag -> struct ice_owner *
	GHashTable *keeps;  // set of struct ice_keep *
	uint32_t next_agent;
	struct ice_transactions *transactions;
	struct ice_limiter *limiter;
	struct ice_wheel *wheel;
	struct ice_counters counters;
	struct log_pace forged;
	double consent_scale, turn_scale; // clocks of the tests: intervals are divided by them
	guint resolver;                   // asks for the servers' names again
};

static inline uint64_t ice_now(void)
{
	return (uint64_t)g_get_monotonic_time() / 1000;
}

static inline void ice_set_addr(struct ice_msg_addr *ret, const struct st_addr *a, uint16_t port_be)
{
	*ret = (struct ice_msg_addr){.port_be = port_be};
	memcpy(ret->addr, a->b, sizeof(ret->addr));
}

static inline struct st_addr ice_get_addr(const struct ice_msg_addr *m)
{
	struct st_addr a;

	memcpy(a.b, m->addr, sizeof(a.b));
	return a;
}

static inline bool ice_same(
	const struct st_addr *a, uint16_t port_a, const struct st_addr *b, uint16_t port_b)
{
	return port_a == port_b && !memcmp(a, b, sizeof(*a));
}

// hosts.c
void ice_hosts_refresh(struct ice *ice); // true addresses of this box, by the settings
bool ice_hosts_have(const GArray *hosts, const struct st_addr *a);
// Mappings as text; 0, or -EINVAL with *ret_error. Interfaces are looked up at each refresh.
int ice_mappings_check(char **texts, char **ret_error);
// What a base is signalled as; false: not at all (it is not in the mapping).
bool ice_hosts_external(const struct ice *ice, const struct st_addr *base, struct st_addr *ret);

// servers.c
void ice_servers_init(struct ice *ice);
void ice_servers_apply(struct ice *ice, const struct ice_settings *s);
void ice_servers_free(struct ice *ice);
bool ice_servers_pending(const struct ice *ice); // a TURN server's name has not been answered yet
void ice_servers_status(const struct ice *ice, struct cJSON *into);

// mux.c
struct ice_transactions *ice_transactions_new(void);
void ice_transactions_free(struct ice_transactions *t);
// Remembers a question for 40 s (RFC 8489's longest wait). agent 0: straitd's own.
void ice_transactions_add(struct ice *ice, const uint8_t tid[STUN_TID_LEN], uint32_t agent,
	const struct st_addr *remote, uint16_t remote_port_be);
struct ice_limiter *ice_limiter_new(void);
void ice_limiter_free(struct ice_limiter *l);
bool ice_owner_add(struct ice *ice, struct ice_owner *o); // false: the ufrag is taken
void ice_owner_remove(struct ice *ice, struct ice_owner *o);
// From the port with that number: a peer's own, else the shared one.
int ice_send(struct ice *ice, uint16_t local_port_be, const struct st_addr *local,
	const struct st_addr *remote, uint16_t remote_port_be, const void *data, size_t len);
uint16_t ice_shared_port(const struct ice *ice);  // network order, 0 = not open
bool ice_port_is_per_peer(const struct ice *ice); // now, by choice or because it must be
// Somebody pretends to be a peer or a server that we asked: counted by the caller, logged here once in a while.
void ice_mux_forged(struct ice *ice, const struct wg_datagram *d, const char *why);
// A STUN message of a peer, from the shared port or out of a relay (then turn is not NULL).
void ice_mux_stun(struct ice *ice, const struct wg_datagram *d, struct turn_client *turn);

// link.c
struct ice_link *ice_link_new(struct ice *ice);
void ice_link_free(struct ice_link *l);
bool ice_link_start(struct ice_link *l); // false: it cannot be started now
// False: the process is not there.
bool ice_link_tell(struct ice_link *l, uint32_t agent, const void *msg, size_t len);
void ice_link_datagram(struct ice_link *l, uint32_t agent, const struct st_addr *local,
	uint16_t local_port_be, const struct st_addr *remote, uint16_t remote_port_be,
	const uint8_t *data, size_t len);
bool ice_link_up(const struct ice_link *l); // started and its self-test passed, or not yet known
pid_t ice_link_pid(const struct ice_link *l);
// Why each peer must have a port of its own; NULL: it need not.
const char *ice_link_needs_ports(const struct ice_link *l);
void ice_link_hosts_changed(struct ice_link *l);

// agent.c, agent_*.c
void ice_agent_message(struct ice *ice, const struct ice_msg *msg, size_t len);
void ice_agents_destroy(struct ice *ice);
void ice_agents_lost(struct ice *ice, const char *why); // strait-ice is gone
// The peer's own port cannot be used: its attempts end.
void ice_agents_no_port(struct ice *ice, uint32_t peer_id, const char *why);
void ice_agents_reflexive(struct ice *ice); // stun_client learnt something
void ice_agents_hosts_changed(struct ice *ice);
void ice_agent_stun(struct ice_owner *o, const struct wg_datagram *d, const struct stun_msg *m,
	struct turn_client *turn);
// An answer to a check of this agent; success: it says that the pair works.
void ice_agent_answer(struct ice *ice, uint32_t agent, const struct wg_datagram *d, bool success,
	uint32_t rtt_us);
// An answer to a check that came by the allocation at that server. True: libnice gets it later, see relay_wait.h.
bool ice_agent_hold(struct ice *ice, uint32_t agent, const struct st_addr *base,
	const struct st_addr *token, uint16_t port_be, const uint8_t *data, size_t len);
// The allocation of that relay, taken from the attempt with these credentials; NULL: there is none.
struct turn_client *ice_agent_relay(
	struct ice *ice, const struct ice_credentials *ours, const struct ice_relay *relay);

// stun_client.c
struct ice_reflexive {
	struct st_addr mapped, base;
	uint16_t mapped_port_be;
};

struct stun_client *stun_client_new(struct ice *ice, uint16_t port_be); // 0: the shared port
void stun_client_free(struct stun_client *s);
// Asks what is not known freshly. Answers go to ice_agents_reflexive.
void stun_client_ask(struct stun_client *s);
void stun_client_forget(struct stun_client *s); // addresses, servers or port changed: its answers
// Known ones; at most max.
unsigned int stun_client_get(
	const struct stun_client *s, struct ice_reflexive *out, unsigned int max);
bool stun_client_answer(struct stun_client *s, const struct wg_datagram *d, const struct stun_msg *m);
