// SPDX-License-Identifier: BSD-3-Clause
//
// Peers that are relayed to; see policy.h. Main loop thread.
#include "policy.h"

#include "../addr.h"
#include "../keyed_hash.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

struct special {
	const char *prefix, *name;
	bool always; // no allow list opens it
};

// IANA's special-purpose registries, multicast, and what only looks like a peer.
static const struct special specials[] = {
	{"0.0.0.0/8", "this network", true},
	{"127.0.0.0/8", "loopback", true},
	{"224.0.0.0/4", "multicast", true},
	{"255.255.255.255/32", "broadcast", true},
	{"10.0.0.0/8", "private", false},
	{"100.64.0.0/10", "shared by carriers", false},
	{"169.254.0.0/16", "link-local", false},
	{"172.16.0.0/12", "private", false},
	{"192.0.0.0/24", "IETF protocols", false},
	{"192.0.2.0/24", "documentation", false},
	{"192.88.99.0/24", "6to4 relays", false},
	{"192.168.0.0/16", "private", false},
	{"198.18.0.0/15", "benchmarks", false},
	{"198.51.100.0/24", "documentation", false},
	{"203.0.113.0/24", "documentation", false},
	{"240.0.0.0/4", "reserved", false},
	{"::/128", "unspecified", true},
	{"::1/128", "loopback", true},
	{"ff00::/8", "multicast", true},
	{"2001::/32", "Teredo", true},
	{"2002::/16", "6to4", true},
	{"64:ff9b::/96", "NAT64", true},
	{"64:ff9b:1::/48", "local NAT64", false},
	{"100::/64", "discard", false},
	{"2001::/23", "IETF protocols", false},
	{"2001:db8::/32", "documentation", false},
	{"3fff::/20", "documentation", false},
	{"5f00::/16", "segment routing", false},
	{"fc00::/7", "unique local", false},
	{"fe80::/10", "link-local", false},
	{"fec0::/10", "site-local", false},
};

static struct st_prefix special_prefixes[G_N_ELEMENTS(specials)];

bool turn_prefix_has(const struct st_prefix *prefix, const struct st_addr *a)
{
	unsigned int bytes = prefix->plen / 8, bits = prefix->plen % 8;

	if (memcmp(prefix->addr.b, a->b, bytes))
		return false;
	return !bits || !((prefix->addr.b[bytes] ^ a->b[bytes]) >> (8 - bits));
}

static guint addr_hash(gconstpointer p)
{
	return keyed_hash(p, sizeof(struct st_addr));
}

static gboolean addr_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct st_addr));
}

void turn_policy_init(struct turn_policy *p)
{
	memset(p, 0, sizeof(*p));
	p->own = g_hash_table_new_full(addr_hash, addr_equal, g_free, NULL);
	p->inner = g_array_new(FALSE, FALSE, sizeof(struct st_prefix));
	p->wg_ports_be = g_array_new(FALSE, FALSE, sizeof(uint16_t));
	p->test_loopback = getenv("STRAIT_TURN_TEST_LOOPBACK") != NULL;
	for (size_t i = 0; i < G_N_ELEMENTS(specials); i++)
		prefix_parse(&special_prefixes[i], NULL, specials[i].prefix);
}

void turn_policy_fini(struct turn_policy *p)
{
	g_hash_table_destroy(p->own);
	g_array_free(p->inner, TRUE);
	g_array_free(p->wg_ports_be, TRUE);
	memset(p, 0, sizeof(*p));
}

void turn_policy_apply(struct turn_policy *p, const struct turn_config *c)
{
	p->config = c;
}

void turn_policy_own(struct turn_policy *p, const struct st_addr *addrs, unsigned int n)
{
	g_hash_table_remove_all(p->own);
	for (unsigned int i = 0; i < n; i++)
		g_hash_table_add(p->own, g_memdup2(&addrs[i], sizeof(addrs[i])));
}

void turn_policy_tunnels(struct turn_policy *p, const struct st_prefix *prefixes, unsigned int n,
	const uint16_t *wg_ports_be, unsigned int nb_ports)
{
	g_array_set_size(p->inner, 0);
	g_array_append_vals(p->inner, prefixes, n);
	g_array_set_size(p->wg_ports_be, 0);
	g_array_append_vals(p->wg_ports_be, wg_ports_be, nb_ports);
}

bool turn_policy_embedded(const struct st_addr *a, struct st_addr *ret_v4, const char **ret_form)
{
	static const struct {
		uint8_t head[12];
		uint8_t head_len, at;
		bool inverted;
		const char *form;
	} forms[] = {
		{{[10] = 0xff, [11] = 0xff}, 12, 12, false, "IPv4-mapped"},
		{{0, 0x64, 0xff, 0x9b}, 12, 12, false, "NAT64"},
		{{0x20, 0x02}, 2, 2, false, "6to4"},
		{{0x20, 0x01, 0, 0}, 4, 12, true, "Teredo"},
		{{0}, 12, 12, false, "IPv4-compatible"},
	};

	for (size_t i = 0; i < G_N_ELEMENTS(forms); i++) {
		if (memcmp(a->b, forms[i].head, forms[i].head_len))
			continue;
		memset(ret_v4, 0, sizeof(*ret_v4));
		ret_v4->b[10] = ret_v4->b[11] = 0xff;
		for (int k = 0; k < 4; k++)
			ret_v4->b[12 + k] = a->b[forms[i].at + k] ^ (forms[i].inverted ? 0xff : 0);
		*ret_form = forms[i].form;
		return true;
	}
	return false;
}

static const struct turn_config_prefix *in_list(const GPtrArray *list, const struct st_addr *a)
{
	for (guint i = 0; i < list->len; i++) {
		const struct turn_config_prefix *p = list->pdata[i];

		if (turn_prefix_has(&p->prefix, a))
			return p;
	}
	return NULL;
}

static bool deny(struct turn_denial *ret, const char *rule)
{
	ret->rule = rule;
	return false;
}

// An IPv6 spelling of IPv4: nothing that a peer could be reached by.
static bool clean_spelling(const struct st_addr *peer, struct turn_denial *ret)
{
	const char *form;
	struct st_addr v4;

	if (addr_is_v4(peer) || !turn_policy_embedded(peer, &v4, &form))
		return true;
	g_snprintf(ret->buf, sizeof(ret->buf), "%s address", form);
	return deny(ret, ret->buf);
}

static bool is_loopback(const struct st_addr *a)
{
	static const struct st_addr v6 = {.b[15] = 1};

	return (addr_is_v4(a) && a->b[12] == 127) || addr_equal(a, &v6);
}

static bool special_allows(
	const struct turn_policy *p, const struct st_addr *peer, struct turn_denial *ret)
{
	bool listed = in_list(p->config->allow, peer) != NULL;

	if (p->test_loopback && is_loopback(peer))
		return true;
	for (size_t i = 0; i < G_N_ELEMENTS(specials); i++) {
		if (!turn_prefix_has(&special_prefixes[i], peer) || (listed && !specials[i].always))
			continue;
		g_snprintf(ret->buf, sizeof(ret->buf), "%s %s", specials[i].name, specials[i].prefix);
		return deny(ret, ret->buf);
	}
	return true;
}

static bool tunnel_allows(
	const struct turn_policy *p, const struct st_addr *peer, struct turn_denial *ret)
{
	for (guint i = 0; i < p->inner->len; i++) {
		const struct st_prefix *prefix = &g_array_index(p->inner, struct st_prefix, i);

		// A default route through a tunnel is about every address and says nothing about this one.
		if (prefix->plen > (prefix_is_v4(prefix) ? 96 : 0) && turn_prefix_has(prefix, peer))
			return deny(ret, "inside of a WireGuard tunnel");
	}
	return true;
}

static bool is_own_relay(const struct turn_policy *p, const struct st_addr *peer)
{
	return turn_config_relay_index(p->config, peer) >= 0;
}

bool turn_policy_allows(
	const struct turn_policy *p, const struct st_addr *peer, struct turn_denial *ret)
{
	const struct turn_config_prefix *denied;

	ret->rule = NULL;
	if (addr_is_zero(peer))
		return deny(ret, "unspecified");
	if (!clean_spelling(peer, ret))
		return false;
	denied = in_list(p->config->deny, peer);
	if (denied) {
		g_snprintf(ret->buf, sizeof(ret->buf), "deny_peers %s", denied->text);
		return deny(ret, ret->buf);
	}
	// Two of our clients meet here; and a port of ours that is WireGuard's is a peer like others. Which
	// port it may be is asked when there is one.
	if (is_own_relay(p, peer) || (g_hash_table_contains(p->own, peer) && p->wg_ports_be->len))
		return true;
	if (g_hash_table_contains(p->own, peer) && !(p->test_loopback && is_loopback(peer)))
		return deny(ret, "address of this box");
	return tunnel_allows(p, peer, ret) && special_allows(p, peer, ret);
}

static bool own_port_allowed(const struct turn_policy *p, const struct st_addr *peer, uint16_t port_be)
{
	uint16_t port = ntohs(port_be);

	if (is_own_relay(p, peer) && port >= p->config->port_min && port <= p->config->port_max)
		return true;
	for (guint i = 0; i < p->wg_ports_be->len; i++) {
		if (g_array_index(p->wg_ports_be, uint16_t, i) == port_be)
			return true;
	}
	if (p->is_wireguard && p->is_wireguard(port_be, p->is_wireguard_arg))
		return true;
	return p->test_loopback && is_loopback(peer);
}

bool turn_policy_allows_port(const struct turn_policy *p, const struct st_addr *peer,
	uint16_t port_be, struct turn_denial *ret)
{
	uint16_t port = ntohs(port_be);

	if (!turn_policy_allows(p, peer, ret))
		return false;
	if ((g_hash_table_contains(p->own, peer) || is_own_relay(p, peer)) &&
		!own_port_allowed(p, peer, port_be))
		return deny(ret, "port of this box");
	if (!port)
		return deny(ret, "port 0");
	for (guint i = 0; i < p->config->deny_ports->len; i++) {
		const struct turn_config_ports *d =
			&g_array_index(p->config->deny_ports, struct turn_config_ports, i);

		if (port >= d->lo && port <= d->hi) {
			g_snprintf(ret->buf, sizeof(ret->buf), "deny_peer_ports %u-%u", d->lo, d->hi);
			return deny(ret, ret->buf);
		}
	}
	return true;
}
