// SPDX-License-Identifier: BSD-3-Clause
//
// Load for a TURN server over IPv4: whole sessions made as fast as they are answered, refreshes one at a time, and a
// flood of first packets from addresses that nobody has. One JSON object on stdout.
//
//   turnload alloc   SERVER PORT USER PASSWORD REALM PEER COUNT [WINDOW [free]]
//                                               Allocate, CreatePermission, ChannelBind each; with "free" they end then
//   turnload cycle   SERVER PORT USER PASSWORD REALM COUNT ROUNDS GOOD PAUSE_MS
//                                               COUNT clients allocate, as far as they get a port, and free: ROUNDS times,
//                                               with a pause behind each; in each GOOD of them must get one, the rest 508
//   turnload refresh SERVER PORT USER PASSWORD REALM COUNT SECONDS        milliseconds of Refresh in COUNT sessions
//   turnload flood   SERVER PORT COUNT RATE     COUNT Allocates without credentials from 10.0.0.0/8 (raw, needs root)
#include "../../control/addr.h"
#include "../../control/stun/stun.h"
#include "../../control/stun/stun_digest.h"

#include <sodium.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REPEAT_MS 500 // an answer that does not come is asked for again
#define TRIES_MAX 20
#define CHANNEL   0x4000

enum step { NEW, CHALLENGED, ALLOCATED, PERMITTED, BOUND, FREED, ENDED };

struct client {
	int fd;
	enum step step;
	bool waiting;
	int tries, code;
	uint64_t sent_us;
	char nonce[128];
	size_t nonce_len;
	struct stun_out o;
	uint8_t request[STUN_MAX];
};

static struct sockaddr_in server;
static const char *user, *realm;
static uint8_t key[STUN_MD5_LEN];
static struct st_addr peer;
static uint64_t repeats;
static bool freeing; // every step is a Refresh with lifetime 0
static volatile sig_atomic_t stop;

static void die(const char *what)
{
	fprintf(stderr, "turnload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

// Of this process, user and system.
static double cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

// ---- one client ------------------------------------------------------------------------------------

static void begin(struct client *c, uint16_t method)
{
	stun_begin(&c->o, c->request, sizeof(c->request), method | STUN_REQUEST, NULL);
}

static void ask(struct client *c, bool anew)
{
	if (anew && c->nonce_len) {
		stun_add(&c->o, STUN_ATTR_USERNAME, user, strlen(user));
		stun_add(&c->o, STUN_ATTR_REALM, realm, strlen(realm));
		stun_add(&c->o, STUN_ATTR_NONCE, c->nonce, c->nonce_len);
		stun_add_integrity(&c->o, STUN_ATTR_MESSAGE_INTEGRITY, key, sizeof(key));
	}
	if (anew)
		stun_end(&c->o, NULL, 0, false);
	c->waiting = true;
	c->tries = anew ? 1 : c->tries + 1;
	c->sent_us = now_us();
	if (send(c->fd, c->o.data, c->o.len, MSG_DONTWAIT) < 0)
		c->code = errno;
}

static void next_step(struct client *c)
{
	if (freeing) {
		begin(c, STUN_REFRESH);
		stun_add_u32(&c->o, STUN_ATTR_LIFETIME, 0);
		ask(c, true);
		return;
	}
	switch (c->step) {
	case NEW:
	case CHALLENGED:
		begin(c, STUN_ALLOCATE);
		stun_add_u32(&c->o, STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
		break;
	case ALLOCATED:
		begin(c, STUN_CREATE_PERMISSION);
		stun_add_address(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &peer, htons(9));
		break;
	default:
		begin(c, STUN_CHANNEL_BIND);
		stun_add_u32(&c->o, STUN_ATTR_CHANNEL_NUMBER, (uint32_t)CHANNEL << 16);
		stun_add_address(&c->o, STUN_ATTR_XOR_PEER_ADDRESS, &peer, htons(9));
	}
	ask(c, true);
}

// True when it was the answer that the client waits for.
static bool take_answer(struct client *c)
{
	uint8_t buf[2048];
	struct stun_msg m;
	ssize_t n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n <= 0 || !c->waiting || stun_parse_strict(&m, buf, (size_t)n) ||
		memcmp(stun_tid(&m), c->o.data + 8, STUN_TID_LEN))
		return false;
	c->waiting = false;
	c->code = stun_class(&m) == STUN_SUCCESS ? 0 : buf[26] * 100 + buf[27];
	if (stun_attr(&m, STUN_ATTR_NONCE).at &&
		stun_attr(&m, STUN_ATTR_NONCE).len < sizeof(c->nonce)) {
		c->nonce_len = stun_attr(&m, STUN_ATTR_NONCE).len;
		memcpy(c->nonce, stun_attr(&m, STUN_ATTR_NONCE).at, c->nonce_len);
	}
	return true;
}

static void open_client(struct client *c, int epoll)
{
	struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};

	c->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&server, sizeof(server)) ||
		epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e))
		die("socket");
}

// ---- sessions as fast as they are answered -----------------------------------------------------------

static unsigned int advance(struct client *c, enum step last)
{
	if (c->step == NEW && c->code == 401)
		c->step = CHALLENGED;
	else if (c->code && c->code != 438) // it has a new nonce by now
		c->step = ENDED;
	else if (!c->code && freeing)
		c->step = FREED;
	else if (!c->code)
		c->step = c->step == CHALLENGED ? ALLOCATED : (enum step)(c->step + 1);
	if (c->step < last) {
		next_step(c);
		return 0;
	}
	return 1;
}

static unsigned int repeat_late(struct client **all, unsigned int begun)
{
	uint64_t now = now_us();
	unsigned int ended = 0;

	for (unsigned int i = 0; i < begun; i++) {
		struct client *c = all[i];

		if (!c->waiting || now - c->sent_us < REPEAT_MS * 1000)
			continue;
		if (c->tries == TRIES_MAX) {
			c->waiting = false;
			c->step = ENDED;
			c->code = -1;
			ended++;
			continue;
		}
		repeats++;
		ask(c, false);
	}
	return ended;
}

// Takes all to a step; returns how many came there.
static unsigned int run(
	struct client **all, unsigned int count, unsigned int window, enum step last, int epoll)
{
	unsigned int begun = 0, ended = 0, good = 0;
	uint64_t looked_us = now_us();
	struct epoll_event events[256];

	while (ended < count) {
		while (begun < count && begun - ended < window)
			next_step(all[begun++]);
		int n = epoll_wait(epoll, events, 256, 50);

		for (int i = 0; i < n; i++) {
			struct client *c = events[i].data.ptr;

			if (take_answer(c))
				ended += advance(c, last);
		}
		if (now_us() - looked_us > 100000) {
			ended += repeat_late(all, begun);
			looked_us = now_us();
		}
	}
	for (unsigned int i = 0; i < count; i++)
		good += all[i]->step == last;
	return good;
}

static struct client **clients(unsigned int count, int *ret_epoll)
{
	struct rlimit files = {count + 64, count + 64};
	struct client *each = calloc(count, sizeof(*each)),
		      **all = calloc(count, sizeof(struct client *));

	setrlimit(RLIMIT_NOFILE, &files);
	*ret_epoll = epoll_create1(0);
	if (!each || !all)
		die("memory");
	for (unsigned int i = 0; i < count; i++) {
		all[i] = &each[i];
		open_client(all[i], *ret_epoll);
	}
	return all;
}

static int cmd_alloc(int argc, char **argv)
{
	unsigned int count = (unsigned int)atoi(argv[8]),
		     window = argc > 9 ? (unsigned int)atoi(argv[9]) : 256, good;
	struct client **all;
	uint64_t begun;
	double seconds, cpu;
	int epoll;

	if (!addr_parse(&peer, argv[7]))
		die("peer");
	all = clients(count, &epoll);
	cpu = cpu_us();
	begun = now_us();
	good = run(all, count, window, BOUND, epoll);
	seconds = (double)(now_us() - begun) / 1e6;
	printf("{\"sessions\": %u, \"failed\": %u, \"seconds\": %.3f, \"per_s\": %.0f, "
	       "\"client_us\": %.1f, \"repeats\": %llu}\n",
		good, count - good, seconds, good / seconds, (cpu_us() - cpu) / count,
		(unsigned long long)repeats);
	freeing = argc > 10 && !strcmp(argv[10], "free");
	if (freeing && run(all, count, window, FREED, epoll) != count)
		good = 0;
	return good == count ? 0 : 1;
}

// ---- as many as there are ports, again and again -----------------------------------------------------

// Puts those that have an allocation first; returns how many.
static unsigned int sort_out(struct client **all, unsigned int count, unsigned int *ret_refused)
{
	unsigned int n = 0;

	*ret_refused = 0;
	for (unsigned int i = 0; i < count; i++) {
		struct client *c = all[i];

		if (c->step == ALLOCATED) {
			all[i] = all[n];
			all[n++] = c;
		} else if (c->code == 508) {
			++*ret_refused;
		}
	}
	return n;
}

static int cmd_cycle(char **argv)
{
	unsigned int count = (unsigned int)atoi(argv[7]), rounds = (unsigned int)atoi(argv[8]),
		     good = (unsigned int)atoi(argv[9]), got = 0, refused = 0, freed = 0, r;
	struct client **all;
	int epoll;

	all = clients(count, &epoll);
	for (r = 0; r < rounds; r++) {
		freeing = false;
		run(all, count, 64, ALLOCATED, epoll);
		got = sort_out(all, count, &refused);
		freeing = true;
		freed = run(all, got, 64, FREED, epoll);
		if (got != good || refused != count - good || freed != got)
			break;
		for (unsigned int i = 0; i < count; i++)
			all[i]->step = CHALLENGED;
		usleep((useconds_t)atoi(argv[10]) * 1000);
	}
	printf("{\"rounds\": %u, \"got\": %u, \"refused\": %u, \"freed\": %u, \"repeats\": %llu}\n",
		r, got, refused, freed, (unsigned long long)repeats);
	return r == rounds ? 0 : 1;
}

// ---- refreshes -------------------------------------------------------------------------------------

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static double ms_at(const uint32_t *us, unsigned int n, double part)
{
	return n ? us[(unsigned int)((n - 1) * part)] / 1000.0 : 0;
}

// One Refresh; microseconds, or 0 when it was not answered with success within 2 s. It is not repeated.
static uint32_t refresh(struct client *c, int epoll)
{
	struct epoll_event e;
	uint64_t begun = now_us();

	begin(c, STUN_REFRESH);
	stun_add_u32(&c->o, STUN_ATTR_LIFETIME, 600);
	ask(c, true);
	while (!stop && now_us() - begun < 2000000) {
		if (epoll_wait(epoll, &e, 1, 100) == 1 && take_answer(e.data.ptr))
			return c->code ? 0 : (uint32_t)(now_us() - begun);
	}
	return 0;
}

static void on_term(int signal)
{
	stop = 1;
}

static int cmd_refresh(char **argv)
{
	unsigned int count = (unsigned int)atoi(argv[7]), n = 0, lost = 0;
	uint64_t end;
	struct client **all;
	uint32_t *us = malloc(sizeof(*us) * 100000);
	int epoll;

	all = clients(count, &epoll);
	if (!us || run(all, count, 64, ALLOCATED, epoll) != count) {
		fprintf(stderr, "turnload: not every session began\n");
		return 1;
	}
	signal(SIGTERM, on_term);
	fprintf(stderr, "ready\n");
	end = now_us() + (uint64_t)(atof(argv[8]) * 1e6);
	for (unsigned int i = 0; !stop && now_us() < end && n < 100000; i++) {
		us[n] = refresh(all[i % count], epoll);
		if (us[n])
			n++;
		else if (!stop)
			lost++;
		usleep(2000);
	}
	qsort(us, n, sizeof(*us), by_value);
	printf("{\"refreshes\": %u, \"lost\": %u, \"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": "
	       "%.3f}\n",
		n, lost, ms_at(us, n, 0.5), ms_at(us, n, 0.99), ms_at(us, n, 1));
	return 0;
}

// ---- a flood ---------------------------------------------------------------------------------------

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t stun[28];
} __attribute__((packed));

// The UDP checksum is left out, as IPv4 allows.
static void fill(struct packet *p)
{
	struct stun_out o;
	uint8_t buf[sizeof(p->stun)];

	stun_begin(&o, buf, sizeof(buf), STUN_ALLOCATE | STUN_REQUEST, NULL);
	stun_add_u32(&o, STUN_ATTR_REQUESTED_TRANSPORT, 17u << 24);
	stun_end(&o, NULL, 0, false);
	*p = (struct packet){.ip = {.version = 4,
				     .ihl = 5,
				     .ttl = 64,
				     .protocol = IPPROTO_UDP,
				     .saddr = htonl(0x0a000000 | (randombytes_random() & 0xffffff)),
				     .daddr = server.sin_addr.s_addr},
		.udp = {.source = htons((uint16_t)(1024 + randombytes_uniform(60000))),
			.dest = server.sin_port,
			.len = htons(sizeof(p->udp) + sizeof(p->stun))}};
	memcpy(p->stun, o.data, sizeof(p->stun));
}

static int cmd_flood(char **argv)
{
	unsigned long count = strtoul(argv[4], NULL, 10), rate = strtoul(argv[5], NULL, 10), sent = 0;
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	uint64_t begun = now_us();
	double seconds;
	struct packet p;

	if (fd < 0)
		die("raw socket");
	while (sent < count) {
		if (sent * 1000000.0 / (double)rate > (double)(now_us() - begun)) {
			usleep(200);
			continue;
		}
		fill(&p);
		if (sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&server, sizeof(server)) < 0 &&
			errno != ENOBUFS)
			die("send");
		sent++;
	}
	seconds = (double)(now_us() - begun) / 1e6;
	printf("{\"sent\": %lu, \"seconds\": %.2f, \"per_s\": %.0f}\n", sent, seconds,
		(double)sent / seconds);
	return 0;
}

int main(int argc, char **argv)
{
	// Transaction ids are no secrets here, and a system call for each costs a tenth of this program.
	randombytes_set_implementation(&randombytes_internal_implementation);
	if (argc < 6 || sodium_init() < 0)
		goto usage;
	server = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[3]))};
	if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1)
		goto usage;
	if (!strcmp(argv[1], "flood"))
		return cmd_flood(argv);
	if (argc < 9)
		goto usage;
	user = argv[4];
	realm = argv[6];
	stun_md5_colon(key, user, strlen(user), realm, strlen(realm), argv[5], strlen(argv[5]));
	if (!strcmp(argv[1], "alloc"))
		return cmd_alloc(argc, argv);
	if (!strcmp(argv[1], "refresh"))
		return cmd_refresh(argv);
	if (!strcmp(argv[1], "cycle") && argc == 11)
		return cmd_cycle(argv);
usage:
	fprintf(stderr,
		"usage: turnload alloc|cycle|refresh|flood SERVER PORT ...; see its head\n");
	return 2;
}
