// SPDX-License-Identifier: BSD-3-Clause
//
// The grammar of the UAPI; see uapi_parse.h. Main loop thread, or a fuzzer. Keys pass through here and
// are wiped with the parser.
#include "uapi_parse.h"

#include "../../crypto/keys.h"
#include "../addr.h"

#include <sodium.h>

#include <errno.h>
#include <string.h>

enum state {
	IDLE,
	GETTING,
	SETTING_DEVICE,
	SETTING_PEER,
	SKIPPING, // to the end of a request that failed
};

struct uapi_parser {
	const struct uapi_set_ops *ops;
	void *arg;
	enum state state;
	int error;
	struct uapi_peer peer;
};

struct uapi_parser *uapi_parser_new(const struct uapi_set_ops *ops, void *arg)
{
	struct uapi_parser *p = g_new0(struct uapi_parser, 1);

	p->ops = ops;
	p->arg = arg;
	p->peer.allowed = g_array_new(FALSE, FALSE, sizeof(struct uapi_allowed));
	return p;
}

void uapi_parser_free(struct uapi_parser *p)
{
	if (!p)
		return;
	g_array_free(p->peer.allowed, TRUE);
	sodium_memzero(p, sizeof(*p));
	g_free(p);
}

// Digits only.
static bool number_parse(uint32_t *ret, const char *text, uint32_t max)
{
	uint64_t n = 0;

	if (!*text)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		n = n * 10 + (uint64_t)(*text - '0');
		if (n > max)
			return false;
	}
	*ret = (uint32_t)n;
	return true;
}

static void peer_reset(struct uapi_peer *peer)
{
	GArray *allowed = peer->allowed;

	sodium_memzero(peer, sizeof(*peer));
	g_array_set_size(allowed, 0);
	peer->allowed = allowed;
}

// What was gathered of the peer goes out.
static int peer_flush(struct uapi_parser *p)
{
	return p->state == SETTING_PEER ? p->ops->peer(&p->peer, p->arg) : 0;
}

static int peer_start(struct uapi_parser *p, const char *value)
{
	int r = peer_flush(p);

	peer_reset(&p->peer);
	p->state = SETTING_DEVICE;
	if (r)
		return r;
	if (!key_from_hex(p->peer.public_key, value))
		return EINVAL;
	p->state = SETTING_PEER;
	return 0;
}

static int device_line(struct uapi_parser *p, const char *key, const char *value)
{
	uint8_t secret[NOISE_KEY_LEN];
	uint32_t n;
	int r;

	if (!strcmp(key, "private_key")) {
		if (!key_from_hex(secret, value))
			return EINVAL;
		r = p->ops->private_key(secret, p->arg);
		sodium_memzero(secret, sizeof(secret));
		return r;
	}
	if (!strcmp(key, "listen_port"))
		return number_parse(&n, value, UINT16_MAX) ? p->ops->listen_port((uint16_t)n, p->arg)
							   : EINVAL;
	if (!strcmp(key, "fwmark"))
		return number_parse(&n, value, UINT32_MAX) ? p->ops->fwmark(n, p->arg) : EINVAL;
	if (!strcmp(key, "replace_peers"))
		return !strcmp(value, "true") ? p->ops->replace_peers(p->arg) : EINVAL;
	return EINVAL;
}

// 192.0.2.1:51820, [2001:db8::1]:51820 or [fe80::1%eth0]:51820
static bool endpoint_parse(struct uapi_peer *peer, const char *value)
{
	const char *colon = strrchr(value, ':');
	char host[SCOPED_TEXT_MAX];
	size_t len = colon ? (size_t)(colon - value) : 0;
	bool bracket = value[0] == '[';
	uint32_t port;

	if (bracket) {
		if (len < 2 || value[len - 1] != ']')
			return false;
		value++;
		len -= 2;
	}
	if (!len || len >= sizeof(host) || !number_parse(&port, colon + 1, UINT16_MAX))
		return false;
	memcpy(host, value, len);
	host[len] = 0;
	// Brackets are for addresses with colons, and those need them.
	if (bracket != !!strchr(host, ':') ||
		!addr_parse_scoped(&peer->endpoint, peer->endpoint_scope, host))
		return false;
	peer->endpoint_port = (uint16_t)port;
	peer->has_endpoint = true;
	return true;
}

static int allowed_line(struct uapi_parser *p, const char *value)
{
	struct uapi_allowed a = {.remove = value[0] == '-'};
	int r;

	if (!prefix_parse(&a.prefix, NULL, value + a.remove))
		return EINVAL;
	g_array_append_val(p->peer.allowed, a);
	if (p->peer.allowed->len < UAPI_ALLOWED_BATCH)
		return 0;
	r = p->ops->peer(&p->peer, p->arg);
	g_array_set_size(p->peer.allowed, 0);
	p->peer.continued = true;
	p->peer.replace_allowed = false;
	p->peer.has_endpoint = false;
	p->peer.has_keepalive = false;
	p->peer.has_psk = false;
	return r;
}

static int flag_line(bool *flag, const char *value)
{
	*flag = true;
	return strcmp(value, "true") ? EINVAL : 0;
}

static int peer_line(struct uapi_parser *p, const char *key, const char *value)
{
	struct uapi_peer *peer = &p->peer;
	uint32_t n;

	if (!strcmp(key, "remove"))
		return flag_line(&peer->remove, value);
	if (!strcmp(key, "update_only"))
		return flag_line(&peer->update_only, value);
	if (!strcmp(key, "replace_allowed_ips")) {
		// It empties the list; what was named before it in this request goes too.
		g_array_set_size(peer->allowed, 0);
		return flag_line(&peer->replace_allowed, value);
	}
	if (!strcmp(key, "preshared_key")) {
		peer->has_psk = key_from_hex(peer->psk, value);
		return peer->has_psk ? 0 : EINVAL;
	}
	if (!strcmp(key, "endpoint"))
		return endpoint_parse(peer, value) ? 0 : EINVAL;
	if (!strcmp(key, "persistent_keepalive_interval")) {
		if (!number_parse(&n, value, UINT16_MAX))
			return EINVAL;
		peer->keepalive = (uint16_t)n;
		peer->has_keepalive = true;
		return 0;
	}
	if (!strcmp(key, "allowed_ip"))
		return allowed_line(p, value);
	if (!strcmp(key, "protocol_version"))
		return strcmp(value, "1") ? EINVAL : 0;
	return EINVAL;
}

static int set_line(struct uapi_parser *p, const char *line)
{
	const char *equals = strchr(line, '=');
	char key[32];
	size_t len = equals ? (size_t)(equals - line) : 0;

	if (!equals)
		return EPROTO;
	if (len >= sizeof(key))
		return EINVAL;
	memcpy(key, line, len);
	key[len] = 0;
	if (!strcmp(key, "public_key"))
		return peer_start(p, equals + 1);
	if (p->state == SETTING_PEER)
		return peer_line(p, key, equals + 1);
	return device_line(p, key, equals + 1);
}

static enum uapi_result request_end(struct uapi_parser *p, int *ret_errno)
{
	enum state state = p->state;

	if (state == IDLE)
		p->error = EPROTO;
	else if (state == SETTING_PEER)
		p->error = peer_flush(p);
	if (state != IDLE && state != GETTING && p->ops->done)
		p->ops->done(p->arg);
	peer_reset(&p->peer);
	p->state = IDLE;
	*ret_errno = p->error;
	p->error = 0;
	return state == GETTING ? UAPI_GET : UAPI_REPLY;
}

static void fail(struct uapi_parser *p, int error)
{
	p->state = SKIPPING;
	p->error = error;
}

enum uapi_result uapi_parser_line(struct uapi_parser *p, const char *line, int *ret_errno)
{
	int r;

	if (line && !*line)
		return request_end(p, ret_errno);
	if (p->state == SKIPPING)
		return UAPI_MORE;
	if (!line) {
		fail(p, EPROTO);
		return UAPI_MORE;
	}
	switch (p->state) {
	case IDLE:
		if (!strcmp(line, "get=1"))
			p->state = GETTING;
		else if (!strcmp(line, "set=1"))
			p->state = SETTING_DEVICE;
		else
			fail(p, EINVAL);
		break;
	case GETTING:
		fail(p, EINVAL);
		break;
	default:
		r = set_line(p, line);
		if (r)
			fail(p, r);
		break;
	}
	return UAPI_MORE;
}
