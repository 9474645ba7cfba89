// SPDX-License-Identifier: BSD-3-Clause
//
// Endpoints of peers; see endpoint.h. Main loop thread. netlink_path_get is one question to the kernel
// and does not wait for the network.
#include "endpoint.h"

#include "../addr.h"
#include "../dp/dp.h"
#include "../host/netlink.h"

#include <gio/gio.h>
#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>

#define RETRY_FIRST_S 2
#define RETRY_MAX_S   64
#define MTU_DEFAULT   1500
#define BLOB_VERSION  1
#define BLOB_ROAMED   0x1
#define BLOB_PINNED   0x2
#define BLOB_SCOPED   0x4 // the interface's name follows, ST_NAME_MAX bytes

// Control blob of an ENDPOINT.
struct endpoint_blob {
	uint16_t version;
	uint16_t flags;
	uint8_t configured[16]; // hash of host and port; a changed config beats what was learnt
};

void endpoint_init(struct endpoint *e, endpoint_resolved resolved, void *arg)
{
	*e = (struct endpoint){.resolved = resolved, .resolved_arg = arg};
}

static void resolve_stop(struct endpoint *e)
{
	if (e->resolving) {
		g_cancellable_cancel(e->resolving);
		g_clear_object(&e->resolving);
	}
	if (e->retry) {
		g_source_remove(e->retry);
		e->retry = 0;
	}
	e->failures = 0;
}

void endpoint_fini(struct endpoint *e)
{
	resolve_stop(e);
	g_clear_pointer(&e->host, g_free);
	endpoint_pin(e, NULL);
}

void endpoint_pin(struct endpoint *e, const struct endpoint_pin *pin)
{
	if (e->pin) {
		sodium_memzero(e->pin, sizeof(*e->pin));
		g_clear_pointer(&e->pin, g_free);
		e->known = false;
	}
	if (!pin)
		return;
	e->pin = g_memdup2(pin, sizeof(*pin));
	e->remote = pin->remote;
	e->port_be = pin->remote_port_be;
	e->local = pin->local;
	e->scope[0] = 0;
	e->known = true;
	e->roamed = false;
}

static void hash_configured(uint8_t out[16], const struct endpoint *e)
{
	g_autofree char *text = g_strdup_printf("%s %u", e->host ? e->host : "", e->host_port);

	crypto_generichash(out, 16, (const uint8_t *)text, strlen(text), NULL, 0);
}

static gboolean retry_due(gpointer arg)
{
	struct endpoint *e = arg;

	e->retry = 0;
	endpoint_resolve(e);
	return G_SOURCE_REMOVE;
}

static bool take_address(struct endpoint *e, const struct st_addr *a, const char *scope)
{
	uint16_t port_be = htons(e->host_port);

	if (e->known && !memcmp(&e->remote, a, sizeof(*a)) && e->port_be == port_be &&
		!strcmp(e->scope, scope))
		return false;
	g_strlcpy(e->scope, scope, sizeof(e->scope));
	e->remote = *a;
	e->port_be = port_be;
	e->known = true;
	e->roamed = false;
	endpoint_clear_source(e);
	return true;
}

static bool take_first(struct endpoint *e, GList *found)
{
	struct sockaddr_storage ss;
	struct st_addr a;
	uint16_t port_be;

	for (GList *l = found; l; l = l->next) {
		GSocketAddress *sa = g_inet_socket_address_new(l->data, e->host_port);
		bool ok = g_socket_address_to_native(sa, &ss, sizeof(ss), NULL) &&
			  addr_from_sockaddr(&a, &port_be, (struct sockaddr *)&ss);

		g_object_unref(sa);
		if (ok)
			return take_address(e, &a, "");
	}
	return false;
}

static void lookup_done(GObject *source, GAsyncResult *result, gpointer arg)
{
	struct endpoint *e = arg;
	g_autoptr(GError) error = NULL;
	GList *found = g_resolver_lookup_by_name_finish(G_RESOLVER(source), result, &error);
	unsigned int wait;

	g_clear_object(&e->resolving);
	if (found) {
		bool changed = take_first(e, found);

		g_resolver_free_addresses(found);
		e->failures = 0;
		e->resolved(e, changed, e->resolved_arg);
		return;
	}
	wait = MIN(RETRY_FIRST_S << MIN(e->failures, 5U), RETRY_MAX_S);
	e->failures++;
	g_message("endpoint %s: %s; again in %u s", e->host, error->message, wait);
	e->retry = g_timeout_add_seconds(wait, retry_due, e);
	e->resolved(e, false, e->resolved_arg);
}

// The answer to a cancelled question may be on its way already, and then e may be gone.
struct lookup {
	struct endpoint *e;
	GCancellable *cancellable;
};

static void lookup_guard(GObject *source, GAsyncResult *result, gpointer arg)
{
	struct lookup *l = arg;

	if (g_cancellable_is_cancelled(l->cancellable))
		g_resolver_free_addresses(
			g_resolver_lookup_by_name_finish(G_RESOLVER(source), result, NULL));
	else
		lookup_done(source, result, l->e);
	g_object_unref(l->cancellable);
	g_free(l);
}

void endpoint_resolve(struct endpoint *e)
{
	GResolver *resolver;
	char scope[ST_NAME_MAX];
	struct lookup *l;
	struct st_addr a;

	if (!e->host || e->resolving || e->retry || addr_parse_scoped(&a, scope, e->host))
		return;
	resolver = g_resolver_get_default();
	e->resolving = g_cancellable_new();
	l = g_new0(struct lookup, 1);
	l->e = e;
	l->cancellable = g_object_ref(e->resolving);
	g_resolver_lookup_by_name_async(resolver, e->host, e->resolving, lookup_guard, l);
	g_object_unref(resolver);
}

void endpoint_configure(struct endpoint *e, const char *host, uint16_t port)
{
	char scope[ST_NAME_MAX];
	struct st_addr a;

	if (!g_strcmp0(e->host, host) && (!host || e->host_port == port))
		return;
	resolve_stop(e);
	g_free(e->host);
	e->host = g_strdup(host);
	e->host_port = port;
	if (!host)
		return;
	if (addr_parse_scoped(&a, scope, host))
		(void)take_address(e, &a, scope);
	else
		endpoint_resolve(e);
}

static bool same_remote(const struct endpoint *e, const struct endpoint_from *from)
{
	return e->known && e->port_be == from->remote_port_be &&
	       !memcmp(&e->remote, &from->remote, sizeof(e->remote)) &&
	       !strcmp(e->scope, from->scope);
}

bool endpoint_seen(struct endpoint *e, const struct endpoint_from *from)
{
	bool same = same_remote(e, from);

	if (same && !memcmp(&e->local, &from->local, sizeof(e->local)))
		return false;
	e->roamed = e->roamed || !same;
	e->remote = from->remote;
	e->port_be = from->remote_port_be;
	e->local = from->local;
	g_strlcpy(e->scope, from->scope, sizeof(e->scope));
	e->known = true;
	return true;
}

unsigned int endpoint_ifindex(const struct endpoint *e)
{
	return e->scope[0] ? if_nametoindex(e->scope) : 0;
}

void endpoint_clear_source(struct endpoint *e)
{
	if (!e->pin)
		e->local = (struct st_addr){0};
}

static void release(struct endpoint *e, const struct endpoint_env *env)
{
	if (e->held)
		netlink_neigh_release(env->nl, e->body.if_id, &e->body.nexthop);
	e->held = false;
}

void endpoint_uninstall(struct endpoint *e, const struct endpoint_env *env, uint32_t peer_id)
{
	struct st_endpoint_key key = {.peer_id = peer_id, .slot = e->slot};

	release(e, env);
	if (e->installed)
		dp_del(env->dp, ST_ENDPOINT, &key, sizeof(key));
	e->installed = false;
}

static int find_path(struct endpoint *e, const struct endpoint_env *env, struct netlink_path *path)
{
	struct netlink_ask ask = {
		.remote = &e->remote,
		.local = &e->local,
		.mark = env->fwmark,
		.ifindex = endpoint_ifindex(e),
		.local_port_be = e->pin ? e->pin->local_port_be : htons(env->port),
		.remote_port_be = e->port_be,
	};
	int r;

	if (addr_is_link_local(&e->remote) && !ask.ifindex && !e->pin)
		return e->scope[0] ? -ENODEV : -EINVAL;
	r = netlink_path_get(env->nl, &ask, path);
	if (r && !addr_is_zero(&e->local) && !e->pin) {
		// The address it talked to may be no longer ours.
		endpoint_clear_source(e);
		r = netlink_path_get(env->nl, &ask, path);
	}
	if (!r && path->if_id == env->if_id)
		r = -ELOOP;
	if (!r && addr_is_zero(&path->local))
		r = -EADDRNOTAVAIL;
	return r;
}

static void blob_fill(struct endpoint_blob *blob, const struct endpoint *e)
{
	*blob = (struct endpoint_blob){.version = BLOB_VERSION};
	if (e->roamed)
		blob->flags |= BLOB_ROAMED;
	if (e->scope[0])
		blob->flags |= BLOB_SCOPED;
	hash_configured(blob->configured, e);
}

static void body_fill(struct st_endpoint *body, const struct endpoint *e,
	const struct endpoint_env *env, uint32_t peer_id, const struct netlink_path *path)
{
	bool direct = path->if_id && !path->local_delivery;

	*body = (struct st_endpoint){
		.key.peer_id = peer_id,
		.local = path->local,
		.remote = e->remote,
		.nexthop = direct ? path->nexthop : e->remote,
		.local_port_be = htons(env->port),
		.remote_port_be = e->port_be,
		.if_id = direct ? path->if_id : 0,
		.path_mtu = path->mtu ? path->mtu : MTU_DEFAULT,
		.kind = direct ? ST_ENDPOINT_DIRECT : ST_ENDPOINT_CONTROL,
	};
	body->key.slot = e->slot;
	if (!e->pin)
		return;
	body->local_port_be = e->pin->local_port_be;
	body->flags = ST_ENDPOINT_F_NOMINATED;
	// Without a port of ours on the way, straitd sends it, into the relay as well.
	if (direct)
		body->kind = (uint8_t)e->pin->kind;
	if (body->kind != ST_ENDPOINT_CHANNEL)
		return;
	body->relay_peer = e->pin->relay_peer;
	body->relay_peer_port_be = e->pin->relay_peer_port_be;
	body->channel = e->pin->channel;
}

static void install(struct endpoint *e, const struct endpoint_env *env, const struct st_endpoint *body)
{
	bool moved = e->body.if_id != body->if_id ||
		     memcmp(&e->body.nexthop, &body->nexthop, sizeof(body->nexthop));
	struct {
		struct endpoint_blob head;
		uint8_t rest[ENDPOINT_PIN_BLOB_MAX]; // the pin's, which has no scope, or the scope
	} blob;
	size_t len = sizeof(blob.head);

	if (moved)
		release(e, env);
	e->body = *body;
	// A TUN has no neighbours.
	if (!e->held && body->kind == ST_ENDPOINT_DIRECT && !env->is_tunnel(body->if_id, env->arg)) {
		netlink_neigh_hold(env->nl, body->if_id, &body->nexthop);
		e->held = true;
	}
	blob_fill(&blob.head, e);
	if (e->pin) {
		blob.head.flags |= BLOB_PINNED;
		memcpy(blob.rest, e->pin->blob, e->pin->blob_len);
		len += e->pin->blob_len;
	} else if (e->scope[0]) {
		memcpy(blob.rest, e->scope, sizeof(e->scope));
		len += sizeof(e->scope);
	}
	dp_set(env->dp, ST_ENDPOINT, body, sizeof(*body), &blob, (uint16_t)len, NULL, NULL);
	e->installed = true;
}

int endpoint_install(struct endpoint *e, const struct endpoint_env *env, uint32_t peer_id)
{
	struct netlink_path path;
	struct st_endpoint body;

	if (!e->known || !env->port) {
		e->error = e->known ? -ENOTCONN : -EDESTADDRREQ;
		endpoint_uninstall(e, env, peer_id);
		return e->error;
	}
	e->error = find_path(e, env, &path);
	if (e->error) {
		endpoint_uninstall(e, env, peer_id);
		return e->error;
	}
	body_fill(&body, e, env, peer_id, &path);
	install(e, env, &body);
	return 0;
}

// The blob's fixed part and the scope behind it. False: it is not one of an endpoint without a pin.
static bool blob_read(
	struct endpoint_blob *ret, char ret_scope[ST_NAME_MAX], const void *data, uint16_t len)
{
	if (len != sizeof(*ret) && len != sizeof(*ret) + ST_NAME_MAX)
		return false;
	memcpy(ret, data, sizeof(*ret));
	memset(ret_scope, 0, ST_NAME_MAX);
	if (ret->version != BLOB_VERSION || !!(ret->flags & BLOB_SCOPED) != (len > sizeof(*ret)) ||
		ret->flags & BLOB_PINNED)
		return false;
	if (ret->flags & BLOB_SCOPED)
		memcpy(ret_scope, (const uint8_t *)data + sizeof(*ret), ST_NAME_MAX - 1);
	return true;
}

bool endpoint_recover(struct endpoint *e, const struct endpoint_env *env,
	const struct st_endpoint *body, const void *data, uint16_t blob_len)
{
	struct endpoint_blob blob;
	char scope[ST_NAME_MAX];
	uint8_t configured[16];

	hash_configured(configured, e);
	if (!blob_read(&blob, scope, data, blob_len) ||
		memcmp(blob.configured, configured, sizeof(configured)))
		return false;
	resolve_stop(e);
	e->remote = body->remote;
	e->port_be = body->remote_port_be;
	e->local = body->local;
	g_strlcpy(e->scope, scope, sizeof(e->scope));
	e->known = true;
	e->roamed = blob.flags & BLOB_ROAMED;
	// Wanted as it is until the kernel has been asked: the sync must not sweep it.
	install(e, env, body);
	return true;
}

void endpoint_recover_pinned(struct endpoint *e, const struct endpoint_env *env,
	const struct st_endpoint *body, const struct endpoint_pin *pin)
{
	endpoint_pin(e, pin);
	install(e, env, body);
}

const uint8_t *endpoint_pin_blob(const void *data, uint16_t len, uint16_t *ret_len)
{
	struct endpoint_blob blob;

	if (len <= sizeof(blob))
		return NULL;
	memcpy(&blob, data, sizeof(blob));
	if (blob.version != BLOB_VERSION || !(blob.flags & BLOB_PINNED))
		return NULL;
	*ret_len = (uint16_t)(len - sizeof(blob));
	return (const uint8_t *)data + sizeof(blob);
}

const char *endpoint_error_text(int error)
{
	switch (error) {
	case 0:
		return "";
	case -EDESTADDRREQ:
		return "no endpoint";
	case -EINVAL:
		return "a link-local endpoint needs its interface: [fe80::1%INTERFACE]:PORT";
	case -ENODEV:
		return "the interface of the link-local endpoint does not exist";
	case -ENOTCONN:
		return "listen port is not open";
	case -ELOOP:
		return "the way to the endpoint leads into the tunnel itself";
	case -EADDRNOTAVAIL:
		return "no source address towards the endpoint";
	default:
		return g_strerror(-error);
	}
}
