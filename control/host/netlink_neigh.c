// SPDX-License-Identifier: BSD-3-Clause
//
// Neighbours of our host devices: mirrored while the kernel knows their MAC, asked for when a packet waits,
// held where an endpoint needs one all the time.
//
// Forwarded packets do not pass the kernel, so it never learns that an entry is in use and would let it go
// stale for ever. The sweep has the kernel verify stale entries, so that a MAC that moved is noticed.
#include "../addr.h"
#include "../dp/dp.h"
#include "netlink_parts.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#define NEIGHS_MAX 65536

static guint key_hash(gconstpointer p)
{
	return netlink_key_hash(p, sizeof(struct st_neigh_key));
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
	return !memcmp(a, b, sizeof(struct st_neigh_key));
}

void netlink_neighs_init(struct netlink *nl)
{
	nl->holds = g_hash_table_new_full(key_hash, key_equal, g_free, NULL);
	nl->stale_neighs = g_hash_table_new_full(key_hash, key_equal, g_free, NULL);
}

// ---- requests ------------------------------------------------------------------------------------

// Makes the kernel resolve, or with managed keep resolved. A plain request takes "managed" away again.
static int neigh_request(
	struct netlink *nl, uint32_t ifindex, const struct st_addr *addr, bool managed)
{
	struct ndmsg ndm = {
		.ndm_family = addr_is_v4(addr) ? AF_INET : AF_INET6,
		.ndm_ifindex = (int)ifindex,
		.ndm_state = NUD_NONE,
		.ndm_flags = managed ? 0 : NTF_USE,
	};
	struct nlmsghdr *nlh = rtnl_message(
		nl->request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &ndm, sizeof(ndm));

	rtnl_put_addr(nlh, NDA_DST, addr);
	if (managed)
		mnl_attr_put_u32(nlh, NDA_FLAGS_EXT, NTF_EXT_MANAGED);
	return rtnl_send(nl->request, nlh, NULL, NULL);
}

// A device that is down or gone gets its holds again when it is back (netlink_neighs_read).
static void ask(struct netlink *nl, const struct st_neigh_key *key, bool managed)
{
	uint32_t ifindex = netlink_link_index(nl, key->if_id);
	const struct netlink_link *l = netlink_link_get(nl, ifindex);
	char text[ADDR_TEXT_MAX];
	int ret;

	if (!l || !l->up)
		return;
	ret = neigh_request(nl, ifindex, &key->addr, managed && !nl->no_managed);
	if (managed && !nl->no_managed && (ret == -EINVAL || ret == -EOPNOTSUPP)) {
		nl->no_managed = true;
		g_message("neigh: the kernel keeps no managed neighbours, asking again every %d s "
			  "instead",
			NETLINK_SWEEP_S);
		ret = neigh_request(nl, ifindex, &key->addr, false);
	}
	if (ret && ret != -ENETDOWN)
		g_info("neigh: cannot ask for address=%s dev=%s error=\"%s\"",
			addr_text(text, &key->addr), l->name, rtnl_error(nl->request));
}

static struct st_neigh_key key_of(uint32_t if_id, const struct st_addr *addr)
{
	return (struct st_neigh_key){.if_id = if_id, .addr = *addr};
}

void netlink_neigh_hold(struct netlink *nl, uint32_t if_id, const struct st_addr *addr)
{
	struct st_neigh_key key = key_of(if_id, addr);
	guint count = GPOINTER_TO_UINT(g_hash_table_lookup(nl->holds, &key));

	if (!count && g_hash_table_size(nl->holds) >= NETLINK_HOLDS_MAX)
		return;
	g_hash_table_replace(nl->holds, g_memdup2(&key, sizeof(key)), GUINT_TO_POINTER(count + 1));
	if (!count)
		ask(nl, &key, true);
}

void netlink_neigh_release(struct netlink *nl, uint32_t if_id, const struct st_addr *addr)
{
	struct st_neigh_key key = key_of(if_id, addr);
	guint count = GPOINTER_TO_UINT(g_hash_table_lookup(nl->holds, &key));

	if (count > 1) {
		g_hash_table_replace(
			nl->holds, g_memdup2(&key, sizeof(key)), GUINT_TO_POINTER(count - 1));
	} else if (count) {
		g_hash_table_remove(nl->holds, &key);
		ask(nl, &key, false);
	}
}

void netlink_neigh_probe(struct netlink *nl, uint32_t if_id, const struct st_addr *addr)
{
	struct st_neigh_key key = key_of(if_id, addr);

	// A plain request would end a hold.
	ask(nl, &key, g_hash_table_contains(nl->holds, &key));
}

static void hold_all(struct netlink *nl)
{
	gpointer key;
	GHashTableIter it;

	g_hash_table_iter_init(&it, nl->holds);
	while (g_hash_table_iter_next(&it, &key, NULL))
		ask(nl, key, true);
}

void netlink_neighs_sweep(struct netlink *nl)
{
	gpointer key;
	GHashTableIter it;

	g_hash_table_iter_init(&it, nl->stale_neighs);
	while (g_hash_table_iter_next(&it, &key, NULL)) {
		if (!g_hash_table_contains(nl->holds, key))
			ask(nl, key, false);
	}
	g_hash_table_remove_all(nl->stale_neighs);
	if (nl->no_managed)
		hold_all(nl);
}

// ---- mirror --------------------------------------------------------------------------------------

static void stale_note(struct netlink *nl, const struct st_neigh_key *key, uint16_t state)
{
	if (state != NUD_STALE)
		g_hash_table_remove(nl->stale_neighs, key);
	else if (g_hash_table_size(nl->stale_neighs) < NEIGHS_MAX)
		g_hash_table_replace(nl->stale_neighs, g_memdup2(key, sizeof(*key)), NULL);
}

// Entries that packets can be sent with. False: not one of ours, or not a neighbour of the wire.
static bool parse(const struct netlink *nl, const struct nlmsghdr *nlh, struct st_neigh *ret,
	bool *ret_usable, uint16_t *ret_state)
{
	const uint16_t known =
		NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *tb[NDA_MAX + 1], *mac;

	rtnl_attrs(nlh, sizeof(*ndm), tb, NDA_MAX);
	memset(ret, 0, sizeof(*ret));
	ret->key.if_id = netlink_link_if_id(nl, (uint32_t)ndm->ndm_ifindex);
	if (!ret->key.if_id || ndm->ndm_flags & NTF_PROXY ||
		!rtnl_addr(tb[NDA_DST], ndm->ndm_family, &ret->key.addr))
		return false;
	mac = tb[NDA_LLADDR];
	*ret_state = ndm->ndm_state;
	*ret_usable = nlh->nlmsg_type == RTM_NEWNEIGH && ndm->ndm_state & known && mac &&
		      mnl_attr_get_payload_len(mac) == sizeof(ret->mac);
	if (*ret_usable)
		memcpy(ret->mac, mnl_attr_get_payload(mac), sizeof(ret->mac));
	return true;
}

struct reading {
	struct netlink *nl;
	GArray *neighs; // of struct st_neigh
};

static void each_neigh(const struct nlmsghdr *nlh, void *arg)
{
	struct reading *r = arg;
	struct st_neigh neigh;
	uint16_t state;
	bool usable;

	if (!parse(r->nl, nlh, &neigh, &usable, &state) || !usable || r->neighs->len == NEIGHS_MAX)
		return;
	stale_note(r->nl, &neigh.key, state);
	g_array_append_val(r->neighs, neigh);
}

void netlink_neigh_event(struct netlink *nl, const struct nlmsghdr *nlh)
{
	struct st_neigh neigh;
	uint16_t state;
	bool usable;

	if (!parse(nl, nlh, &neigh, &usable, &state))
		return;
	stale_note(nl, &neigh.key, usable ? state : NUD_NONE);
	if (usable)
		dp_set(nl->dp, ST_NEIGH, &neigh, sizeof(neigh), NULL, 0, NULL, NULL);
	else
		dp_del(nl->dp, ST_NEIGH, &neigh.key, sizeof(neigh.key));
	// Somebody removed what we hold: `ip neigh flush`, for one.
	if (nlh->nlmsg_type == RTM_DELNEIGH && g_hash_table_contains(nl->holds, &neigh.key))
		ask(nl, &neigh.key, true);
}

int netlink_neighs_read(struct netlink *nl)
{
	struct reading r = {.nl = nl, .neighs = g_array_new(FALSE, FALSE, sizeof(struct st_neigh))};
	int ret;
	guint i;

	g_hash_table_remove_all(nl->stale_neighs);
	ret = rtnl_dump(nl->request, RTM_GETNEIGH, AF_INET, each_neigh, &r);
	if (!ret)
		ret = rtnl_dump(nl->request, RTM_GETNEIGH, AF_INET6, each_neigh, &r);
	if (!ret) {
		dp_replace_begin(nl->dp, ST_NEIGH);
		for (i = 0; i < r.neighs->len; i++)
			dp_set(nl->dp, ST_NEIGH, &g_array_index(r.neighs, struct st_neigh, i),
				sizeof(struct st_neigh), NULL, 0, NULL, NULL);
		dp_replace_end(nl->dp, ST_NEIGH);
		hold_all(nl);
	}
	g_array_free(r.neighs, TRUE);
	return ret;
}
