// SPDX-License-Identifier: BSD-3-Clause
//
// UDP listeners of the TURN server; see server_parts.h. Main loop thread. Lcores take ChannelData, Send
// indications and Binding requests off the wire; what comes here is the rest of STUN, and everything of clients
// that reach us by a device that is not ours. An answer leaves from the address that was asked.
#include "../addr.h"
#include "../config/config.h"
#include "../dp/ids.h"
#include "../wg/wg_socket.h"
#include "server_parts.h"

#include <glib-unix.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCHES_PER_DISPATCH 8
#define SOCKET_ID_BASE       0x54000000u
#define SEND_INDICATION      0x16
#define OTHERS_PRIORITY      (G_PRIORITY_DEFAULT + 10)

static void purpose_of(char out[61], const struct turn_udp_socket *s)
{
	const struct turn_udp *u = s->udp;
	char text[ADDR_TEXT_MAX];

	g_snprintf(out, 60, "turn %s %s %u", s->lane == TURN_LANE_KNOWN ? "udp" : "others",
		addr_is_zero(&u->addr) ? (u->v4 ? "0.0.0.0" : "::") : addr_text(text, &u->addr),
		u->port);
}

// ---- receiving -------------------------------------------------------------------------------------

static bool device_is_ours(int ifindex)
{
	char name[IF_NAMESIZE];

	return if_indextoname((unsigned int)ifindex, name) && ids_find(name);
}

// For the lcores, that no lcore has seen. By a port of ours one has, and had its reason.
static void pass_down(struct turn_udp *u, const struct wg_datagram *d)
{
	struct st_packet_io io = {
		.peer_id = ST_NO_PEER,
		.local = d->local,
		.remote = d->remote,
		.local_port_be = htons(u->port),
		.remote_port_be = d->remote_port_be,
	};

	if (device_is_ours(d->ifindex))
		return;
	u->turn->core.stats.packets_passed_down++;
	dp_packet_out(u->turn->dp, &io, d->data, d->len);
}

static void on_datagram(const struct wg_datagram *d, void *arg)
{
	struct turn_udp *u = arg;
	struct turn_tuple tuple = {
		.client = d->remote,
		.server = d->local,
		.client_port_be = d->remote_port_be,
		.server_port_be = htons(u->port),
		.transport = TURN_UDP,
	};

	if (!u->turn->applied || !d->len || addr_is_zero(&d->local))
		return;
	if ((d->data[0] & 0xc0) == 0x40 ||
		(d->len >= 2 && !d->data[0] && d->data[1] == SEND_INDICATION))
		pass_down(u, d);
	else if (turn_core_is_stranger(&u->turn->core, &tuple, d->data, d->len))
		turn_strangers_add(u->turn->strangers, &tuple, d->data, d->len);
	else
		turn_core_receive(&u->turn->core, &tuple, d->data, d->len);
}

static gboolean on_known(gint fd, GIOCondition cond, gpointer arg)
{
	struct turn_udp_socket *s = arg;

	turn_core_clock(&s->udp->turn->core);
	for (int i = 0; i < BATCHES_PER_DISPATCH; i++) {
		if (wg_socket_receive(fd, on_datagram, s->udp) < WG_SOCKET_BATCH)
			break;
	}
	return G_SOURCE_CONTINUE;
}

// One batch, then the known ones are looked at again.
static gboolean on_others(gint fd, GIOCondition cond, gpointer arg)
{
	struct turn_udp_socket *s = arg;

	turn_core_clock(&s->udp->turn->core);
	wg_socket_receive(fd, on_datagram, s->udp);
	turn_strangers_answer(s->udp->turn->strangers);
	return G_SOURCE_CONTINUE;
}

// ---- opening ---------------------------------------------------------------------------------------

static struct turn_old_socket *find_parked(struct turn *t, const struct turn_udp_socket *s)
{
	char purpose[61];

	purpose_of(purpose, s);
	for (guint i = 0; i < t->old_sockets->len; i++) {
		struct turn_old_socket *old =
			&g_array_index(t->old_sockets, struct turn_old_socket, i);

		if (old->fd >= 0 && !strcmp(old->purpose, purpose))
			return old;
	}
	return NULL;
}

static int take_parked(struct turn *t, struct turn_udp_socket *s)
{
	struct turn_old_socket *old = find_parked(t, s);
	int fd = old ? old->fd : -1;

	if (!old)
		return -1;
	old->fd = -1;
	s->socket_id = old->id;
	s->parked = true;
	return fd;
}

static int open_lane(struct turn *t, struct turn_udp *u, enum turn_lane lane)
{
	struct turn_udp_socket *s = &u->lanes[lane];

	s->udp = u;
	s->lane = lane;
	s->fd = take_parked(t, s);
	if (s->fd < 0)
		s->fd = turn_lane_open(u, lane);
	if (s->fd < 0)
		return s->fd;
	if (!s->socket_id)
		s->socket_id = SOCKET_ID_BASE + ++t->next_socket_id;
	t->next_socket_id = MAX(t->next_socket_id, s->socket_id - SOCKET_ID_BASE);
	s->source = g_unix_fd_add_full(lane == TURN_LANE_KNOWN ? G_PRIORITY_DEFAULT : OTHERS_PRIORITY,
		s->fd, G_IO_IN, lane == TURN_LANE_KNOWN ? on_known : on_others, s, NULL);
	return 0;
}

static struct turn_udp *find(struct turn *t, const struct st_addr *addr, bool v4, uint16_t port)
{
	for (guint i = 0; i < t->udp->len; i++) {
		struct turn_udp *u = t->udp->pdata[i];

		if (u->v4 == v4 && u->port == port && !memcmp(&u->addr, addr, sizeof(*addr)))
			return u;
	}
	return NULL;
}

static int open_one(struct turn *t, const struct st_addr *addr, bool v4, uint16_t port,
	GPtrArray *keep, char **ret_error)
{
	struct turn_udp *u = find(t, addr, v4, port);
	char text[ADDR_TEXT_MAX];
	int err;

	if (u) {
		g_ptr_array_add(keep, u);
		return 0;
	}
	u = g_new0(struct turn_udp, 1);
	u->turn = t;
	u->addr = *addr;
	u->v4 = v4;
	u->port = port;
	err = open_lane(t, u, TURN_LANE_KNOWN);
	if (err) {
		g_free(u);
		// Every address, and the kernel has no IPv6.
		if (addr_is_zero(addr) && !v4 && (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL))
			return 0;
		*ret_error = g_strdup_printf("turn: cannot listen on UDP port %u of %s: %s", port,
			addr_is_zero(addr) ? "every address" : addr_text(text, addr),
			g_strerror(-err));
		return err;
	}
	err = open_lane(t, u, TURN_LANE_OTHERS);
	if (err)
		g_message("turn: clients and strangers share a queue port=%u error=\"%s\"", port,
			g_strerror(-err));
	g_ptr_array_add(t->udp, u);
	g_ptr_array_add(keep, u);
	return 0;
}

static void close_one(struct turn *t, struct turn_udp *u, bool unpark)
{
	wg_socket_flush();
	for (int i = 0; i < TURN_LANES; i++) {
		struct turn_udp_socket *s = &u->lanes[i];

		if (s->fd < 0)
			continue;
		g_source_remove(s->source);
		close(s->fd);
		if (s->parked && unpark)
			dp_socket_unpark(t->dp, s->socket_id);
	}
	g_free(u);
}

void turn_udp_close_all(struct turn *t, bool unpark)
{
	for (guint i = 0; i < t->udp->len; i++)
		close_one(t, t->udp->pdata[i], unpark);
	g_ptr_array_set_size(t->udp, 0);
}

int turn_udp_apply(struct turn *t, const struct turn_config *c, char **ret_error)
{
	GPtrArray *keep = g_ptr_array_new();
	int err = 0;

	for (guint i = 0; i < c->listen->len && !err; i++) {
		const struct turn_config_listen *l = c->listen->pdata[i];
		bool any = addr_is_zero(&l->addr);

		if (!l->transports[TURN_UDP])
			continue;
		if (any || addr_is_v4(&l->addr))
			err = open_one(t, &l->addr, true, l->port, keep, ret_error);
		if (!err && (any || !addr_is_v4(&l->addr)))
			err = open_one(t, &l->addr, false, l->port, keep, ret_error);
	}
	for (guint i = t->udp->len; i-- > 0 && !err;) {
		if (g_ptr_array_find(keep, t->udp->pdata[i], NULL))
			continue;
		close_one(t, t->udp->pdata[i], true);
		g_ptr_array_remove_index(t->udp, i);
	}
	g_ptr_array_free(keep, TRUE);
	return err;
}

static void park(struct turn *t, struct turn_udp_socket *s, bool again)
{
	char purpose[61];

	if (s->fd < 0 || (s->parked && !again) || !dp_connected(t->dp))
		return;
	purpose_of(purpose, s);
	dp_socket_park(t->dp, s->socket_id, purpose, s->fd);
	s->parked = true;
}

void turn_udp_park(struct turn *t, bool again)
{
	for (guint i = 0; i < t->udp->len; i++) {
		struct turn_udp *u = t->udp->pdata[i];

		for (int lane = 0; lane < TURN_LANES; lane++)
			park(t, &u->lanes[lane], again);
	}
}

// ---- sending ---------------------------------------------------------------------------------------

static bool serves(const struct turn_udp *u, const struct st_addr *addr, uint16_t port)
{
	return u->port == port && u->v4 == addr_is_v4(addr) &&
	       (addr_is_zero(&u->addr) || !memcmp(&u->addr, addr, sizeof(*addr)));
}

bool turn_udp_is_listening(const struct turn *t, const struct st_addr *addr, uint16_t port)
{
	for (guint i = 0; i < t->udp->len; i++) {
		if (serves(t->udp->pdata[i], addr, port))
			return true;
	}
	return false;
}

void turn_udp_send(struct turn *t, const struct turn_tuple *to, const void *data, size_t len)
{
	for (guint i = 0; i < t->udp->len; i++) {
		struct turn_udp *u = t->udp->pdata[i];

		if (!serves(u, &to->server, ntohs(to->server_port_be)))
			continue;
		wg_socket_send_later(u->lanes[TURN_LANE_KNOWN].fd,
			&(struct wg_to){.local = &to->server,
				.remote = &to->client,
				.remote_port_be = to->client_port_be},
			data, len);
		return;
	}
}
