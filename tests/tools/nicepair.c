// SPDX-License-Identifier: BSD-3-Clause
//
// Two agents of libnice that meet through a TURN server and send each other numbered datagrams: in relay-only mode, or
// each in a network namespace of its own, with all candidates, where it is up to the NATs in between.
//
//   usage: nicepair SERVER PORT USER PASSWORD udp|tcp [COUNT [NETNS-FILE NETNS-FILE]]
//   Exit status 0: both became ready on a relayed candidate, of either in relay-only mode, and each number came.
#include <agent.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMPONENT   1
#define COUNT_MAX   10000
#define SIZE        401
#define DEADLINE_S  40
#define INTERVAL_MS 2

struct end {
	const char *name;
	const char *netns; // NULL: that of this process, and relay-only mode
	NiceAgent *agent;
	struct end *other;
	guint stream;
	gboolean gathered, ready;
	unsigned int sent, received;
	gboolean seen[COUNT_MAX];
};

static GMainLoop *loop;
static struct end ends[2] = {{.name = "a"}, {.name = "b"}};
static unsigned int count = 200;
static int failed = 1;

static void fail(const char *why)
{
	fprintf(stderr, "nicepair: %s\n", why);
	g_main_loop_quit(loop);
}

static gboolean on_deadline(gpointer arg)
{
	for (int i = 0; i < 2; i++)
		fprintf(stderr, "%s: gathered %d ready %d sent %u received %u\n", ends[i].name,
			ends[i].gathered, ends[i].ready, ends[i].sent, ends[i].received);
	fail("not done in time");
	return G_SOURCE_REMOVE;
}

static gboolean on_send(gpointer arg)
{
	struct end *e = arg;
	char datagram[SIZE] = {0};
	uint32_t number = htonl(e->sent);

	memcpy(datagram, &number, sizeof(number));
	if (nice_agent_send(e->agent, e->stream, COMPONENT, SIZE, datagram) == SIZE)
		e->sent++;
	return e->sent < count;
}

static gboolean is_relayed(struct end *e)
{
	NiceCandidate *local, *remote;

	if (!nice_agent_get_selected_pair(e->agent, e->stream, COMPONENT, &local, &remote))
		return FALSE;
	if (e->netns)
		return local->type == NICE_CANDIDATE_TYPE_RELAYED ||
		       remote->type == NICE_CANDIDATE_TYPE_RELAYED;
	return local->type == NICE_CANDIDATE_TYPE_RELAYED &&
	       remote->type == NICE_CANDIDATE_TYPE_RELAYED;
}

static void maybe_done(void)
{
	if (ends[0].received < count || ends[1].received < count)
		return;
	failed = !is_relayed(&ends[0]) || !is_relayed(&ends[1]);
	if (failed)
		fail("a selected pair is not relayed");
	printf("%u numbers each way, relayed\n", count);
	g_main_loop_quit(loop);
}

static void on_receive(
	NiceAgent *agent, guint stream, guint component, guint len, gchar *buf, gpointer arg)
{
	struct end *e = arg;
	uint32_t number;

	memcpy(&number, buf, sizeof(number));
	number = ntohl(number);
	if (len != SIZE || number >= count || e->seen[number]) {
		fail("a datagram that nobody sent, or one twice");
		return;
	}
	e->seen[number] = TRUE;
	e->received++;
	maybe_done();
}

static void on_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer arg)
{
	struct end *e = arg;

	if (state == NICE_COMPONENT_STATE_FAILED)
		fail("ICE failed");
	if (state != NICE_COMPONENT_STATE_READY || e->ready)
		return;
	e->ready = TRUE;
	if (!e->other->ready)
		return;
	g_timeout_add(INTERVAL_MS, on_send, e);
	g_timeout_add(INTERVAL_MS, on_send, e->other);
}

// Credentials and candidates go over by hand: there is no signalling to test here.
static void introduce(struct end *to, struct end *from)
{
	GSList *candidates = nice_agent_get_local_candidates(from->agent, from->stream, COMPONENT);
	gchar *ufrag, *password;

	nice_agent_get_local_credentials(from->agent, from->stream, &ufrag, &password);
	nice_agent_set_remote_credentials(to->agent, to->stream, ufrag, password);
	if (!candidates ||
		nice_agent_set_remote_candidates(to->agent, to->stream, COMPONENT, candidates) < 1)
		fail("no relayed candidate");
	g_slist_free_full(candidates, (GDestroyNotify)nice_candidate_free);
	g_free(ufrag);
	g_free(password);
}

static void on_gathered(NiceAgent *agent, guint stream, gpointer arg)
{
	struct end *e = arg;

	e->gathered = TRUE;
	if (!e->other->gathered)
		return;
	introduce(e, e->other);
	introduce(e->other, e);
}

static void begin(struct end *e, char **argv, gboolean controlling)
{
	NiceRelayType type =
		strcmp(argv[5], "tcp") ? NICE_RELAY_TYPE_TURN_UDP : NICE_RELAY_TYPE_TURN_TCP;

	e->other = &ends[e == ends];
	e->agent = nice_agent_new(g_main_loop_get_context(loop), NICE_COMPATIBILITY_RFC5245);
	g_object_set(e->agent, "controlling-mode", controlling, "force-relay", e->netns == NULL,
		"ice-tcp", FALSE, "upnp", FALSE, "stun-server", e->netns ? argv[1] : NULL,
		"stun-server-port", (guint)atoi(argv[2]), NULL);
	g_signal_connect(e->agent, "candidate-gathering-done", G_CALLBACK(on_gathered), e);
	g_signal_connect(e->agent, "component-state-changed", G_CALLBACK(on_state), e);
	e->stream = nice_agent_add_stream(e->agent, 1);
	nice_agent_set_relay_info(e->agent, e->stream, COMPONENT, argv[1], (guint)atoi(argv[2]),
		argv[3], argv[4], type);
	nice_agent_attach_recv(
		e->agent, e->stream, COMPONENT, g_main_loop_get_context(loop), on_receive, e);
}

// An agent's sockets are those of the namespace in which it gathers.
static gboolean gather(struct end *e)
{
	int fd = e->netns ? open(e->netns, O_RDONLY | O_CLOEXEC) : -1;
	gboolean entered = !e->netns || (fd >= 0 && setns(fd, CLONE_NEWNET) == 0);

	if (fd >= 0)
		close(fd);
	return entered && nice_agent_gather_candidates(e->agent, e->stream);
}

int main(int argc, char **argv)
{
	if (argc < 6 || argc == 8) {
		fprintf(stderr, "usage: nicepair SERVER PORT USER PASSWORD udp|tcp [COUNT "
				"[NETNS-FILE NETNS-FILE]]\n");
		return 2;
	}
	if (argc > 6)
		count = MIN((unsigned int)atoi(argv[6]), COUNT_MAX);
	for (int i = 0; argc > 8 && i < 2; i++)
		ends[i].netns = argv[7 + i];
	loop = g_main_loop_new(NULL, FALSE);
	g_timeout_add_seconds(DEADLINE_S, on_deadline, NULL);
	for (int i = 0; i < 2; i++)
		begin(&ends[i], argv, !i);
	for (int i = 0; i < 2; i++) {
		if (!gather(&ends[i]))
			fail("cannot gather");
	}
	g_main_loop_run(loop);
	return failed;
}
