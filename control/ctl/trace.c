// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl trace: sampled packets with the stages each went through.
#include "ctl.h"
#include "gather.h"
#include "list.h"
#include "summary.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_COUNT 10

struct peer_name {
	uint32_t peer_id;
	char name[64];
};

static void on_peer(const void *body, void *arg)
{
	const struct st_peer *p = body;
	struct peer_name *want = arg;

	if (p->key.peer_id == want->peer_id)
		snprintf(want->name, sizeof(want->name), "%.*s", (int)sizeof(p->name) - 1, p->name);
}

static const char *stage_name(uint8_t stage)
{
	static const char *const names[] = {
#define X(name) #name,
		ST_STAGES(X)
#undef X
	};

	return stage < ST_STAGE_COUNT ? names[stage] : "?";
}

static const char *drop_name(uint16_t drop)
{
	static const char *const names[] = {
#define X(name, text) #name,
		ST_DROP_REASONS(X)
#undef X
	};

	return drop && drop <= ST_DROP_COUNT ? names[drop - 1] : "?";
}

static void print_hops(const struct st_ev_trace *t, const struct gather_names *names)
{
	uint32_t n = t->nb_hops < ST_TRACE_HOPS ? t->nb_hops : ST_TRACE_HOPS;

	for (uint32_t i = 0; i < n; i++) {
		const struct st_trace_hop *h = &t->hops[i];

		printf("  %9u ns  %-11s", h->tsc_ns, stage_name(h->stage));
		if (h->iif)
			printf(" in %s", gather_name(names, h->iif));
		if (h->oif)
			printf(" out %s", gather_name(names, h->oif));
		if (h->drop)
			printf(" dropped: %s", drop_name(h->drop));
		putchar('\n');
	}
}

static void print_text(const struct st_ev_trace *t, const struct gather_names *names, const char *peer)
{
	char what[SUMMARY_MAX];
	uint32_t snap = t->snap_len < ST_TRACE_SNAP ? t->snap_len : ST_TRACE_SNAP;

	printf("#%llu  lcore %u  %u bytes  %s", (unsigned long long)t->seq, t->lcore, t->pkt_len,
		summary_text(what, t->snap, snap));
	if (*peer)
		printf("  peer %s", peer);
	putchar('\n');
	print_hops(t, names);
}

static void print_json(const struct st_ev_trace *t, const struct gather_names *names, const char *peer)
{
	cJSON *o = cJSON_CreateObject(), *hops, *h;
	char what[SUMMARY_MAX], hex[2 * ST_TRACE_SNAP + 1] = "", *text;
	uint32_t snap = t->snap_len < ST_TRACE_SNAP ? t->snap_len : ST_TRACE_SNAP;

	list_json_add(o, "seq", t->seq);
	cJSON_AddNumberToObject(o, "lcore", t->lcore);
	cJSON_AddNumberToObject(o, "bytes", t->pkt_len);
	cJSON_AddStringToObject(o, "peer", peer);
	cJSON_AddStringToObject(o, "summary", summary_text(what, t->snap, snap));
	hops = cJSON_AddArrayToObject(o, "hops");
	for (uint32_t i = 0; i < t->nb_hops && i < ST_TRACE_HOPS; i++) {
		h = cJSON_CreateObject();
		cJSON_AddStringToObject(h, "stage", stage_name(t->hops[i].stage));
		cJSON_AddNumberToObject(h, "ns", t->hops[i].tsc_ns);
		cJSON_AddStringToObject(h, "in", gather_name(names, t->hops[i].iif));
		cJSON_AddStringToObject(h, "out", gather_name(names, t->hops[i].oif));
		if (t->hops[i].drop)
			cJSON_AddStringToObject(h, "drop", drop_name(t->hops[i].drop));
		cJSON_AddItemToArray(hops, h);
	}
	for (uint32_t i = 0; i < snap; i++)
		snprintf(hex + 2 * i, 3, "%02x", t->snap[i]);
	cJSON_AddStringToObject(o, "snap", hex);
	text = cJSON_PrintUnformatted(o);
	if (!text)
		abort();
	puts(text); // one object per line: a trace has no end that a list could wait for
	cJSON_free(text);
	cJSON_Delete(o);
}

static int find_iface(const struct gather_names *names, const char *want, uint32_t *ret)
{
	for (uint32_t i = 1; i < ST_MAX_IFACES; i++) {
		if (strcmp(names->names[i], want))
			continue;
		*ret = i;
		return CTL_OK;
	}
	return ctl_error(CTL_FAILED, "no port or interface %s; straitctl ports lists them", want);
}

static int follow(const struct ctl *c, struct dpclient *dp, struct dpclient *names_dp,
	const struct gather_names *names, uint32_t count)
{
	uint32_t seen = 0;

	while (seen < count) {
		struct peer_name peer = {.peer_id = ST_NO_PEER};
		const struct st_msg *m;
		struct st_ev_trace t;
		int err = dpclient_event(dp, -1, -1, &m);

		if (err == -EINTR)
			return CTL_OK;
		if (err)
			return gather_status(err, c);
		if (m->kind != ST_EV_TRACE || m->body_len < sizeof(t))
			continue;
		memcpy(&t, dp->buf + sizeof(*m), sizeof(t));
		peer.peer_id = t.peer_id;
		if (t.peer_id != ST_NO_PEER &&
			dpclient_dump(names_dp, ST_PEER, sizeof(struct st_peer), on_peer, &peer))
			*peer.name = 0;
		if (c->json)
			print_json(&t, names, peer.name);
		else
			print_text(&t, names, peer.name);
		if (fflush(stdout))
			return CTL_FAILED; // nobody reads any more
		seen++;
	}
	return CTL_OK;
}

int trace_run(const struct ctl *c, int argc, char **argv)
{
	struct st_trace t = {
		.key = {.id = 1}, .count = c->count ? c->count : DEFAULT_COUNT, .one_in = c->one_in};
	struct gather_names names;
	struct dpclient dp, names_dp;
	int status = gather_open(&dp, c), err;

	if (status)
		return status;
	// Names are asked for on a connection of their own, so that no trace is passed over.
	status = gather_open(&names_dp, c);
	if (!status)
		status = gather_status(gather_names(&names_dp, &names), c);
	if (!status && c->iface)
		status = find_iface(&names, c->iface, &t.if_id);
	if (!status) {
		ctl_catch_signals();
		err = dpclient_set(&dp, ST_TRACE, &t, sizeof(t), -1);
		status = err ? ctl_error(CTL_FAILED, "strait-dp refused the trace: %s",
				       strerror(-err))
			     : follow(c, &dp, &names_dp, &names, t.count);
	}
	dpclient_close(&names_dp);
	dpclient_close(&dp); // ends the trace
	return status;
}
