// SPDX-License-Identifier: BSD-3-Clause
//
// A flood of WireGuard initiations from random sources: random contents under a valid mac1, so that each
// costs the responder what it costs before the static key is known. Raw IPv4 packets with spoofed sources
// of a prefix; prints how many went out. --bad-mac makes mac1 wrong, for comparison.
#include <blake2.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
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
	struct sockaddr_in to;
	uint32_t net, hosts; // sources: net + random below hosts, host order
	uint8_t mac1_key[32];
	bool bad_mac;
	uint64_t state;
};

struct packet {
	struct iphdr ip;
	struct udphdr udp;
	uint8_t msg[INITIATION_SIZE];
} __attribute__((packed));

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

static void fill(struct flood *f, struct packet *p)
{
	uint32_t source = f->net + (uint32_t)(next_random(f) % f->hosts);
	uint32_t sum;

	memset(p, 0, sizeof(*p));
	for (size_t i = 0; i < MAC1_AT; i += 4) {
		uint32_t r = (uint32_t)(next_random(f) >> 32);

		memcpy(p->msg + i, &r, 4);
	}
	memcpy(p->msg, "\1\0\0\0", 4);
	blake2s(p->msg + MAC1_AT, p->msg, f->mac1_key, MAC_SIZE, MAC1_AT, sizeof(f->mac1_key));
	if (f->bad_mac)
		p->msg[MAC1_AT] ^= 1;
	p->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.tot_len = htons(sizeof(*p)),
		.saddr = htonl(source),
		.daddr = f->to.sin_addr.s_addr,
	};
	p->udp.source = htons((uint16_t)(1024 + next_random(f) % 60000));
	p->udp.dest = f->to.sin_port;
	p->udp.len = htons(sizeof(p->udp) + sizeof(p->msg));
	sum = sum_words(&p->ip.saddr, 8, IPPROTO_UDP + sizeof(p->udp) + sizeof(p->msg));
	sum = sum_words(&p->udp, sizeof(p->udp) + sizeof(p->msg), sum);
	p->udp.check = htons(sum_fold(sum));
}

static uint64_t run(struct flood *f, uint64_t rate, uint64_t seconds, uint64_t *ret_errors)
{
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	uint64_t start = now_ns(), sent = 0, errors = 0;
	struct packet p;

	if (fd < 0)
		die("raw socket");
	while (now_ns() - start < seconds * NS_PER_S) {
		uint64_t due = start + sent * NS_PER_S / rate, now = now_ns();

		if (now < due) {
			usleep((useconds_t)((due - now) / 1000 + 1));
			continue;
		}
		for (int i = 0; i < BATCH; i++) {
			fill(f, &p);
			if (sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&f->to, sizeof(f->to)) < 0)
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

static bool prefix_parse(struct flood *f, char *text)
{
	char *slash = strchr(text, '/');
	struct in_addr a;
	int len;

	if (!slash)
		return false;
	*slash = '\0';
	len = atoi(slash + 1);
	if (len < 8 || len > 31 || inet_pton(AF_INET, text, &a) != 1)
		return false;
	f->net = ntohl(a.s_addr) + 1;
	f->hosts = (1u << (32 - len)) - 1;
	return true;
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
	char from[] = "198.18.0.0/15", *prefix = from;
	struct flood f = {.to = {.sin_family = AF_INET, .sin_port = htons(51820)}};
	uint8_t key[KEY_SIZE];
	bool have_key = false, have_to = false;
	uint64_t rate = 12000, seconds = 5, sent, errors;
	int opt;

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (opt == 't')
			have_to = inet_pton(AF_INET, optarg, &f.to.sin_addr) == 1;
		else if (opt == 'p')
			f.to.sin_port = htons((uint16_t)atoi(optarg));
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
	if (!have_key || !have_to || !rate || !prefix_parse(&f, prefix) || optind != argc)
		usage();
	mac1_key(f.mac1_key, key);
	if (getrandom(&f.state, sizeof(f.state), 0) != sizeof(f.state))
		die("getrandom");
	f.state |= 1;
	sent = run(&f, rate, seconds, &errors);
	printf("{\"sent\":%llu,\"per_second\":%llu,\"errors\":%llu}\n", (unsigned long long)sent,
		(unsigned long long)(sent / (seconds ? seconds : 1)), (unsigned long long)errors);
	return 0;
}
