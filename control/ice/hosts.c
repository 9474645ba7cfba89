// SPDX-License-Identifier: BSD-3-Clause
//
// Addresses of this box that become host candidates, and what external addresses they are signalled as.
// Main loop thread; getifaddrs is one netlink exchange.
#include "ice_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

static const char *const default_blacklist[] = {ICE_DEFAULT_BLACKLIST, NULL};

static bool blacklisted(const struct ice *ice, const char *name)
{
	const char *const *list =
		ice->blacklist ? (const char *const *)ice->blacklist : default_blacklist;

	for (; *list; list++) {
		if (**list && g_str_has_prefix(name, *list))
			return true;
	}
	return false;
}

// Kernel WireGuard, ours are told by the environment.
static bool is_wireguard(const char *name)
{
	char *path = g_strdup_printf("/sys/class/net/%s/uevent", name), *text = NULL;
	bool found = g_file_get_contents(path, &text, NULL, NULL) &&
		     strstr(text, "DEVTYPE=wireguard") != NULL;

	g_free(text);
	g_free(path);
	return found;
}

static bool interface_usable(const struct ice *ice, const struct ifaddrs *i)
{
	return (i->ifa_flags & IFF_UP) && !(i->ifa_flags & IFF_LOOPBACK) &&
	       !blacklisted(ice, i->ifa_name) && !is_wireguard(i->ifa_name) &&
	       !(ice->env.overlay_device && ice->env.overlay_device(i->ifa_name, ice->env.arg));
}

// Link-local, site-local and v4-compatible addresses are nobody's way to us.
static bool v6_usable(const struct st_addr *a)
{
	static const uint8_t zero[12];

	return !(a->b[0] == 0xfe && (a->b[1] & 0x80)) && memcmp(a->b, zero, sizeof(zero)) != 0;
}

static bool address_usable(const struct ice *ice, const struct st_addr *a)
{
	if (!ice_address_usable(a) || (!addr_is_v4(a) && (ice->no_v6 || !v6_usable(a))))
		return false;
	if (addr_is_v4(a) && a->b[12] == 169 && a->b[13] == 254)
		return false;
	return !(ice->env.overlay_address && ice->env.overlay_address(a, ice->env.arg));
}

bool ice_hosts_have(const GArray *hosts, const struct st_addr *a)
{
	for (guint n = 0; n < hosts->len; n++) {
		if (!memcmp(&g_array_index(hosts, struct st_addr, n), a, sizeof(*a)))
			return true;
	}
	return false;
}

// ---- mappings ------------------------------------------------------------------------------------------

static char *refuse(char **ret_error, const char *text, const char *why)
{
	*ret_error = g_strdup_printf("nat_external_ips: \"%s\": %s", text, why);
	return NULL;
}

static bool external_valid(struct st_addr *ret, const char *text, const char *slash)
{
	char *ip = slash ? g_strndup(text, (gsize)(slash - text)) : g_strdup(text);
	bool ok = addr_parse(ret, ip) && ice_address_usable(ret);

	g_free(ip);
	return ok;
}

// One external address without an internal one per family, and then no pairs: there would be two answers
// to what an address is signalled as.
int ice_mappings_check(char **texts, char **ret_error)
{
	unsigned int pairs = 0, any[2] = {0};

	for (; texts && *texts; texts++) {
		const char *slash = strchr(*texts, '/');
		struct st_addr external, internal;

		if (!external_valid(&external, *texts, slash)) {
			refuse(ret_error, *texts,
				"the external address (before the /) is no usable IP address");
			return -EINVAL;
		}
		if (slash && addr_parse(&internal, slash + 1) &&
			addr_is_v4(&internal) != addr_is_v4(&external)) {
			refuse(ret_error, *texts, "both addresses are of one family");
			return -EINVAL;
		}
		if (slash && (!slash[1] || strlen(slash + 1) >= ADDR_TEXT_MAX)) {
			refuse(ret_error, *texts,
				"behind the / stands an address or the name of an interface");
			return -EINVAL;
		}
		pairs += slash != NULL;
		any[addr_is_v4(&external)] += !slash;
		if (any[0] > 1 || any[1] > 1 || ((any[0] || any[1]) && pairs)) {
			refuse(ret_error, *texts,
				"an external address without an internal one is allowed once per "
				"family, and not beside pairs");
			return -EINVAL;
		}
	}
	return 0;
}

static bool first_of(struct st_addr *ret, const struct ifaddrs *all, const char *name, bool v4)
{
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct st_addr a;
		uint16_t port;

		if (i->ifa_addr && !strcmp(i->ifa_name, name) &&
			addr_from_sockaddr(&a, &port, i->ifa_addr) && addr_is_v4(&a) == v4 &&
			(v4 || v6_usable(&a))) {
			*ret = a;
			return true;
		}
	}
	return false;
}

static void mappings_resolve(struct ice *ice, const struct ifaddrs *all)
{
	g_array_set_size(ice->mappings, 0);
	for (char **t = ice->external; t && *t; t++) {
		const char *slash = strchr(*t, '/');
		struct ice_mapping m = {.any = !slash};

		if (!external_valid(&m.external, *t, slash))
			continue;
		if (slash && !addr_parse(&m.internal, slash + 1) &&
			!first_of(&m.internal, all, slash + 1, addr_is_v4(&m.external)))
			continue; // the interface is not there yet
		g_array_append_val(ice->mappings, m);
	}
}

bool ice_hosts_external(const struct ice *ice, const struct st_addr *base, struct st_addr *ret)
{
	bool pairs = false;

	for (guint n = 0; n < ice->mappings->len; n++) {
		const struct ice_mapping *m = &g_array_index(ice->mappings, struct ice_mapping, n);

		pairs |= !m->any;
		if (m->any ? addr_is_v4(&m->external) == addr_is_v4(base)
			   : !memcmp(&m->internal, base, sizeof(*base))) {
			*ret = m->external;
			return true;
		}
	}
	*ret = *base;
	return !pairs;
}

void ice_hosts_refresh(struct ice *ice)
{
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all))
		return; // what was known goes on
	g_array_set_size(ice->hosts, 0);
	for (const struct ifaddrs *i = all; i && ice->hosts->len < ICE_MSG_ADDRS; i = i->ifa_next) {
		struct st_addr a;
		uint16_t port;

		if (i->ifa_addr && addr_from_sockaddr(&a, &port, i->ifa_addr) &&
			interface_usable(ice, i) && address_usable(ice, &a) &&
			!ice_hosts_have(ice->hosts, &a))
			g_array_append_val(ice->hosts, a);
	}
	mappings_resolve(ice, all);
	freeifaddrs(all);
}
