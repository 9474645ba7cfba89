// SPDX-License-Identifier: BSD-3-Clause
//
// An allocation as bytes for a control blob, and taken up again by a later straitd with its parked socket. Main
// loop thread.
#include "blob.h"
#include "turn_client_internal.h"

#include <errno.h>

#define SAVED_VERSION 1

// The nonce is not worth its bytes: the server gives a new one with 438. The password is not needed, as the
// key made of it is what counts until the realm changes.
int turn_client_save(const struct turn_client *t, uint8_t *out, size_t size)
{
	uint8_t *at = out;
	const uint8_t *end = out + size;
	uint32_t lifetime = t->lifetime_s;

	if (!t->has_key || size < 1 || turn_socket_fd(t->socket) < 0)
		return -ENOSPC;
	*at++ = SAVED_VERSION;
	if (!blob_put(&at, end, t->key, sizeof(t->key)) ||
		!blob_put(&at, end, &lifetime, sizeof(lifetime)) ||
		!blob_put(&at, end, t->username, strlen(t->username)) ||
		!blob_put(&at, end, t->realm, t->realm_len))
		return -ENOSPC;
	return (int)(at - out);
}

// What turn_client_save wrote; false: it did not.
static bool read_saved(struct turn_client *t, const uint8_t *saved, size_t len)
{
	const uint8_t *at = saved + 1, *end = saved + len;
	char username[UINT8_MAX + 1] = "";
	size_t key, lifetime, user, realm;

	if (len < 1 || saved[0] != SAVED_VERSION ||
		!blob_get(&at, end, t->key, sizeof(t->key), &key) || key != sizeof(t->key) ||
		!blob_get(&at, end, &t->lifetime_s, sizeof(t->lifetime_s), &lifetime) ||
		!blob_get(&at, end, username, UINT8_MAX, &user) ||
		!blob_get(&at, end, t->realm, UINT8_MAX, &realm))
		return false;
	g_free(t->username);
	t->username = g_strdup(username);
	t->p.username = t->username;
	t->realm_len = (uint16_t)realm;
	t->has_key = true;
	return true;
}

static struct turn_client *refuse(struct turn_client *t, int error)
{
	turn_client_destroy(t);
	errno = error;
	return NULL;
}

struct turn_client *turn_client_restore(struct ice *ice, uint32_t peer_id,
	const struct ice_path *path, const uint8_t *saved, size_t len)
{
	const struct ice_relay *relay = &path->relay;
	struct turn_client *t = turn_client_alloc(&(struct turn_client_params){
		.ice = ice,
		.peer_id = peer_id,
		.base = relay->base,
		.token = relay->server,
		.server = relay->server,
		.port_be = relay->server_port_be,
	});
	int fd;

	if (!read_saved(t, saved, len))
		return refuse(t, EINVAL);
	fd = ice->env.take_socket ? ice->env.take_socket(relay->socket_id, ice->env.arg) : -1;
	if (fd < 0)
		return refuse(t, ENOENT);
	t->allocated = true;
	t->relayed = relay->address;
	t->relayed_port_be = relay->port_be;
	t->socket_id = relay->socket_id;
	t->parked = true;
	t->socket = turn_socket_from_fd(fd, &turn_client_socket_ops, t);
	if (relay->channel_ready)
		turn_channel_confirm(t,
			turn_channel_add(t, &path->remote, path->remote_port_be, relay->channel));
	return t;
}
