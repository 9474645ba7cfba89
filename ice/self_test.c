// SPDX-License-Identifier: BSD-3-Clause
//
// A probe agent on an address that no machine has (RFC 5737): only through the shim can it be bound (or in the
// namespace of strait-ice-tun, which gives it to itself). Its candidate must read just that, its request to a TURN server must come out at the shim, and the answer
// that is put in must be read.
#include "self_test.h"

#include "socket_shim.h"

#include <nice/agent.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define LOCAL       SELF_TEST_ADDRESS
#define SERVER      "192.0.2.2"
#define PORT        51820
#define SERVER_PORT 3478
#define WAIT_MS     3000

struct probe {
	struct shim_owner shim; // first
	unsigned int requests;  // to the TURN server
	bool strange;           // went elsewhere
	bool again;             // a second request: our answer to the first was read
};

// 401 with realm and nonce: libnice asks again, with credentials.
static size_t challenge(uint8_t *out, const uint8_t *request)
{
	static const uint8_t attrs[] = {0x00, 0x09, 0x00, 0x04, 0, 0, 4, 1, 0x00, 0x14, 0x00, 0x04,
		't', 'e', 's', 't', 0x00, 0x15, 0x00, 0x04, 'o', 'n', 'c', 'e'};

	memcpy(out, request, 20);
	out[0] = 0x01;
	out[1] = 0x13;
	out[2] = 0;
	out[3] = sizeof(attrs);
	memcpy(out + 20, attrs, sizeof(attrs));
	return 20 + sizeof(attrs);
}

static void probe_send(struct shim_owner *o, const struct shim_socket *s,
	const struct ice_msg_addr *to, const uint8_t *data, size_t len)
{
	struct probe *p = (struct probe *)o;
	struct shim_socket *back = (struct shim_socket *)s;
	uint8_t answer[64];

	if (to->port_be != htons(SERVER_PORT) || len < 20) {
		p->strange = true;
		return;
	}
	if (p->requests++) {
		p->again = len > 28; // it has credentials now
		return;
	}
	shim_push(back, to, answer, challenge(answer, data));
}

static gboolean on_timeout(gpointer arg)
{
	*(bool *)arg = true;
	return G_SOURCE_REMOVE;
}

static bool host_candidate_is_ours(NiceAgent *nice, guint stream)
{
	GSList *all = nice_agent_get_local_candidates(nice, stream, 1);
	bool ok = false;

	for (GSList *l = all; l; l = l->next) {
		NiceCandidate *c = l->data;
		char text[INET6_ADDRSTRLEN];

		nice_address_to_string(&c->addr, text);
		ok |= c->type == NICE_CANDIDATE_TYPE_HOST && !strcmp(text, LOCAL) &&
		      nice_address_get_port(&c->addr) == PORT;
	}
	g_slist_free_full(all, (GDestroyNotify)nice_candidate_free);
	return ok;
}

static void on_data(
	NiceAgent *nice, guint stream, guint component, guint len, gchar *buf, gpointer arg)
{
}

static bool run(struct probe *p, NiceAgent *nice, GMainContext *context)
{
	guint stream = nice_agent_add_stream(nice, 1);
	GSource *timer = g_timeout_source_new(WAIT_MS);
	bool late = false, ok;

	g_source_set_callback(timer, on_timeout, &late, NULL);
	g_source_attach(timer, context);
	(void)shim_port(&p->shim);
	nice_agent_set_port_range(nice, stream, 1, PORT, PORT);
	nice_agent_set_relay_info(
		nice, stream, 1, SERVER, SERVER_PORT, "user", "pass", NICE_RELAY_TYPE_TURN_UDP);
	nice_agent_attach_recv(nice, stream, 1, context, on_data, NULL);
	shim_begin(&p->shim);
	ok = nice_agent_gather_candidates(nice, stream);
	shim_end();
	while (ok && !p->strange && !p->again && !late)
		g_main_context_iteration(context, TRUE);
	ok = ok && p->again && !p->strange && host_candidate_is_ours(nice, stream);
	g_source_destroy(timer);
	g_source_unref(timer);
	nice_agent_remove_stream(nice, stream);
	return ok;
}

int self_test(void)
{
	struct probe p = {.shim = {.send = probe_send, .port_be = htons(PORT)}};
	GMainContext *context = g_main_context_new();
	GSource *reader = shim_source_new();
	NiceAgent *nice = nice_agent_new_full(context, NICE_COMPATIBILITY_RFC5245,
		NICE_AGENT_OPTION_REGULAR_NOMINATION | NICE_AGENT_OPTION_ICE_TRICKLE);
	NiceAddress local;
	bool ok;

	if (reader)
		g_source_attach(reader, context);
	g_object_set(nice, "ice-tcp", FALSE, "upnp", FALSE, NULL);
	nice_address_init(&local);
	ok = nice_address_set_from_string(&local, LOCAL) &&
	     nice_agent_add_local_address(nice, &local) && run(&p, nice, context);
	shim_release(&p.shim);
	g_object_unref(nice);
	if (reader) {
		g_source_destroy(reader);
		g_source_unref(reader);
	}
	g_main_context_unref(context);
	return ok ? 0 : -ENOTSUP;
}
