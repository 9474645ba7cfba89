// SPDX-License-Identifier: BSD-3-Clause
//
// STUN and TURN servers of the settings, and what their names mean. Names are asked for in the background
// and again every five minutes. Main loop thread.
#include "ice_internal.h"

#include <cjson/cJSON.h>
#include <gio/gio.h>
#include <sodium.h>

#include <errno.h>

#define RESOLVE_AGAIN_S 300
#define RESOLVE_FIRST_S 5 // while a name has no answer at all
#define MAX_ADDRS       4 // of one name
#define STUNS_ERROR     "not asked: STUN over TLS tells the address of a TCP port, use stun:"

static void wipe_free(char *secret)
{
	if (secret)
		sodium_memzero(secret, strlen(secret));
	g_free(secret);
}

static void server_free(gpointer p)
{
	struct ice_known_server *s = p;

	if (s->resolving) {
		g_cancellable_cancel(s->resolving);
		g_object_unref(s->resolving);
	}
	g_array_unref(s->addrs);
	g_free(s->text);
	g_free(s->username);
	wipe_free(s->password);
	g_free(s->error);
	g_free(s);
}

static bool add_address(struct ice_known_server *s, GArray *to, GInetAddress *inet)
{
	char *text = g_inet_address_to_string(inet);
	struct st_addr a;
	bool ok = addr_parse(&a, text) && ice_address_usable(&a) && to->len < MAX_ADDRS;

	if (ok)
		g_array_append_val(to, a);
	g_free(text);
	return ok;
}

static void on_resolved(GObject *source, GAsyncResult *result, gpointer arg)
{
	struct ice_known_server *s;
	GError *error = NULL;
	GList *list = g_resolver_lookup_by_name_finish(G_RESOLVER(source), result, &error);
	GArray *addrs;

	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
		g_error_free(error);
		return; // the server is freed
	}
	s = arg;
	g_clear_object(&s->resolving);
	g_clear_pointer(&s->error, g_free);
	s->resolved_ms = ice_now();
	if (error) {
		s->error = g_strdup(error->message);
		g_info("ice: server's name not resolved url=%s error=\"%s\"", s->text,
			error->message);
		g_error_free(error);
		return; // what was known goes on
	}
	addrs = g_array_new(FALSE, FALSE, sizeof(struct st_addr));
	for (GList *l = list; l; l = l->next)
		add_address(s, addrs, l->data);
	g_resolver_free_addresses(list);
	g_array_unref(s->addrs);
	s->addrs = addrs;
	if (!ice_port_is_per_peer(s->ice))
		stun_client_ask(s->ice->stun);
}

static void resolve(struct ice_known_server *s)
{
	GResolver *resolver;

	if (s->resolving || g_hostname_is_ip_address(s->url.host))
		return;
	resolver = g_resolver_get_default();
	s->resolving = g_cancellable_new();
	g_resolver_lookup_by_name_async(resolver, s->url.host, s->resolving, on_resolved, s);
	g_object_unref(resolver);
}

static gboolean on_resolver_timer(gpointer arg)
{
	struct ice *ice = arg;

	for (guint n = 0; n < ice->servers->len; n++) {
		struct ice_known_server *s = ice->servers->pdata[n];

		if (!s->addrs->len || ice_now() > s->resolved_ms + RESOLVE_AGAIN_S * 1000)
			resolve(s);
	}
	return G_SOURCE_CONTINUE;
}

static struct ice_known_server *server_new(struct ice *ice, const struct ice_server *from)
{
	struct ice_known_server *s = g_new0(struct ice_known_server, 1);
	struct st_addr literal;
	const char *why;

	s->ice = ice;
	s->addrs = g_array_new(FALSE, FALSE, sizeof(struct st_addr));
	s->text = g_strdup(from->url);
	s->username = g_strdup(from->username);
	s->password = g_strdup(from->password);
	if (ice_url_parse(&s->url, from->url, &why)) {
		server_free(s);
		return NULL;
	}
	if (addr_parse(&literal, s->url.host)) {
		g_array_append_val(s->addrs, literal);
		s->resolved_ms = ice_now();
	} else {
		resolve(s);
	}
	return s;
}

void ice_servers_apply(struct ice *ice, const struct ice_settings *settings)
{
	g_ptr_array_set_size(ice->servers, 0);
	for (unsigned int n = 0; n < settings->nb_servers && n < ICE_MAX_SERVERS; n++) {
		struct ice_known_server *s = server_new(ice, &settings->servers[n]);

		if (s)
			g_ptr_array_add(ice->servers, s);
	}
	if (!ice->resolver)
		ice->resolver = g_timeout_add_seconds(RESOLVE_FIRST_S, on_resolver_timer, ice);
}

void ice_servers_init(struct ice *ice)
{
	ice->servers = g_ptr_array_new_with_free_func(server_free);
}

void ice_servers_free(struct ice *ice)
{
	if (ice->resolver)
		g_source_remove(ice->resolver);
	ice->resolver = 0;
	g_ptr_array_unref(ice->servers);
}

bool ice_servers_pending(const struct ice *ice)
{
	for (guint n = 0; n < ice->servers->len; n++) {
		const struct ice_known_server *s = ice->servers->pdata[n];

		if (s->url.turn && s->resolving && !s->resolved_ms)
			return true;
	}
	return false;
}

void ice_servers_status(const struct ice *ice, struct cJSON *into)
{
	cJSON *list = cJSON_AddArrayToObject(into, "servers");

	for (guint n = 0; n < ice->servers->len; n++) {
		const struct ice_known_server *s = ice->servers->pdata[n];
		cJSON *o = cJSON_CreateObject(), *addrs;

		cJSON_AddStringToObject(o, "url", s->text);
		addrs = cJSON_AddArrayToObject(o, "addresses");
		for (guint k = 0; k < s->addrs->len; k++) {
			char text[ADDR_TEXT_MAX];

			cJSON_AddItemToArray(
				addrs, cJSON_CreateString(addr_text(
					       text, &g_array_index(s->addrs, struct st_addr, k))));
		}
		if (s->error)
			cJSON_AddStringToObject(o, "error", s->error);
		else if (!s->url.turn && s->url.transport == ICE_TLS)
			cJSON_AddStringToObject(o, "error", STUNS_ERROR);
		cJSON_AddItemToArray(list, o);
	}
}
