// SPDX-License-Identifier: BSD-3-Clause
//
// Answers of relays that wait for a direct pair; see relay_wait.h. Main loop thread.
#include "relay_wait.h"

#include "ice_internal.h"

struct answer {
	struct st_addr local, remote;
	uint16_t remote_port_be;
	size_t len;
	uint8_t *data;
};

struct relay_wait {
	struct ice_link *link;
	uint32_t agent;
	uint16_t local_port_be;
	guint timer; // 0 = the time is over
	unsigned int n;
	struct answer answers[RELAY_WAIT_MAX];
};

static void clear(struct relay_wait *w)
{
	for (unsigned int k = 0; k < w->n; k++)
		g_free(w->answers[k].data);
	w->n = 0;
}

static gboolean on_over(gpointer arg)
{
	struct relay_wait *w = arg;

	w->timer = 0;
	for (unsigned int k = 0; k < w->n; k++) {
		const struct answer *a = &w->answers[k];

		ice_link_datagram(w->link, w->agent, &a->local, w->local_port_be, &a->remote,
			a->remote_port_be, a->data, a->len);
	}
	clear(w);
	return G_SOURCE_REMOVE;
}

struct relay_wait *relay_wait_new(struct ice_link *link, uint32_t agent, uint16_t local_port_be)
{
	struct relay_wait *w = g_new0(struct relay_wait, 1);

	w->link = link;
	w->agent = agent;
	w->local_port_be = local_port_be;
	w->timer = g_timeout_add(RELAY_WAIT_MS, on_over, w);
	return w;
}

void relay_wait_free(struct relay_wait *w)
{
	if (!w)
		return;
	if (w->timer)
		g_source_remove(w->timer);
	clear(w);
	g_free(w);
}

bool relay_wait_take(struct relay_wait *w, const struct st_addr *local,
	const struct st_addr *remote, uint16_t remote_port_be, const void *data, size_t len)
{
	if (!w || !w->timer)
		return false;
	if (w->n < RELAY_WAIT_MAX)
		w->answers[w->n++] =
			(struct answer){*local, *remote, remote_port_be, len, g_memdup2(data, len)};
	return true;
}
