// SPDX-License-Identifier: BSD-3-Clause
//
// A nominated pair as bytes, for ENDPOINT's control blob, and made of them again by a later straitd. It holds
// passwords: who stores it seals it. Main loop thread.
#include "blob.h"
#include "keep_internal.h"

#include <sodium.h>

#include <errno.h>

#define BLOB_VERSION     1
#define BLOB_CONTROLLING 0x1
#define BLOB_RELAYED     0x2
#define BLOB_HAS_TURN    0x4
#define BLOB_CHANNEL     0x8
#define FIRST_CHECK_MS   1000 // of a restored pair: soon, but not all peers in one moment

struct blob {
	uint8_t version, flags, local_type, remote_type;
	uint16_t local_port_be, remote_port_be, local_candidate_port_be;
	uint16_t server_port_be, base_port_be, relay_port_be, channel;
	uint16_t pad;
	uint32_t rtt_us, socket_id;
	struct st_addr local, remote, local_candidate, server, base, relay;
};

static void blob_fill(struct blob *b, const struct ice_keep *k)
{
	const struct ice_path *p = &k->path;

	*b = (struct blob){
		.version = BLOB_VERSION,
		.flags = (uint8_t)((p->controlling ? BLOB_CONTROLLING : 0) |
				   (p->relayed ? BLOB_RELAYED : 0) |
				   (p->relay.channel_ready ? BLOB_CHANNEL : 0)),
		.local_type = p->local_type,
		.remote_type = p->remote_type,
		.local_port_be = p->local_port_be,
		.remote_port_be = p->remote_port_be,
		.local_candidate_port_be = p->local_candidate_port_be,
		.server_port_be = p->relay.server_port_be,
		.base_port_be = p->relay.base_port_be,
		.relay_port_be = p->relay.port_be,
		.channel = p->relay.channel,
		.rtt_us = p->rtt_us,
		.socket_id = p->relay.socket_id,
		.local = p->local,
		.remote = p->remote,
		.local_candidate = p->local_candidate,
		.server = p->relay.server,
		.base = p->relay.base,
		.relay = p->relay.address,
	};
}

static void blob_path(struct ice_path *p, const struct blob *b)
{
	*p = (struct ice_path){
		.local = b->local,
		.remote = b->remote,
		.local_port_be = b->local_port_be,
		.remote_port_be = b->remote_port_be,
		.local_type = b->local_type,
		.remote_type = b->remote_type,
		.controlling = b->flags & BLOB_CONTROLLING,
		.relayed = b->flags & BLOB_RELAYED,
		.local_candidate = b->local_candidate,
		.local_candidate_port_be = b->local_candidate_port_be,
		.rtt_us = b->rtt_us,
		.relay =
			{
				.server = b->server,
				.base = b->base,
				.address = b->relay,
				.server_port_be = b->server_port_be,
				.base_port_be = b->base_port_be,
				.port_be = b->relay_port_be,
				.channel = b->channel,
				.socket_id = b->socket_id,
				.channel_ready = b->flags & BLOB_CHANNEL,
			},
	};
}

static bool put_text(uint8_t **at, const uint8_t *end, const char *text)
{
	return blob_put(at, end, text, strlen(text));
}

static bool get_text(const uint8_t **at, const uint8_t *end, char out[ICE_CRED_MAX + 1])
{
	size_t len;

	if (!blob_get(at, end, out, ICE_CRED_MAX, &len))
		return false;
	out[len] = 0;
	return true;
}

int ice_keep_blob(const struct ice_keep *k, uint8_t *out, size_t size)
{
	const struct ice_path *p = &k->path;
	uint8_t *at = out + sizeof(struct blob), *end = out + size;
	struct blob b;
	int n;

	if (size < sizeof(b))
		return -ENOSPC;
	blob_fill(&b, k);
	if (!put_text(&at, end, p->ours.ufrag) || !put_text(&at, end, p->ours.pwd) ||
		!put_text(&at, end, p->theirs.ufrag) || !put_text(&at, end, p->theirs.pwd))
		return -ENOSPC;
	if (k->turn) {
		n = turn_client_save(k->turn, at, (size_t)(end - at));
		if (n < 0 && p->relayed)
			return n;
		if (n > 0) {
			b.flags |= BLOB_HAS_TURN;
			at += n;
		}
	}
	memcpy(out, &b, sizeof(b));
	return (int)(at - out);
}

struct ice_keep *ice_keep_from_blob(struct ice *ice, uint32_t peer_id, const uint8_t *blob,
	size_t len, const struct ice_keep_ops *ops, void *arg)
{
	const uint8_t *at = blob + sizeof(struct blob), *end = blob + len;
	struct turn_client *turn = NULL;
	struct ice_path path;
	struct ice_keep *k;
	struct blob b;

	errno = EINVAL;
	if (len < sizeof(b))
		return NULL;
	memcpy(&b, blob, sizeof(b));
	if (b.version != BLOB_VERSION || b.local_type > ICE_RELAY || b.remote_type > ICE_RELAY)
		return NULL;
	blob_path(&path, &b);
	if (!get_text(&at, end, path.ours.ufrag) || !get_text(&at, end, path.ours.pwd) ||
		!get_text(&at, end, path.theirs.ufrag) || !get_text(&at, end, path.theirs.pwd) ||
		!ice_credentials_valid(path.ours.ufrag, path.ours.pwd) ||
		!ice_credentials_valid(path.theirs.ufrag, path.theirs.pwd))
		return NULL;
	if (b.flags & BLOB_HAS_TURN)
		turn = turn_client_restore(ice, peer_id, &path, at, (size_t)(end - at));
	if (path.relayed && !turn)
		return NULL;
	k = keep_begin(ice, peer_id, &path, ops, arg);
	k->turn = turn;
	keep_start(k, ice_now() + randombytes_uniform(FIRST_CHECK_MS));
	return k;
}
