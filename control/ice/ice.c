// SPDX-License-Identifier: BSD-3-Clause
//
// ICE of one interface as a whole: its parts, settings, status. Main loop thread.
#include "ice_internal.h"
#include "keep.h"
#include "peer_port.h"

#include <cjson/cJSON.h>

#include <errno.h>

// Tests that shall not take hours divide an interval.
static double scale_of(const char *name)
{
	const char *text = g_getenv(name);

	return text ? CLAMP(g_ascii_strtod(text, NULL), 1, 1000) : 1;
}

struct ice *ice_new(const struct ice_env *env, const char *program)
{
	struct ice *ice = g_new0(struct ice, 1);

	ice->env = *env;
	ice->port_be = ice_shared_port(ice);
	ice->program = g_strdup(program);
	ice->consent_scale = scale_of("STRAIT_ICE_CONSENT_SCALE");
	ice->turn_scale = scale_of("STRAIT_ICE_TURN_SCALE");
	ice_servers_init(ice);
	ice->mappings = g_array_new(FALSE, FALSE, sizeof(struct ice_mapping));
	ice->hosts = g_array_new(FALSE, FALSE, sizeof(struct st_addr));
	ice->agents = g_hash_table_new(NULL, NULL);
	ice->owners = g_hash_table_new(g_str_hash, g_str_equal);
	ice->keeps = g_hash_table_new(NULL, NULL);
	ice->transactions = ice_transactions_new();
	ice->limiter = ice_limiter_new();
	ice->wheel = ice_wheel_new(ice);
	ice->stun = stun_client_new(ice, 0);
	ice->ports = ice_ports_new(ice);
	ice->link = ice_link_new(ice);
	return ice;
}

void ice_free(struct ice *ice)
{
	if (!ice)
		return;
	ice_keeps_detach(ice);
	ice_link_free(ice->link);
	ice_agents_destroy(ice);
	ice_ports_free(ice->ports);
	stun_client_free(ice->stun);
	ice_servers_free(ice);
	ice_wheel_free(ice->wheel);
	ice_limiter_free(ice->limiter);
	ice_transactions_free(ice->transactions);
	g_hash_table_destroy(ice->keeps);
	g_hash_table_destroy(ice->owners);
	g_hash_table_destroy(ice->agents);
	g_array_unref(ice->hosts);
	g_array_unref(ice->mappings);
	g_strfreev(ice->external);
	g_strfreev(ice->blacklist);
	g_free(ice->program);
	g_free(ice);
}

static int check_server(const struct ice_server *s, char **ret_error)
{
	struct ice_url url;
	const char *why;

	if (ice_url_parse(&url, s->url, &why)) {
		*ret_error =
			g_strdup_printf("servers: \"%s\" is no STUN or TURN URL: %s", s->url, why);
		return -EINVAL;
	}
	if (url.turn && (!s->username || !*s->username || !s->password || !*s->password)) {
		*ret_error =
			g_strdup_printf("servers: \"%s\" needs a username and a password", s->url);
		return -EINVAL;
	}
	if (url.turn && (strlen(s->username) >= ICE_MSG_TEXT || strlen(s->password) >= ICE_MSG_TEXT)) {
		*ret_error = g_strdup_printf(
			"servers: \"%s\": username and password have at most %d bytes", s->url,
			ICE_MSG_TEXT - 1);
		return -EINVAL;
	}
	return 0;
}

int ice_settings_check(const struct ice_settings *s, char **ret_error)
{
	if (s->nb_servers > ICE_MAX_SERVERS) {
		*ret_error = g_strdup_printf("servers: at most %d are allowed", ICE_MAX_SERVERS);
		return -EINVAL;
	}
	for (unsigned int n = 0; n < s->nb_servers; n++) {
		int r = check_server(&s->servers[n], ret_error);

		if (r)
			return r;
	}
	return ice_mappings_check(s->nat_external_ips, ret_error);
}

void ice_apply(struct ice *ice, const struct ice_settings *s)
{
	g_strfreev(ice->external);
	g_strfreev(ice->blacklist);
	ice->external = g_strdupv(s->nat_external_ips);
	ice->blacklist = g_strdupv(s->interface_blacklist);
	ice->no_v6 = s->disable_ipv6_discovery;
	ice->port_per_peer = s->port_per_peer;
	ice_servers_apply(ice, s);
	ice_network_doubt(ice);
	ice_hosts_refresh(ice);
	ice_ports_hosts_changed(ice->ports);
	if (!ice_port_is_per_peer(ice))
		stun_client_ask(ice->stun);
}

bool ice_port_is_per_peer(const struct ice *ice)
{
	return ice->port_per_peer || ice_link_needs_ports(ice->link);
}

static bool all_within(const GArray *some, const GArray *all)
{
	for (guint n = 0; n < some->len; n++) {
		if (!ice_hosts_have(all, &g_array_index(some, struct st_addr, n)))
			return false;
	}
	return true;
}

void ice_network_doubt(struct ice *ice)
{
	stun_client_forget(ice->stun);
	ice_ports_stun_forget(ice->ports);
}

// Pairs are not lost with the old port: the peer takes what is authentic from the new one.
static bool port_changed(struct ice *ice)
{
	uint16_t before = ice->port_be;

	ice->port_be = ice_shared_port(ice);
	if (ice->port_be == before)
		return false;
	ice_keeps_port_changed(ice, before);
	return !ice_port_is_per_peer(ice);
}

enum ice_hosts_change ice_addresses_changed(struct ice *ice)
{
	bool moved = port_changed(ice);
	GArray *before = g_array_copy(ice->hosts);
	enum ice_hosts_change change = ICE_HOSTS_SAME;

	ice_hosts_refresh(ice);
	if (!all_within(before, ice->hosts))
		change = ICE_HOSTS_GONE;
	else if (!all_within(ice->hosts, before))
		change = ICE_HOSTS_MORE;
	g_array_unref(before);
	if (change == ICE_HOSTS_SAME && !moved)
		return change;
	ice_network_doubt(ice);
	ice_ports_hosts_changed(ice->ports);
	if (!ice_port_is_per_peer(ice))
		stun_client_ask(ice->stun);
	ice_link_hosts_changed(ice->link);
	ice_agents_hosts_changed(ice);
	return change;
}

void ice_dp_connected(struct ice *ice)
{
	ice_keeps_park(ice);
	ice_ports_park(ice->ports);
}

void ice_status(struct ice *ice, struct cJSON *into)
{
	const struct ice_counters *c = &ice->counters;
	cJSON *o = cJSON_AddObjectToObject(into, "ice"), *counters;
	pid_t pid = ice_link_pid(ice->link);

	cJSON_AddStringToObject(o, "process",
		!ice_link_up(ice->link) ? "unusable"
		: pid                   ? "running"
					: "not started");
	if (pid)
		cJSON_AddNumberToObject(o, "pid", pid);
	cJSON_AddStringToObject(o, "port_mode", ice_port_is_per_peer(ice) ? "per-peer" : "single");
	if (ice_link_needs_ports(ice->link))
		cJSON_AddStringToObject(o, "port_mode_why", ice_link_needs_ports(ice->link));
	cJSON_AddNumberToObject(o, "peer_ports", ice_ports_count(ice->ports));
	cJSON_AddNumberToObject(o, "attempts", g_hash_table_size(ice->agents));
	cJSON_AddNumberToObject(o, "kept_pairs", g_hash_table_size(ice->keeps));
	ice_servers_status(ice, o);
	counters = cJSON_AddObjectToObject(o, "counters");
#define X(name, text) cJSON_AddNumberToObject(counters, #name, (double)c->name);
	ICE_COUNTERS(X)
#undef X
}
