// SPDX-License-Identifier: BSD-3-Clause
//
// ICE (RFC 8445) for the peers of one WireGuard interface, over its one UDP port. Attempts run on libnice in
// the process strait-ice; straitd owns every socket, moves the datagrams, asks STUN servers, and keeps
// nominated pairs alive itself. Main loop thread only. Ops are called from the main loop and from inside
// ice_receive and ice_keep_activity, never from inside another call; an op may free what called it.
#pragma once

#include "../../dataplane/api/st_api.h"
#include "../wg/wg_socket.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;
struct dp;
struct ice;

// ---- settings ------------------------------------------------------------------------------------------

struct ice_server {
	char *url; // stun:, stuns:, turn:, turns: (RFC 7064, RFC 7065)
	char *username;
	char *password; // turn and turns need both
};

// The caller's; ice_apply copies.
struct ice_settings {
	const struct ice_server *servers;
	unsigned int nb_servers;
	char **nat_external_ips;    // "external[/internal address or interface]", NULL = none
	char **interface_blacklist; // prefixes of interface names, NULL = ICE_DEFAULT_BLACKLIST
	bool disable_ipv6_discovery;
	bool port_per_peer; // each peer has a UDP port of its own, instead of all sharing the interface's
};

#define ICE_MAX_SERVERS 16
#define ICE_DEFAULT_BLACKLIST                                                                      \
	"wt0", "wt", "utun", "tun0", "zt", "ZeroTier", "wg", "ts", "Tailscale", "tailscale",       \
		"docker", "veth", "br-", "lo"

// What a configuration file can get wrong: URLs, mappings, missing passwords. 0, or -EINVAL with
// *ret_error (g_free), a sentence that names the value and what is allowed.
int ice_settings_check(const struct ice_settings *s, char **ret_error);

// What the interface lends. Functions are called with arg.
struct ice_env {
	struct dp *dp; // for the port map and parked sockets of TURN clients; NULL in tests
	char name[ST_NAME_MAX];
	// From the shared port; local all zero: the kernel's choice of address. 0 or -errno.
	int (*send)(const struct st_addr *local, const struct st_addr *remote,
		uint16_t remote_port_be, const void *data, size_t len, void *arg);
	uint16_t (*port)(void *arg); // of the shared sockets, 0 = not open
	uint32_t (*fwmark)(void *arg);
	// Inside one of our tunnels: no candidate, and no STUN from there.
	bool (*overlay_address)(const struct st_addr *a, void *arg);
	bool (*overlay_device)(const char *name, void *arg);
	// A relayed address of this box that is signalled as the NAT in front calls it: made the one inside.
	void (*inside)(struct st_addr *addr, uint16_t port_be, void *arg);
	// What came through a TURN server and is no STUN: WireGuard's handshakes, and data that no lcore
	// took. d->remote is the peer as the TURN server sees it, d->local our end of the allocation. And all that
	// comes to a port of the peer's own (d->local_port_be), of which ice_receive gets what is not
	// WireGuard's.
	void (*wireguard)(uint32_t peer_id, const struct wg_datagram *d, void *arg);
	// A parked socket of an earlier straitd, or -1. The caller owns it from then on.
	int (*take_socket)(uint32_t socket_id, void *arg);
	void *arg;
};

// Starts no process yet: strait-ice begins with the first attempt. program: NULL = beside straitd's own
// binary, else /usr/libexec.
struct ice *ice_new(const struct ice_env *env, const char *program);
// This end only: TURN allocations of kept pairs go on, parked sockets stay parked.
void ice_free(struct ice *ice);
// Attempts under way gather again when it matters to them. Settings were checked.
void ice_apply(struct ice *ice, const struct ice_settings *s);
enum ice_hosts_change {
	ICE_HOSTS_SAME,
	ICE_HOSTS_MORE, // there are new ones
	ICE_HOSTS_GONE, // some of what we offered is not ours any more
};
// Addresses or links changed, or the port did: attempts begin anew when what we offer is different now. Pairs from the
// old port go on from the new one (`renominated`).
enum ice_hosts_change ice_addresses_changed(struct ice *ice);
// The network may be another: what STUN servers said of us is asked for again with the next attempt.
void ice_network_doubt(struct ice *ice);
// The data plane is there, or there again: TURN sockets are parked in it.
void ice_dp_connected(struct ice *ice);
// A datagram from the shared port that is no WireGuard message (HEAD test: ice_is_wireguard). True: it was
// STUN or the punch of a NetBird peer, and is done with.
bool ice_receive(struct ice *ice, const struct wg_datagram *d);
// len >= 32 and LE32 type 1..4: WireGuard, whatever stands where STUN has its cookie.
bool ice_is_wireguard(const uint8_t *data, size_t len);
void ice_status(struct ice *ice, struct cJSON *into); // object "ice": process, servers, counters
// The socket of a peer's own port, -1: it is none.
int ice_port_fd(const struct ice *ice, uint16_t port_be, enum wg_family family);
// The port that the peer had before a restart, if it had one; before ice_keep_from_blob.
void ice_peer_recover(struct ice *ice, uint32_t peer_id);
void ice_peer_gone(struct ice *ice, uint32_t peer_id); // its port is closed

// ---- attempts ------------------------------------------------------------------------------------------

// Without the NUL: RFC 8445 allows 256 ice-chars each; ours have 16 and 32 letters, as NetBird's.
#define ICE_CRED_MAX 256

struct ice_credentials {
	char ufrag[ICE_CRED_MAX + 1];
	char pwd[ICE_CRED_MAX + 1];
};

enum ice_type {
	ICE_HOST,
	ICE_SRFLX,
	ICE_PRFLX,
	ICE_RELAY,
};

const char *ice_type_name(enum ice_type type); // "host", ...

enum ice_transport {
	ICE_UDP,
	ICE_TCP,
	ICE_TLS,
};

// Our allocation at a TURN server, when our candidate is a relay.
struct ice_relay {
	struct st_addr server, base, address; // base: our end of the 5-tuple; address: the relayed one
	uint16_t server_port_be, base_port_be, port_be;
	uint16_t channel;   // to the remote, 0 = not bound yet
	uint32_t socket_id; // parked in the data plane under this
	uint8_t transport;  // enum ice_transport. Not UDP: ENDPOINT kind control, ice_keep_send
	bool channel_ready; // the server confirmed it
};

// A nominated pair: all that is needed to send on it and to keep it alive.
struct ice_path {
	struct st_addr local, remote; // local: the base, a host address of ours. remote: the peer's
	uint16_t local_port_be, remote_port_be;
	uint8_t local_type, remote_type; // enum ice_type
	bool controlling;
	bool relayed; // our candidate is a relay: WireGuard goes to relay.server, `local` is relay.base
	struct st_addr local_candidate; // as the peer sees us, for people
	uint16_t local_candidate_port_be;
	uint32_t rtt_us; // 0 = not measured
	struct ice_relay relay;
	struct ice_credentials ours, theirs;
};

struct ice_agent;

struct ice_agent_ops {
	// NetBird's form, without "candidate:", to be signalled.
	void (*candidate)(const char *candidate, void *arg);
	// The first nomination and each later one, until the agent is freed.
	void (*nominated)(const struct ice_path *path, void *arg);
	// No pair works, time is over, or strait-ice died. Once, and nothing after it.
	void (*failed)(const char *why, void *arg);
};

struct ice_attempt {
	uint32_t peer_id;
	bool controlling;
	bool relay_only; // none of our candidates but relays: a way that lasts when the direct one breaks
	// NULL: new ones. The same again when the peer began anew while we were connecting: what we signalled
	// stays true, so that two sides which both begin anew do not chase each other.
	const struct ice_credentials *ours;
};

// Local credentials exist at once; nothing is gathered before ice_agent_remote. Two agents never have the
// same credentials at the same time.
struct ice_agent *ice_agent_new(struct ice *ice, const struct ice_attempt *attempt,
	const struct ice_agent_ops *ops, void *arg);
const struct ice_credentials *ice_agent_local(const struct ice_agent *a);
// 0, or -EINVAL: not ice-chars or of wrong length.
int ice_agent_remote(struct ice_agent *a, const char *ufrag, const char *pwd);
// May come before the credentials. 0; -EINVAL grammar, -EMSGSIZE too long, -EADDRNOTAVAIL an address that
// is never tried (mDNS name, multicast, loopback, unspecified), -EHOSTUNREACH one inside our tunnels,
// -EALREADY known, -ENOSPC more than ICE_MAX_REMOTE. Each is counted.
int ice_agent_candidate(struct ice_agent *a, const char *candidate);
// No op comes after it. TURN allocations that no ice_keep took are given back.
void ice_agent_free(struct ice_agent *a);

// libnice takes 25, peer-reflexive ones included; others of the peer are found by its own checks.
#define ICE_MAX_REMOTE 20

// For `straitctl peer NAME candidates`: arrays "local" and "remote" of NetBird's form.
void ice_agent_status(const struct ice_agent *a, struct cJSON *into);

// ---- nominated pairs -----------------------------------------------------------------------------------

struct ice_keep;

struct ice_keep_ops {
	// Consent ran out (RFC 7675): nothing was answered. The keep goes on asking, and answers.
	// Where data flows one way only it comes within 2 s, else after 30 s.
	void (*lost)(const char *why, void *arg);
	// The pair works again after `lost`.
	void (*regained)(void *arg);
	// The peer nominated another pair, or was followed to one that works while this one did not; or a channel
	// was bound on this one. It works, as after `regained`.
	void (*renominated)(const struct ice_path *path, void *arg);
	void (*rtt)(uint32_t us, void *arg); // may be NULL
	// The network between us and the peer may be another: the pair did not answer for a second, or
	// (remapped) a NAT gave us another address; the peer was told if we control. May be NULL.
	void (*doubt)(bool remapped, void *arg);
};

// From a nomination, while its agent still lives (a relay is taken over from it), or from a blob.
struct ice_keep *ice_keep_new(struct ice *ice, uint32_t peer_id, const struct ice_path *path,
	const struct ice_keep_ops *ops, void *arg);
// What the lcores saw of this peer (ST_EV_PEER_ACTIVITY).
void ice_keep_activity(struct ice_keep *k, const struct st_activity *a);
// The owner sends by another pair: as after `lost`, `regained` tells when this one works again. It is asked at the
// quick pace, as long as data goes out (ice_keep_activity).
void ice_keep_give_up(struct ice_keep *k);
// A WireGuard message through our relay: ChannelData, or a Send indication while no channel is bound.
// 0 or -errno (-EOPNOTSUPP: not relayed).
int ice_keep_send(struct ice_keep *k, const void *data, size_t len);
const struct ice_path *ice_keep_path(const struct ice_keep *k);
// After `lost` or ice_keep_give_up, until an answer comes.
bool ice_keep_is_lost(const struct ice_keep *k);
// Ms since an answer or an authentic check of the peer; UINT32_MAX = never.
uint32_t ice_keep_heard_ms(const struct ice_keep *k);
// Gives the allocation back; ice_free does not.
void ice_keep_free(struct ice_keep *k);

// For ENDPOINT's control blob. It holds passwords: the caller seals it. The length, or -ENOSPC.
#define ICE_PATH_BLOB_MAX 880
int ice_keep_blob(const struct ice_keep *k, uint8_t *out, size_t size);
// After a restart of straitd. NULL with errno: EINVAL no such blob, ENOENT its TURN socket is gone.
struct ice_keep *ice_keep_from_blob(struct ice *ice, uint32_t peer_id, const uint8_t *blob,
	size_t len, const struct ice_keep_ops *ops, void *arg);
