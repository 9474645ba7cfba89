// SPDX-License-Identifier: BSD-3-Clause
//
// /metrics; see metrics.h. Main loop thread. What the lcores count is asked for when somebody looks: the request
// waits for the dumps, and is answered without them when the data plane is away.
#include "metrics.h"

#include "../addr.h"
#include "../scrape.h"
#include "server_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libsoup/soup.h>
#include <string.h>

struct turn_metrics {
	struct turn *turn;
	SoupServer *server;
	struct scrape *scrape;
	struct st_addr addr;
	uint16_t port;
	GQueue requests; // of struct request *
};

struct request {
	struct turn_metrics *metrics; // NULL: the server ended
	SoupServerMessage *msg;
	struct st_stat_turn lcores;
	uint64_t drops[ST_DROP_COUNT];
	GList link;
};

static const char *const drop_names[ST_DROP_COUNT] = {
#define X(name, text) [ST_DROP_##name] = #name,
	ST_DROP_REASONS(X)
#undef X
};

static const char *const transports[TURN_TRANSPORTS] = {"udp", "tcp", "tls"};

static void describe(GString *out, const char *name, const char *type, const char *help)
{
	g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(GString *out, const char *name, const char *type, const char *help, uint64_t value)
{
	describe(out, name, type, help);
	g_string_append_printf(out, "%s %" G_GUINT64_FORMAT "\n", name, value);
}

static void labelled(GString *out, const char *name, const char *label, const char *value, uint64_t v)
{
	g_string_append_printf(out, "%s{%s=\"%s\"} %" G_GUINT64_FORMAT "\n", name, label, value, v);
}

static void add_traffic(GString *out, const struct turn_stats *s, const struct st_stat_turn *l)
{
	static const char *const ways[2] = {"to_peer", "to_client"};

	describe(out, "strait_turn_packets_total", "counter", "Packets relayed.");
	for (int i = 0; i < 2; i++)
		labelled(out, "strait_turn_packets_total", "direction", ways[i],
			l->packets[i] + s->stream_packets[i]);
	describe(out, "strait_turn_bytes_total", "counter", "Bytes of UDP payload relayed.");
	for (int i = 0; i < 2; i++)
		labelled(out, "strait_turn_bytes_total", "direction", ways[i],
			l->bytes[i] + s->stream_bytes[i]);
	single(out, "strait_turn_send_indications_total", "counter", "Send indications on lcores.",
		l->send_indications);
	single(out, "strait_turn_data_indications_total", "counter", "Data indications on lcores.",
		l->data_indications);
	single(out, "strait_turn_hairpin_total", "counter",
		"Packets from client to client of this box.", l->hairpin);
	single(out, "strait_turn_kernel_dropped_total", "counter",
		"Packets of TCP and TLS clients that were dropped.", s->kernel_dropped);
	single(out, "strait_turn_icmp_errors_total", "counter",
		"ICMP errors about peers that clients were told.", s->icmp_told);
}

static void add_states(GString *out, const struct turn_core *c)
{
	uint64_t installing = 0, idle = 0;
	GHashTableIter iter;
	gpointer value;

	g_hash_table_iter_init(&iter, c->by_id);
	while (g_hash_table_iter_next(&iter, NULL, &value)) {
		const struct turn_allocation *a = value;

		installing += a->installing;
		idle += !a->installing && !a->permissions->len;
	}
	describe(out, "strait_turn_allocation_states",
		"gauge", "Allocations that wait for the data plane, that have no permission yet, and that have.");
	labelled(out, "strait_turn_allocation_states", "state", "installing", installing);
	labelled(out, "strait_turn_allocation_states", "state", "without_permission", idle);
	labelled(out, "strait_turn_allocation_states", "state", "permitted",
		g_hash_table_size(c->by_id) - installing - idle);
}

static void add_sessions(GString *out, const struct turn_core *c, const struct turn *t)
{
	describe(out, "strait_turn_allocations", "gauge",
		"Allocations that live, by transport of the client.");
	for (int i = 0; i < TURN_TRANSPORTS; i++)
		labelled(out, "strait_turn_allocations", "transport", transports[i],
			c->by_transport[i]);
	add_states(out, c);
	single(out, "strait_turn_allocations_made_total", "counter", "Allocations made.",
		c->stats.allocations_made);
	single(out, "strait_turn_allocations_ended_total", "counter", "Allocations ended.",
		c->stats.allocations_ended);
	single(out, "strait_turn_draining", "gauge", "1 while no new allocations are taken.",
		c->draining);
	single(out, "strait_turn_connections", "gauge", "Connections by TCP and TLS.",
		turn_streams_count(t->streams));
	describe(out, "strait_turn_ports_free", "gauge", "Relay ports that can be given out now.");
	for (guint i = 0; i < c->config->relays->len; i++) {
		const struct turn_config_relay *r = c->config->relays->pdata[i];
		char text[ADDR_TEXT_MAX];

		labelled(out, "strait_turn_ports_free", "address", addr_text(text, &r->addr),
			turn_ports_unused(c->ports, i));
	}
}

static void add_requests(GString *out, const struct turn_core *c, const struct st_stat_turn *l)
{
	static const struct {
		int method;
		const char *name;
	} methods[] = {{STUN_BINDING, "binding"}, {STUN_ALLOCATE, "allocate"},
		{STUN_REFRESH, "refresh"}, {STUN_CREATE_PERMISSION, "create_permission"},
		{STUN_CHANNEL_BIND, "channel_bind"}};
	char code[8];

	describe(out, "strait_turn_requests_total", "counter",
		"Requests, Binding on lcores included.");
	for (size_t i = 0; i < G_N_ELEMENTS(methods); i++)
		labelled(out, "strait_turn_requests_total", "method", methods[i].name,
			c->stats.requests[methods[i].method] +
				(methods[i].method == STUN_BINDING ? l->binding_requests : 0));
	describe(out, "strait_turn_errors_total", "counter", "Error answers by number.");
	for (int i = 300; i < 600; i++) {
		if (!c->stats.errors[i])
			continue;
		g_snprintf(code, sizeof(code), "%d", i);
		labelled(out, "strait_turn_errors_total", "code", code, c->stats.errors[i]);
	}
	single(out, "strait_turn_malformed_total", "counter",
		"Messages discarded without an answer.", c->stats.malformed);
	single(out, "strait_turn_strangers_dropped_total", "counter",
		"First messages of strangers that were too many to wait.",
		c->stats.strangers_dropped);
	single(out, "strait_turn_replies_limited_total", "counter",
		"Answers to strangers that the limit per source held back.",
		c->replies.limited + l->binding_limited);
	single(out, "strait_turn_allocations_limited_total", "counter",
		"Allocations refused by allocations_per_user_s.", c->new_allocations.limited);
	single(out, "strait_turn_new_peers_limited_total", "counter",
		"Permissions and channels refused by new_peers_per_user_min.", c->new_peers.limited);
}

static char *write_text(const struct request *r)
{
	const struct turn *t = r->metrics->turn;
	GString *out = g_string_new(NULL);

	add_traffic(out, &t->core.stats, &r->lcores);
	add_sessions(out, &t->core, t);
	add_requests(out, &t->core, &r->lcores);
	describe(out, "strait_drops_total", "counter", "Packets dropped on lcores, by reason.");
	for (int i = 0; i < ST_DROP_COUNT; i++)
		labelled(out, "strait_drops_total", "reason", drop_names[i], r->drops[i]);
	single(out, "strait_dataplane_up", "gauge", "1 while the data plane answers.",
		dp_connected(t->dp));
	return g_string_free(out, FALSE);
}

// ---- a request -------------------------------------------------------------------------------------

static void request_end(struct request *r)
{
	if (r->metrics) {
		char *text = write_text(r);

		soup_server_message_set_status(r->msg, SOUP_STATUS_OK, NULL);
		soup_server_message_set_response(
			r->msg, "text/plain; version=0.0.4", SOUP_MEMORY_TAKE, text, strlen(text));
		g_queue_unlink(&r->metrics->requests, &r->link);
		soup_server_message_unpause(r->msg);
	}
	g_object_unref(r->msg);
	g_free(r);
}

static void on_turn(const void *body, uint16_t len, void *arg)
{
	struct request *r = arg;

	if (len == sizeof(r->lcores))
		memcpy(&r->lcores, body, sizeof(r->lcores));
}

static void on_drop(const void *body, uint16_t len, void *arg)
{
	const struct st_stat_drop *d = body;
	struct request *r = arg;

	if (len == sizeof(*d) && d->reason < ST_DROP_COUNT)
		r->drops[d->reason] += d->packets;
}

static void on_drops_done(int status, void *arg)
{
	request_end(arg);
}

static void on_turn_done(int status, void *arg)
{
	struct request *r = arg;

	if (r->metrics)
		dp_dump(r->metrics->turn->dp, ST_STAT_DROP, on_drop, on_drops_done, r);
	else
		request_end(r);
}

static void on_request(SoupServer *server, SoupServerMessage *msg, const char *path,
	GHashTable *query, gpointer arg)
{
	const char *method = soup_server_message_get_method(msg);
	struct turn_metrics *m = arg;
	struct request *r;

	if (strcmp(path, "/metrics")) {
		soup_server_message_set_status(msg, SOUP_STATUS_NOT_FOUND, NULL);
		return;
	}
	if (strcmp(method, "GET") && strcmp(method, "HEAD")) {
		soup_server_message_set_status(msg, SOUP_STATUS_METHOD_NOT_ALLOWED, NULL);
		return;
	}
	if (!m->turn->applied || m->requests.length >= 16) {
		soup_server_message_set_status(msg, SOUP_STATUS_SERVICE_UNAVAILABLE, NULL);
		return;
	}
	r = g_new0(struct request, 1);
	r->metrics = m;
	r->msg = g_object_ref(msg);
	r->link.data = r;
	g_queue_push_tail_link(&m->requests, &r->link);
	soup_server_message_pause(msg);
	dp_dump(m->turn->dp, ST_STAT_TURN, on_turn, on_turn_done, r);
}

// ---- life ------------------------------------------------------------------------------------------

struct turn_metrics *turn_metrics_new(struct turn *t)
{
	struct turn_metrics *m = g_new0(struct turn_metrics, 1);

	m->turn = t;
	g_queue_init(&m->requests);
	return m;
}

void turn_metrics_stop(struct turn_metrics *m)
{
	if (!m->server)
		return;
	for (GList *l = m->requests.head; l; l = l->next)
		((struct request *)l->data)->metrics = NULL;
	g_queue_init(&m->requests);
	scrape_free(m->scrape);
	m->scrape = NULL;
	soup_server_disconnect(m->server);
	g_clear_object(&m->server);
}

void turn_metrics_free(struct turn_metrics *m)
{
	if (!m)
		return;
	turn_metrics_stop(m);
	g_free(m);
}

int turn_metrics_apply(struct turn_metrics *m, const struct turn_config *c, char **ret_error)
{
	struct sockaddr_storage ss;
	char text[TUPLE_TEXT_MAX];
	GSocketAddress *address;
	GError *error = NULL;
	socklen_t len;

	if (m->server && c->metrics_port == m->port &&
		!memcmp(&c->metrics_addr, &m->addr, sizeof(m->addr)))
		return 0;
	turn_metrics_stop(m);
	if (!c->metrics_port)
		return 0;
	m->server = soup_server_new("server-header", "strait", NULL);
	soup_server_add_handler(m->server, NULL, on_request, m, NULL);
	len = addr_to_sockaddr(&ss, &c->metrics_addr, htons(c->metrics_port));
	address = g_socket_address_new_from_native(&ss, len);
	m->scrape = scrape_new(m->server, address, &error);
	g_object_unref(address);
	if (!m->scrape) {
		*ret_error = g_strdup_printf("turn: cannot serve /metrics on %s: %s",
			tuple_text(text, &c->metrics_addr, htons(c->metrics_port)), error->message);
		g_error_free(error);
		turn_metrics_stop(m);
		return -EADDRINUSE;
	}
	m->addr = c->metrics_addr;
	m->port = c->metrics_port;
	return 0;
}
