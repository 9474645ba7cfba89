// SPDX-License-Identifier: BSD-3-Clause
//
// What the files of the TURN client share: one allocation. Main loop thread. Nobody else includes this.
#pragma once

#include "turn_client.h"
#include "turn_socket.h"

#define TURN_MAX_CHANNELS 32  // of one allocation; more peers get Send indications and a permission
#define TURN_MAX_PENDING  32  // requests of libnice that are watched
#define TURN_TEXT_MAX     764 // RFC 8489 14.9, 14.10: 763 bytes

// A channel and whose it is (RFC 8656 12).
struct turn_binding {
	struct st_addr peer;
	uint16_t port_be, number;
	bool confirmed;
	uint64_t until; // ms; then it may be gone, and five minutes later it is nobody's
};

// A request of libnice that is not answered yet.
struct turn_pending {
	uint8_t tid[STUN_TID_LEN];
	uint16_t method, number; // number: of a ChannelBind
	struct st_addr peer;
	uint16_t port_be;
};

// A request of our own that is repeated until it is answered.
struct turn_errand {
	uint8_t tid[STUN_TID_LEN];
	unsigned int tries; // 0 = none under way
	uint64_t due;       // of the next try, or of the next time
};

struct turn_client {
	struct turn_client_params p;
	char *host, *username, *password;
	struct turn_socket *socket;
	uint32_t socket_id;
	bool parked, mapped_port, ended;

	struct st_addr relayed, mapped;
	uint16_t relayed_port_be, mapped_port_be;
	bool allocated, adopted;
	uint32_t lifetime_s;
	uint8_t key[STUN_KEY_LEN];
	bool has_key;
	char realm[TURN_TEXT_MAX], nonce[TURN_TEXT_MAX];
	uint16_t realm_len, nonce_len;

	struct turn_binding channels[TURN_MAX_CHANNELS];
	unsigned int nb_channels;
	struct turn_pending pending[TURN_MAX_PENDING]; // ring
	unsigned int next_pending;

	struct st_addr peer;
	uint16_t peer_port_be;
	struct turn_errand refresh, bind;
	const struct turn_client_ops *ops;
	void *arg;
};

static inline uint64_t turn_scaled(const struct turn_client *t, uint64_t ms)
{
	return (uint64_t)((double)ms / t->p.ice->turn_scale);
}

// turn_client.c
struct turn_client *turn_client_alloc(const struct turn_client_params *p);
void turn_client_destroy(struct turn_client *t);

// turn_channel.c
struct turn_binding *turn_channel_to(
	const struct turn_client *t, const struct st_addr *peer, uint16_t port);
const struct turn_binding *turn_channel_numbered(const struct turn_client *t, uint16_t number);
// The one that is there, or a new one that is not confirmed; NULL: there are too many.
struct turn_binding *turn_channel_add(
	struct turn_client *t, const struct st_addr *peer, uint16_t port_be, uint16_t number);
void turn_channel_confirm(const struct turn_client *t, struct turn_binding *b);
bool turn_channel_ready(const struct turn_binding *b); // NULL: no
uint16_t turn_channel_free_number(const struct turn_client *t);

// turn_watch.c
void turn_take_challenge(struct turn_client *t, const struct stun_msg *m); // realm, nonce, key
// p: the request, where it was libnice's.
void turn_watch_success(
	struct turn_client *t, const struct stun_msg *m, const struct turn_pending *p);
const struct turn_pending *turn_pending_find(const struct turn_client *t, const uint8_t *tid);

// turn_refresh.c
void turn_lost(struct turn_client *t, const char *why);
// An answer to a request of straitd itself. False: it is none.
bool turn_own_answer(struct turn_client *t, const struct stun_msg *m);
void turn_send_refresh(struct turn_client *t, uint32_t lifetime);
void turn_refresh_later(struct turn_client *t, uint64_t now);
void turn_errand_begin(struct turn_errand *e, uint64_t now);

// turn_data.c
extern const struct turn_socket_ops turn_client_socket_ops;
