// SPDX-License-Identifier: BSD-3-Clause
//
// Allowed IPs: one trie per WireGuard interface, from prefix to peer. An identical prefix moves to the
// peer that was named last. main writes.
#include "../reclaim.h"
#include "iface.h"
#include "lpm.h"
#include "peer.h"

#include <errno.h>
#include <string.h>

static bool is_v6(const struct st_prefix *p)
{
	static const uint8_t v4_mapped[12] = {[10] = 0xff, [11] = 0xff};

	return p->plen < 96 || memcmp(p->addr.b, v4_mapped, sizeof(v4_mapped)) != 0;
}

static bool prefix_ok(const struct st_prefix *p)
{
	if (p->plen > 128 || p->pad[0] != 0 || p->pad[1] != 0 || p->pad[2] != 0)
		return false;
	for (unsigned int i = p->plen; i < 128; i++)
		if ((p->addr.b[i / 8] & (0x80 >> (i % 8))) != 0)
			return false;
	return true;
}

int allowed_ip_set(const void *body, const void *old)
{
	const struct st_allowed_ip *a = body;
	struct peer *peer = peer_by_id(a->peer_id);
	const struct iface *iface;
	void *was = NULL;

	if (!prefix_ok(&a->key.prefix))
		return -EINVAL;
	if (peer == NULL)
		return -ENOENT;
	if (peer->if_id != a->key.if_id)
		return -EINVAL;
	iface = iface_get(peer->if_id);
	if (iface == NULL || iface->allowed_ips == NULL)
		return -ENODEV;
	return lpm_set(iface->allowed_ips, is_v6(&a->key.prefix), &a->key.prefix, peer, &was);
}

void allowed_ip_del(const void *body)
{
	const struct st_allowed_ip *a = body;
	const struct iface *iface = iface_get((uint16_t)a->key.if_id);

	if (iface == NULL || iface->allowed_ips == NULL)
		return;
	(void)lpm_del(iface->allowed_ips, is_v6(&a->key.prefix), &a->key.prefix);
}
