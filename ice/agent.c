// SPDX-License-Identifier: BSD-3-Clause
//
// One libnice agent; see agent.h. The shard's thread. libnice's own idea of a STUN server is not used
// (straitd asks once for all), each remote address comes here once (straitd sees to it), and the agent is
// only removed in the callback of nice_agent_close_async, as its sockets are in use until then.
#include "agent.h"

#include <nice/agent.h>

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

struct agent {
	struct shim_owner shim; // first: shim's send gets it
	struct shard *shard;
	uint32_t id;
	NiceAgent *nice;
	guint stream;
	bool closing;
	bool failed; // told, until it works again
};

static void tell(struct agent *a, uint16_t type, void *msg, size_t len)
{
	struct ice_msg *head = msg;

	head->type = type;
	head->agent = a->id;
	if (send(a->shard->fd, msg, len, MSG_NOSIGNAL) < 0)
		g_main_loop_quit(a->shard->loop);
}

static void tell_status(struct agent *a, uint16_t type, int status)
{
	struct ice_msg_status msg = {.status = status};

	tell(a, type, &msg, sizeof(msg));
}

// A datagram that finds no room is lost, as on a wire.
static void shim_send(struct shim_owner *o, const struct shim_socket *s,
	const struct ice_msg_addr *to, const uint8_t *data, size_t len)
{
	struct agent *a = (struct agent *)o;
	struct ice_msg_datagram head = {
		.head = {.type = ICE_MSG_DATAGRAM, .agent = a->id},
		.local = s->local,
		.remote = *to,
		.len = (uint32_t)len,
	};
	struct iovec iov[] = {{&head, sizeof(head)}, {(void *)data, len}};
	struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};

	(void)!sendmsg(a->shard->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// ---- addresses -----------------------------------------------------------------------------------------

static void to_nice(NiceAddress *ret, const struct ice_msg_addr *a)
{
	static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
	guint32 ip;

	nice_address_init(ret);
	if (!memcmp(a->addr, v4, sizeof(v4))) {
		memcpy(&ip, a->addr + 12, 4);
		nice_address_set_ipv4(ret, ntohl(ip));
	} else {
		nice_address_set_ipv6(ret, a->addr);
	}
	nice_address_set_port(ret, ntohs(a->port_be));
}

static void from_nice(struct ice_msg_addr *ret, const NiceAddress *a)
{
	struct sockaddr_storage ss;

	memset(ret, 0, sizeof(*ret));
	if (!nice_address_is_valid(a))
		return;
	nice_address_copy_to_sockaddr(a, (struct sockaddr *)&ss);
	if (ss.ss_family == AF_INET) {
		const struct sockaddr_in *sin = (const struct sockaddr_in *)&ss;

		ret->addr[10] = ret->addr[11] = 0xff;
		memcpy(ret->addr + 12, &sin->sin_addr, 4);
		ret->port_be = sin->sin_port;
	} else {
		const struct sockaddr_in6 *sin6 = (const struct sockaddr_in6 *)&ss;

		memcpy(ret->addr, &sin6->sin6_addr, 16);
		ret->port_be = sin6->sin6_port;
	}
}

static uint32_t type_from_nice(NiceCandidateType type)
{
	switch (type) {
	case NICE_CANDIDATE_TYPE_HOST:
		return ICE_MSG_HOST;
	case NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE:
		return ICE_MSG_SRFLX;
	case NICE_CANDIDATE_TYPE_PEER_REFLEXIVE:
		return ICE_MSG_PRFLX;
	case NICE_CANDIDATE_TYPE_RELAYED:
		return ICE_MSG_RELAY;
	}
	return ICE_MSG_HOST;
}

static NiceCandidateType type_to_nice(uint32_t type)
{
	static const NiceCandidateType types[] = {
		[ICE_MSG_HOST] = NICE_CANDIDATE_TYPE_HOST,
		[ICE_MSG_SRFLX] = NICE_CANDIDATE_TYPE_SERVER_REFLEXIVE,
		[ICE_MSG_PRFLX] = NICE_CANDIDATE_TYPE_PEER_REFLEXIVE,
		[ICE_MSG_RELAY] = NICE_CANDIDATE_TYPE_RELAYED,
	};

	return types[type % G_N_ELEMENTS(types)];
}

// ---- from libnice --------------------------------------------------------------------------------------

static void on_candidate(NiceAgent *nice, NiceCandidate *c, gpointer arg)
{
	struct ice_msg_candidate msg = {.type = type_from_nice(c->type), .priority = c->priority};
	struct agent *a = arg;

	// Host addresses are straitd's to tell. A server-reflexive one is that of a socket towards a TURN
	// server, where nothing of a peer ever arrives.
	if (a->closing || c->type != NICE_CANDIDATE_TYPE_RELAYED)
		return;
	from_nice(&msg.addr, &c->addr);
	from_nice(&msg.base, &c->base_addr);
	tell(a, ICE_MSG_LOCAL_CANDIDATE, &msg, sizeof(msg));
}

static void on_selected(NiceAgent *nice, guint stream, guint component, NiceCandidate *local,
	NiceCandidate *remote, gpointer arg)
{
	struct ice_msg_selected msg = {
		.local_type = type_from_nice(local->type),
		.remote_type = type_from_nice(remote->type),
	};
	struct agent *a = arg;

	if (a->closing)
		return;
	from_nice(&msg.local, &local->addr);
	from_nice(&msg.base, &local->base_addr);
	from_nice(&msg.remote, &remote->addr);
	tell(a, ICE_MSG_SELECTED, &msg, sizeof(msg));
}

static void on_state(NiceAgent *nice, guint stream, guint component, guint state, gpointer arg)
{
	struct agent *a = arg;

	if (a->closing)
		return;
	if (state == NICE_COMPONENT_STATE_FAILED)
		tell_status(a, ICE_MSG_FAILED, 0);
}

static void on_gathered(NiceAgent *nice, guint stream, gpointer arg)
{
	struct agent *a = arg;

	if (!a->closing)
		tell_status(a, ICE_MSG_GATHERED, 0);
}

// Data is straitd's: what is not STUN never comes here.
static void on_data(
	NiceAgent *nice, guint stream, guint component, guint len, gchar *buf, gpointer arg)
{
}

// ---- life ----------------------------------------------------------------------------------------------

static NiceAgent *nice_new(struct agent *a, const struct ice_msg_new *msg)
{
	NiceAgent *nice = nice_agent_new_full(a->shard->context, NICE_COMPATIBILITY_RFC5245,
		NICE_AGENT_OPTION_REGULAR_NOMINATION | NICE_AGENT_OPTION_ICE_TRICKLE |
			NICE_AGENT_OPTION_CONSENT_FRESHNESS);

	g_object_set(nice, "controlling-mode", msg->controlling != 0, "ice-tcp", FALSE, "upnp",
		FALSE, "keepalive-conncheck", TRUE, "force-relay", msg->relay_only != 0, NULL);
	g_signal_connect(nice, "new-candidate-full", G_CALLBACK(on_candidate), a);
	g_signal_connect(nice, "new-selected-pair-full", G_CALLBACK(on_selected), a);
	g_signal_connect(nice, "component-state-changed", G_CALLBACK(on_state), a);
	g_signal_connect(nice, "candidate-gathering-done", G_CALLBACK(on_gathered), a);
	return nice;
}

static void configure(struct agent *a, const struct ice_msg_new *msg)
{
	uint16_t port_be = shim_port(&a->shim);
	NiceAddress addr;
	char server[INET6_ADDRSTRLEN];

	for (uint32_t n = 0; n < msg->nb_addrs; n++) {
		to_nice(&addr, &msg->addrs[n]);
		nice_agent_add_local_address(a->nice, &addr);
	}
	a->stream = nice_agent_add_stream(a->nice, 1);
	nice_agent_set_port_range(a->nice, a->stream, 1, ntohs(port_be), ntohs(port_be));
	nice_agent_set_local_credentials(a->nice, a->stream, msg->ufrag, msg->pwd);
	for (uint32_t n = 0; n < msg->nb_relays; n++) {
		const struct ice_msg_relay *r = &msg->relays[n];

		to_nice(&addr, &r->server);
		nice_address_to_string(&addr, server);
		// TCP and TLS towards the server are straitd's business; libnice sees datagrams.
		nice_agent_set_relay_info(a->nice, a->stream, 1, server, ntohs(r->server.port_be),
			r->username, r->password, NICE_RELAY_TYPE_TURN_UDP);
	}
	nice_agent_attach_recv(a->nice, a->stream, 1, a->shard->context, on_data, a);
}

static bool terminated(const char *s, size_t size)
{
	return memchr(s, 0, size) != NULL;
}

static bool new_valid(const struct ice_msg_new *msg)
{
	if (msg->nb_addrs > ICE_MSG_ADDRS || msg->nb_relays > ICE_MSG_RELAYS || !msg->port_be ||
		!terminated(msg->ufrag, sizeof(msg->ufrag)) ||
		!terminated(msg->pwd, sizeof(msg->pwd)))
		return false;
	for (uint32_t n = 0; n < msg->nb_relays; n++) {
		if (!terminated(msg->relays[n].username, ICE_MSG_TEXT) ||
			!terminated(msg->relays[n].password, ICE_MSG_TEXT))
			return false;
	}
	return true;
}

void agent_new(struct shard *shard, const struct ice_msg_new *msg)
{
	struct agent *a;
	gboolean ok;

	if (!new_valid(msg) ||
		g_hash_table_contains(shard->agents, GUINT_TO_POINTER(msg->head.agent)))
		return;
	a = g_new0(struct agent, 1);
	a->shim.send = shim_send;
	a->shim.port_be = msg->port_be;
	a->shard = shard;
	a->id = msg->head.agent;
	a->nice = nice_new(a, msg);
	g_hash_table_insert(shard->agents, GUINT_TO_POINTER(a->id), a);
	configure(a, msg);
	shim_begin(&a->shim);
	ok = nice_agent_gather_candidates(a->nice, a->stream);
	shim_end();
	if (!ok)
		tell_status(a, ICE_MSG_GATHERED, -EADDRNOTAVAIL);
}

void agent_remote(struct agent *a, const struct ice_msg_remote *msg)
{
	if (!a->closing && terminated(msg->ufrag, sizeof(msg->ufrag)) &&
		terminated(msg->pwd, sizeof(msg->pwd)))
		nice_agent_set_remote_credentials(a->nice, a->stream, msg->ufrag, msg->pwd);
}

void agent_remote_candidate(struct agent *a, const struct ice_msg_candidate *msg)
{
	NiceCandidate *c;
	GSList *one;

	if (a->closing)
		return;
	c = nice_candidate_new(type_to_nice(msg->type));
	c->stream_id = a->stream;
	c->component_id = 1;
	c->transport = NICE_CANDIDATE_TRANSPORT_UDP;
	c->priority = msg->priority;
	to_nice(&c->addr, &msg->addr);
	g_strlcpy(c->foundation, msg->foundation, sizeof(c->foundation));
	one = g_slist_prepend(NULL, c);
	nice_agent_set_remote_candidates(a->nice, a->stream, 1, one);
	g_slist_free_full(one, (GDestroyNotify)nice_candidate_free);
}

void agent_datagram(struct agent *a, const struct ice_msg_datagram *msg, const uint8_t *data)
{
	struct shim_socket *s = shim_find(&a->shim, &msg->local);

	if (s)
		shim_push(s, &msg->remote, data, msg->len);
}

static void on_closed(GObject *object, GAsyncResult *result, gpointer arg)
{
	struct agent *a = arg;

	nice_agent_remove_stream(a->nice, a->stream);
	g_hash_table_remove(a->shard->agents, GUINT_TO_POINTER(a->id));
	shim_release(&a->shim);
	g_object_unref(a->nice);
	tell_status(a, ICE_MSG_CLOSED, 0);
	g_free(a);
}

void agent_close(struct agent *a)
{
	if (a->closing)
		return;
	a->closing = true;
	g_signal_handlers_disconnect_by_data(a->nice, a);
	nice_agent_close_async(a->nice, on_closed, a);
}
