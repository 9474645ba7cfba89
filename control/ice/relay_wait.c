// SPDX-License-Identifier: BSD-3-Clause
//
// Answers of relays that wait for a direct pair; see relay_wait.h. Main loop thread.
#include "relay_wait.h"

#include "ice_internal.h"

struct relay_wait {
	struct ice_link *link;
	uint32_t agent;
	uint16_t local_port_be;
	bool direct; // such a pair works
	guint timer; // 0 = the time is over
	unsigned int n;
	struct relay_wait_answer answers[RELAY_WAIT_MAX]; // data is ours
};

// Those of strangers stay when they have to.
static void deliver(struct relay_wait *w, bool strangers)
{
	unsigned int kept = 0;

	for (unsigned int k = 0; k < w->n; k++) {
		const struct relay_wait_answer *a = &w->answers[k];

		if (a->stranger && !strangers) {
			w->answers[kept++] = *a;
			continue;
		}
		ice_link_datagram(w->link, w->agent, &a->local, w->local_port_be, &a->remote,
			a->remote_port_be, a->data, a->len);
		g_free((void *)a->data);
	}
	w->n = kept;
}

static gboolean on_over(gpointer arg)
{
	struct relay_wait *w = arg;

	w->timer = 0;
	deliver(w, true);
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
	for (unsigned int k = 0; k < w->n; k++)
		g_free((void *)w->answers[k].data);
	g_free(w);
}

bool relay_wait_take(struct relay_wait *w, const struct relay_wait_answer *a)
{
	if (!w || !w->timer || (w->direct && !a->stranger))
		return false;
	if (w->n < RELAY_WAIT_MAX) {
		w->answers[w->n] = *a;
		w->answers[w->n++].data = g_memdup2(a->data, a->len);
	}
	return true;
}

void relay_wait_direct(struct relay_wait *w)
{
	if (!w || w->direct)
		return;
	w->direct = true;
	deliver(w, false);
}
