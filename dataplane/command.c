// SPDX-License-Identifier: BSD-3-Clause
//
// Commands to lcores: a queue per peer, of which the head is with an lcore, and one list of all that are
// not done yet, in the order of their making, from which tokens are read. main only.
#include "command.h"

#include "tables/peer.h"

#include <errno.h>
#include <stdlib.h>

#define PACKETS_MAX 256 // PACKET_OUT datagrams that may wait; one more is refused

struct command {
	struct lcore_cmd cmd;
	struct peer *peer; // NULL: a packet
	uint16_t lcore;    // where it is or goes
	bool queued;       // has its turn with the lcore's ring
	bool sent;
	void (*done)(void *arg);
	void *arg;
	uint64_t nr;
	struct command *next;                  // behind it in its peer's queue
	struct command *list_prev, *list_next; // all that are not done
};

static struct {
	struct command *head, *tail;
	uint64_t nr;
	uint32_t packets;
	bool stopped;
} cmds;

static void list_add(struct command *c)
{
	c->nr = ++cmds.nr;
	c->list_prev = cmds.tail;
	if (cmds.tail != NULL)
		cmds.tail->list_next = c;
	else
		cmds.head = c;
	cmds.tail = c;
}

static void list_remove(struct command *c)
{
	if (c->list_prev != NULL)
		c->list_prev->list_next = c->list_next;
	else
		cmds.head = c->list_next;
	if (c->list_next != NULL)
		c->list_next->list_prev = c->list_prev;
	else
		cmds.tail = c->list_prev;
}

uint64_t command_token(void)
{
	return cmds.nr;
}

bool command_passed(uint64_t token)
{
	return cmds.head == NULL || cmds.head->nr > token;
}

// A full ring is tried again by the next poll.
static void try_send(struct command *c)
{
	if (c->peer != NULL)
		c->lcore = atomic_load_explicit(&c->peer->owner, memory_order_acquire);
	atomic_store_explicit(&c->cmd.done, 0, memory_order_relaxed);
	c->cmd.result = 0;
	c->sent = lcore_command(c->lcore, &c->cmd);
}

static void finish(struct command *c)
{
	void (*done)(void *) = c->done;
	void *arg = c->arg;

	list_remove(c);
	if (c->peer != NULL) {
		struct peer_main *pm = c->peer->main;

		pm->cmd_head = c->next;
		if (pm->cmd_head == NULL)
			pm->cmd_tail = NULL;
		else
			pm->cmd_head->queued = true;
	} else {
		cmds.packets--;
	}
	free(c);
	if (done != NULL)
		done(arg);
}

int command_peer(struct peer *peer, enum lcore_cmd_op op, void *arg, void (*done)(void *arg))
{
	struct command *c;

	if (cmds.stopped) {
		if (done != NULL)
			done(arg);
		return 0;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return -ENOMEM;
	c->cmd.op = op;
	c->cmd.arg = arg;
	c->peer = peer;
	c->done = done;
	c->arg = arg;
	list_add(c);
	if (peer->main->cmd_tail != NULL) {
		peer->main->cmd_tail->next = c;
	} else {
		peer->main->cmd_head = c;
		c->queued = true;
		try_send(c);
	}
	peer->main->cmd_tail = c;
	return 0;
}

int command_packet(uint16_t lcore, struct rte_mbuf *m)
{
	struct command *c;

	if (cmds.stopped || cmds.packets == PACKETS_MAX) {
		rte_pktmbuf_free(m);
		return -EAGAIN;
	}
	c = calloc(1, sizeof(*c));
	if (c == NULL) {
		rte_pktmbuf_free(m);
		return -ENOMEM;
	}
	c->cmd.op = LCORE_CMD_PACKET;
	c->cmd.arg = m;
	c->lcore = lcore;
	c->queued = true;
	cmds.packets++;
	list_add(c);
	try_send(c);
	return 0;
}

void command_poll(void)
{
	struct command *c, *next;

	for (c = cmds.head; c != NULL; c = next) {
		next = c->list_next;
		if (!c->queued)
			continue;
		if (!c->sent) {
			try_send(c);
			continue;
		}
		if (atomic_load_explicit(&c->cmd.done, memory_order_acquire) == 0)
			continue;
		if (c->cmd.result == -EAGAIN)
			try_send(c); // the peer has moved: ask its owner of this moment
		else
			finish(c);
	}
}

void command_stop(void)
{
	cmds.stopped = true;
	while (cmds.head != NULL) {
		struct command *c = cmds.head;

		if (c->peer == NULL && !c->sent)
			rte_pktmbuf_free(c->cmd.arg);
		finish(c);
	}
}
