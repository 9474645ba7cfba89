// SPDX-License-Identifier: BSD-3-Clause
//
// The TURN server of straitd as a whole; see server.h. Main loop thread.
#include "server.h"

#include "../addr.h"
#include "../before_poll.h"
#include "../config/config.h"
#include "../wg/wg_socket.h"
#include "relay_kernel.h"
#include "server_parts.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define TICK_MS        250
#define SOCKET_PURPOSE "turn "

static void on_send(const struct turn_tuple *to, const void *data, size_t len, void *arg)
{
	struct turn *t = arg;

	if (to->transport == TURN_UDP)
		turn_udp_send(t, to, data, len);
	else
		turn_streams_send(t->streams, to, data, len);
}

static int on_tick(void *arg)
{
	struct turn *t = arg;

	turn_core_clock(&t->core);
	turn_core_tick(&t->core);
	turn_streams_tick(t->streams);
	return G_SOURCE_CONTINUE;
}

static void on_end_of_turn(void *arg)
{
	wg_socket_flush();
}

struct turn *turn_new(struct dp *dp, const char *run_dir, char **ret_error)
{
	struct seal *seal = seal_new(run_dir, ret_error);
	uint8_t master[TURN_NONCE_KEY];
	struct turn *t;

	if (!seal)
		return NULL;
	t = g_new0(struct turn, 1);
	t->dp = dp;
	t->seal = seal;
	t->run_dir = g_strdup(run_dir);
	t->udp = g_ptr_array_new();
	t->addrs = g_array_new(FALSE, FALSE, sizeof(struct st_addr));
	t->old_sockets = g_array_new(FALSE, FALSE, sizeof(struct turn_old_socket));
	seal_derive(seal, "turn nonces", master);
	turn_core_init(&t->core, dp, seal, master, t);
	sodium_memzero(master, sizeof(master));
	t->hook = before_poll_add(on_end_of_turn, t);
	t->core.send = on_send;
	t->core.kernel_open = turn_kernel_open;
	t->core.kernel_close = turn_kernel_close;
	turn_drain_load(t);
	t->strangers = turn_strangers_new(&t->core);
	t->streams = turn_streams_new(t);
	t->metrics = turn_metrics_new(t);
	return t;
}

static void drop_old_sockets(struct turn *t, bool unpark)
{
	for (guint i = 0; i < t->old_sockets->len; i++) {
		struct turn_old_socket *s = &g_array_index(t->old_sockets, struct turn_old_socket, i);

		if (s->fd < 0)
			continue;
		close(s->fd);
		if (unpark)
			dp_socket_unpark(t->dp, s->id);
	}
	g_array_set_size(t->old_sockets, 0);
}

void turn_free(struct turn *t)
{
	if (!t)
		return;
	if (t->tick)
		g_source_remove(t->tick);
	g_source_remove(t->hook);
	turn_icmp_close(t);
	turn_udp_close_all(t, false);
	drop_old_sockets(t, false);
	turn_metrics_free(t->metrics);
	turn_strangers_free(t->strangers);
	turn_streams_close_all(t->streams);
	turn_core_fini(&t->core);
	turn_streams_free(t->streams);
	turn_recovered_free(t->recovered);
	if (t->portmaps)
		g_hash_table_destroy(t->portmaps);
	g_ptr_array_free(t->udp, TRUE);
	g_array_free(t->addrs, TRUE);
	g_array_free(t->old_sockets, TRUE);
	seal_free(t->seal);
	g_free(t->run_dir);
	g_free(t);
}

// ---- configuration ---------------------------------------------------------------------------------

// What is inside of our tunnels, and where our WireGuard listens.
static void tell_tunnels(struct turn *t, const struct config *c)
{
	GArray *inner = g_array_new(FALSE, FALSE, sizeof(struct st_prefix));
	GArray *ports = g_array_new(FALSE, FALSE, sizeof(uint16_t));

	for (guint i = 0; i < c->wgs->len; i++) {
		const struct config_wg *w = c->wgs->pdata[i];
		uint16_t port_be = g_htons(w->listen_port);

		g_array_append_val(ports, port_be);
		for (guint n = 0; n < w->addresses->len; n++)
			g_array_append_val(
				inner, ((struct config_address *)w->addresses->pdata[n])->prefix);
		for (guint n = 0; n < w->peers->len; n++) {
			const struct config_peer *p = w->peers->pdata[n];

			g_array_append_vals(inner, p->allowed_ips->data, p->allowed_ips->len);
		}
	}
	turn_policy_tunnels(&t->core.policy, (const struct st_prefix *)inner->data, inner->len,
		(const uint16_t *)ports->data, ports->len);
	g_array_free(inner, TRUE);
	g_array_free(ports, TRUE);
}

void turn_set_peer_ports(struct turn *t, bool (*is_one)(uint16_t port_be, void *arg), void *arg)
{
	t->core.policy.is_wireguard = is_one;
	t->core.policy.is_wireguard_arg = arg;
}

// No "turn" any more: sessions end with their objects.
static void stop(struct turn *t)
{
	turn_core_stop(&t->core);
	turn_metrics_stop(t->metrics);
	turn_icmp_close(t);
	turn_udp_close_all(t, true);
	turn_strangers_free(t->strangers);
	t->strangers = turn_strangers_new(&t->core);
	turn_streams_close_all(t->streams);
	if (t->tick)
		g_source_remove(t->tick);
	t->tick = 0;
	t->applied = false;
}

int turn_apply(struct turn *t, const struct config *c, char **ret_error)
{
	int err;

	turn_core_clock(&t->core);
	if (!c->turn) {
		if (t->applied)
			stop(t);
		t->config = c;
		turn_portmap_apply(t);
		return 0;
	}
	err = turn_udp_apply(t, c->turn, ret_error);
	if (!err)
		err = turn_streams_apply(t->streams, c->turn, ret_error);
	if (!err)
		err = turn_metrics_apply(t->metrics, c->turn, ret_error);
	if (err)
		return err;
	t->config = c;
	t->core.scale = c->timer_scale;
	tell_tunnels(t, c);
	turn_core_apply(&t->core, c->turn);
	t->applied = true;
	turn_portmap_apply(t);
	turn_udp_park(t, false);
	turn_icmp_open(t);
	if (!t->tick)
		t->tick = g_timeout_add(TICK_MS, on_tick, t);
	return 0;
}

void turn_addrs_changed(struct turn *t, const struct st_addr_key *addrs, unsigned int n)
{
	g_array_set_size(t->addrs, 0);
	for (unsigned int i = 0; i < n; i++)
		g_array_append_val(t->addrs, addrs[i].addr);
	turn_policy_own(&t->core.policy, (const struct st_addr *)t->addrs->data, n);
	if (!t->applied)
		return;
	turn_core_clock(&t->core);
	turn_core_recheck(&t->core);
	turn_portmap_apply(t);
}

void turn_inside(struct st_addr *addr, uint16_t port_be, void *turn)
{
	const struct turn *t = turn;
	const struct turn_config *c = t->applied ? t->core.config : NULL;
	uint16_t port = g_ntohs(port_be);

	if (c && port >= c->port_min && port <= c->port_max)
		turn_config_unmap(c, addr);
}

bool turn_is_own_relay(const struct st_addr *addr, uint16_t port_be, void *turn)
{
	const struct turn *t = turn;
	const struct turn_config *c = t->applied ? t->core.config : NULL;
	uint16_t port = g_ntohs(port_be);
	int index = c && port >= c->port_min && port <= c->port_max
			    ? turn_config_relay_index(c, addr)
			    : -1;

	// Who means an external address asks turn_inside first.
	return index >= 0 &&
	       !memcmp(&((const struct turn_config_relay *)c->relays->pdata[index])->addr, addr,
		       sizeof(*addr));
}

// ---- from the data plane ---------------------------------------------------------------------------

void turn_dp_connected(struct turn *t, bool new_instance)
{
	if (new_instance)
		turn_udp_park(t, true);
}

static bool take_socket(struct turn *t, const struct dp_item *item)
{
	struct turn_old_socket old = {.fd = item->fd};
	struct st_socket body;

	if (item->body_len != sizeof(body))
		return false;
	memcpy(&body, item->body, sizeof(body));
	if (strncmp(body.purpose, SOCKET_PURPOSE, strlen(SOCKET_PURPOSE)))
		return false;
	old.id = body.key.socket_id;
	memcpy(old.purpose, body.purpose, sizeof(body.purpose));
	if (old.fd >= 0)
		g_array_append_val(t->old_sockets, old);
	return true;
}

bool turn_dp_item(struct turn *t, const struct dp_item *item)
{
	if (item->kind == ST_SOCKET)
		return take_socket(t, item);
	if (item->kind != ST_RELAY && item->kind != ST_PERMISSION && item->kind != ST_CHANNEL)
		return false;
	if (!t->recovered)
		t->recovered = turn_recovered_new();
	turn_recovered_add(t->recovered, item);
	return true;
}

void turn_dp_recovered(struct turn *t)
{
	unsigned int n;

	drop_old_sockets(t, true);
	if (!t->recovered)
		return;
	if (t->applied) {
		turn_core_clock(&t->core);
		n = turn_recovered_take(t->recovered, &t->core);
		if (n)
			g_message("turn: sessions of the former process go on allocations=%u", n);
	}
	turn_recovered_free(t->recovered);
	t->recovered = NULL;
}

void turn_dp_synced(struct turn *t)
{
	turn_udp_park(t, false);
}

bool turn_dp_packet_in(struct turn *t, const struct st_packet_io *io, const void *data, uint16_t len)
{
	struct turn_tuple to = {.client = io->remote,
		.server = io->local,
		.client_port_be = io->remote_port_be,
		.server_port_be = io->local_port_be};

	if (!t->applied)
		return false;
	turn_core_clock(&t->core);
	if (turn_kernel_packet_in(t, io, data, len))
		return true;
	// A client that is reached by a device that is not ours.
	if (!turn_udp_is_listening(t, &io->local, g_ntohs(io->local_port_be)))
		return false;
	turn_udp_send(t, &to, data, len);
	return true;
}
