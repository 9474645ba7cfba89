// SPDX-License-Identifier: BSD-3-Clause
//
// A paced stream of numbered UDP datagrams, and the receiver that says which numbers are missing, came
// twice, or came late. The tests judge loss with it: slow enough (at most 2000 packets/s) that every
// number that is missing has a reason that somebody must name. One direction per pair of processes.
// Times are CLOCK_MONOTONIC of this machine, so one-way delays are true between namespaces.
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAGIC        0x73747261u
#define RATE_MAX     2000
#define COUNT_MAX    20000000 // numbers of one stream; the receiver keeps a byte for each
#define PAYLOAD_MAX  9000
#define END_MARKS    20 // repeated, so that loss does not swallow the end
#define END_SPACING  50 // ms
#define RANGES_SHOWN 64
#define RECV_BUFFER  (64 << 20)
#define SIZE_MIN     (sizeof(struct number) + 16) // numbers and end marks differ in size, also sealed
#define NS_PER_S     1000000000ull
#define FLAG_END     1u

struct number {
	uint32_t magic, stream;
	uint64_t seq; // FLAG_END: how many numbers there were
	uint64_t sent_ns;
	uint32_t flags, pad;
} __attribute__((packed));

struct options {
	const char *verb, *from, *to, *port;
	uint32_t rate, seconds, size, stream, idle_ms, buffer;
	uint64_t count;
	const char *ready_file;
};

static volatile sig_atomic_t stop;

static void on_signal(int sig)
{
	stop = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "numstream: %s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void sleep_until(uint64_t ns)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};

	while (!stop && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static struct addrinfo *resolve(const char *host, const char *port, bool passive)
{
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST}, *list;
	int rc;

	if (passive)
		hints.ai_flags |= AI_PASSIVE;
	rc = getaddrinfo(host, port, &hints, &list);
	if (rc != 0) {
		fprintf(stderr, "numstream: address %s port %s: %s\n", host, port, gai_strerror(rc));
		exit(2);
	}
	return list;
}

// ---- sender ------------------------------------------------------------------------------------

struct sender {
	int fd;
	uint64_t sent, refused, other_errors, max_late_ns;
	int last_error;
};

static int sender_open(const struct options *o)
{
	struct addrinfo *to = resolve(o->to, o->port, false);
	int fd = socket(to->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (o->from) {
		struct addrinfo *from = resolve(o->from, "0", true);

		if (bind(fd, from->ai_addr, from->ai_addrlen) < 0)
			die(o->from);
		freeaddrinfo(from);
	}
	if (connect(fd, to->ai_addr, to->ai_addrlen) < 0)
		die(o->to);
	freeaddrinfo(to);
	return fd;
}

// A send that reports an old ICMP error did not send: it is counted and done again. A full or
// downed device is counted as an error and the number stays unsent only after 100 attempts.
static bool send_one(struct sender *s, const uint8_t *buf, size_t len)
{
	for (int tries = 0; tries < 100; tries++) {
		if (send(s->fd, buf, len, 0) == (ssize_t)len)
			return true;
		s->last_error = errno;
		if (errno == ECONNREFUSED) {
			s->refused++;
			continue;
		}
		s->other_errors++;
		usleep(1000);
	}
	return false;
}

static void fill(uint8_t *buf, const struct options *o, uint64_t seq, uint32_t flags)
{
	struct number n = {
		.magic = htobe32(MAGIC),
		.stream = htobe32(o->stream),
		.seq = htobe64(seq),
		.sent_ns = htobe64(now_ns()),
		.flags = htobe32(flags),
	};

	memcpy(buf, &n, sizeof(n));
}

// A sender that was held up does not send a burst to catch up: the schedule moves instead, because a
// burst would test queues and not the path.
static void send_numbers(struct sender *s, const struct options *o, uint8_t *buf)
{
	uint64_t gap = NS_PER_S / o->rate, due = now_ns(), end = due + o->seconds * NS_PER_S;
	uint64_t seq = 0;

	while (!stop && (o->count ? seq < o->count : now_ns() < end) && seq < COUNT_MAX) {
		uint64_t now = now_ns();

		if (now > due + gap) {
			if (now - due > s->max_late_ns)
				s->max_late_ns = now - due;
			due = now;
		}
		sleep_until(due);
		due += gap;
		fill(buf, o, seq, 0);
		if (send_one(s, buf, o->size))
			s->sent++;
		seq++;
	}
	stop = 0;
	for (int i = 0; i < END_MARKS && !stop; i++) {
		fill(buf, o, seq, FLAG_END);
		send_one(s, buf, sizeof(struct number));
		usleep(END_SPACING * 1000);
	}
	printf("{\"numbers\":%llu,\"sent\":%llu,\"refused\":%llu,\"send_errors\":%llu,"
	       "\"last_error\":\"%s\",\"max_late_ms\":%.1f}\n",
		(unsigned long long)seq, (unsigned long long)s->sent,
		(unsigned long long)s->refused, (unsigned long long)s->other_errors,
		s->last_error ? strerror(s->last_error) : "", (double)s->max_late_ns / 1e6);
}

static int run_sender(const struct options *o)
{
	static uint8_t buf[PAYLOAD_MAX];
	struct sender s = {.fd = sender_open(o)};

	for (size_t i = 0; i < sizeof(buf); i++)
		buf[i] = (uint8_t)i;
	send_numbers(&s, o, buf);
	close(s.fd);
	return 0;
}

// ---- receiver ----------------------------------------------------------------------------------

struct receiver {
	int fd;
	uint32_t stream;
	uint8_t *seen;     // per number: times received, saturating
	uint64_t *sent_at; // per number: when it was sent, for the times of gaps
	uint64_t expected; // from the end mark, 0 = none came
	uint64_t highest, received, duplicates, reordered, displacement, foreign, overflow;
	uint64_t first_ns, last_ns, max_gap_ns, max_gap_at_ns;
	uint64_t delay_sum_ns, delay_max_ns;
};

static int receiver_open(const struct options *o)
{
	struct addrinfo *at = resolve(o->from ? o->from : "::", o->port, true);
	int fd = socket(at->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int size = (int)o->buffer, one = 1, zero = 0;

	if (fd < 0)
		die("socket");
	if (at->ai_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 &&
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0)
		die("SO_RCVBUF");
	if (setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one)) < 0)
		die("SO_RXQ_OVFL");
	if (bind(fd, at->ai_addr, at->ai_addrlen) < 0)
		die("bind");
	freeaddrinfo(at);
	return fd;
}

static void note_overflow(struct receiver *r, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		uint32_t lost;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SO_RXQ_OVFL)
			continue;
		memcpy(&lost, CMSG_DATA(c), sizeof(lost));
		r->overflow = lost;
	}
}

static void note_number(struct receiver *r, uint64_t seq, uint64_t sent_ns, uint64_t now)
{
	uint64_t delay = now - sent_ns;

	if (r->received && now - r->last_ns > r->max_gap_ns) {
		r->max_gap_ns = now - r->last_ns;
		r->max_gap_at_ns = r->last_ns;
	}
	if (!r->received)
		r->first_ns = now;
	r->last_ns = now;
	r->received++;
	r->delay_sum_ns += delay;
	if (delay > r->delay_max_ns)
		r->delay_max_ns = delay;
	if (r->seen[seq]) {
		r->duplicates++;
		return;
	}
	r->seen[seq] = 1;
	r->sent_at[seq] = sent_ns;
	if (seq < r->highest) {
		r->reordered++;
		if (r->highest - seq > r->displacement)
			r->displacement = r->highest - seq;
	} else {
		r->highest = seq;
	}
}

static void note_datagram(struct receiver *r, const uint8_t *buf, size_t len, uint64_t now)
{
	struct number n;
	uint64_t seq;

	memcpy(&n, buf, sizeof(n));
	if (len < sizeof(n) || be32toh(n.magic) != MAGIC || be32toh(n.stream) != r->stream) {
		r->foreign++;
		return;
	}
	seq = be64toh(n.seq);
	if (seq > COUNT_MAX || (seq == COUNT_MAX && !(be32toh(n.flags) & FLAG_END))) {
		r->foreign++;
		return;
	}
	if (be32toh(n.flags) & FLAG_END)
		r->expected = seq;
	else
		note_number(r, seq, be64toh(n.sent_ns), now);
}

// Until the end mark and then silence, or until nothing came for idle_ms, or a signal.
static void receive_numbers(struct receiver *r, const struct options *o)
{
	static uint8_t buf[65536];
	struct pollfd p = {.fd = r->fd, .events = POLLIN};

	while (!stop) {
		union {
			struct cmsghdr align;
			uint8_t bytes[CMSG_SPACE(sizeof(uint32_t))];
		} control;
		struct iovec iov = {.iov_base = buf, .iov_len = sizeof(buf)};
		struct msghdr msg = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		int wait_ms = r->expected ? 500 : (int)o->idle_ms;
		ssize_t n;

		if (poll(&p, 1, wait_ms) == 0)
			return;
		n = recvmsg(r->fd, &msg, MSG_DONTWAIT);
		if (n < 0) {
			if (errno == EINTR || errno == EAGAIN)
				continue;
			die("recvmsg");
		}
		note_overflow(r, &msg);
		note_datagram(r, buf, (size_t)n, now_ns());
	}
}

static double gap_time(const struct receiver *r, uint64_t first)
{
	uint64_t base = 0;

	for (uint64_t i = 0; i < first && !base; i++)
		base = r->sent_at[i];
	for (uint64_t i = first; base && i-- > 0;) {
		if (r->sent_at[i])
			return (double)(r->sent_at[i] - base) / 1e6;
	}
	return 0;
}

// Missing numbers as ranges, each with the ms since the first number at which the one before was sent.
static uint64_t print_missing(const struct receiver *r, uint64_t total)
{
	uint64_t missing = 0, shown = 0;

	printf("\"missing_ranges\":[");
	for (uint64_t i = 0; i < total; i++) {
		uint64_t first = i;

		while (i < total && !r->seen[i])
			i++;
		if (i == first)
			continue;
		missing += i - first;
		if (shown++ < RANGES_SHOWN)
			printf("%s{\"first\":%llu,\"count\":%llu,\"at_ms\":%.1f}",
				shown > 1 ? "," : "", (unsigned long long)first,
				(unsigned long long)(i - first), gap_time(r, first));
	}
	printf("],\"missing_ranges_total\":%llu,", (unsigned long long)shown);
	return missing;
}

static int print_report(const struct receiver *r)
{
	uint64_t total = r->expected ? r->expected : (r->received ? r->highest + 1 : 0);
	uint64_t missing;

	printf("{");
	missing = print_missing(r, total);
	printf("\"ended\":%s,\"expected\":%llu,\"received\":%llu,\"missing\":%llu,\"duplicates\":%"
	       "llu,",
		r->expected ? "true" : "false", (unsigned long long)total,
		(unsigned long long)r->received, (unsigned long long)missing,
		(unsigned long long)r->duplicates);
	printf("\"reordered\":%llu,\"max_displacement\":%llu,\"foreign\":%llu,\"receiver_"
	       "overflow\":%llu,",
		(unsigned long long)r->reordered, (unsigned long long)r->displacement,
		(unsigned long long)r->foreign, (unsigned long long)r->overflow);
	printf("\"max_gap_ms\":%.1f,\"max_gap_at_ms\":%.1f,\"delay_avg_ms\":%.3f,\"delay_max_ms\":%"
	       ".3f}\n",
		(double)r->max_gap_ns / 1e6,
		r->max_gap_ns ? (double)(r->max_gap_at_ns - r->first_ns) / 1e6 : 0,
		r->received ? (double)r->delay_sum_ns / (double)r->received / 1e6 : 0,
		(double)r->delay_max_ns / 1e6);
	return r->expected && total && !missing && !r->duplicates ? 0 : 1;
}

static int run_receiver(const struct options *o)
{
	struct receiver r = {.fd = receiver_open(o), .stream = o->stream};
	int rc;

	r.seen = calloc(COUNT_MAX, sizeof(*r.seen)); // untouched pages cost nothing
	r.sent_at = calloc(COUNT_MAX, sizeof(*r.sent_at));
	if (!r.seen || !r.sent_at)
		die("calloc");
	if (o->ready_file) {
		FILE *f = fopen(o->ready_file, "w");

		if (!f || fclose(f))
			die(o->ready_file);
	}
	receive_numbers(&r, o);
	rc = print_report(&r);
	free(r.seen);
	free(r.sent_at);
	close(r.fd);
	return rc;
}

// ---- command line ------------------------------------------------------------------------------

static void usage(void)
{
	fprintf(stderr,
		"usage: numstream send --to ADDR --port PORT [--from ADDR] [--rate N] [--count "
		"N|--seconds N]\n"
		"                      [--size BYTES] [--stream ID]\n"
		"       numstream recv --port PORT [--from LOCAL] [--stream ID] [--idle MS] "
		"[--ready FILE]\n"
		"                      [--buffer BYTES]\n"
		"recv exits 0 when each number came exactly once, 1 when not, 2 on an error.\n");
	exit(2);
}

static uint64_t number_arg(const char *text, uint64_t min, uint64_t max)
{
	char *end;
	unsigned long long v;

	errno = 0;
	v = strtoull(text, &end, 10);
	if (errno || *end || end == text || v < min || v > max) {
		fprintf(stderr, "numstream: \"%s\" is not a number from %llu to %llu\n", text,
			(unsigned long long)min, (unsigned long long)max);
		exit(2);
	}
	return v;
}

static void parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"to", 1, NULL, 't'},
		{"from", 1, NULL, 'f'},
		{"port", 1, NULL, 'p'},
		{"rate", 1, NULL, 'r'},
		{"count", 1, NULL, 'c'},
		{"seconds", 1, NULL, 's'},
		{"size", 1, NULL, 'b'},
		{"stream", 1, NULL, 'i'},
		{"idle", 1, NULL, 'w'},
		{"ready", 1, NULL, 'y'},
		{"buffer", 1, NULL, 'u'},
		{NULL, 0, NULL, 0},
	};
	int opt;

	if (argc < 2)
		usage();
	o->verb = argv[1];
	optind = 2;
	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (opt) {
		case 't':
			o->to = optarg;
			break;
		case 'f':
			o->from = optarg;
			break;
		case 'p':
			o->port = optarg;
			break;
		case 'r':
			o->rate = (uint32_t)number_arg(optarg, 1, RATE_MAX);
			break;
		case 'c':
			o->count = number_arg(optarg, 1, COUNT_MAX);
			break;
		case 's':
			o->seconds = (uint32_t)number_arg(optarg, 1, 86400);
			break;
		case 'b':
			o->size = (uint32_t)number_arg(optarg, SIZE_MIN, PAYLOAD_MAX);
			break;
		case 'i':
			o->stream = (uint32_t)number_arg(optarg, 0, UINT32_MAX);
			break;
		case 'w':
			o->idle_ms = (uint32_t)number_arg(optarg, 1, 3600000);
			break;
		case 'y':
			o->ready_file = optarg;
			break;
		case 'u':
			o->buffer = (uint32_t)number_arg(optarg, 1, RECV_BUFFER);
			break;
		default:
			usage();
		}
	}
	if (optind != argc || !o->port)
		usage();
}

int main(int argc, char **argv)
{
	struct options o = {
		.rate = 1000, .seconds = 5, .size = 200, .idle_ms = 15000, .buffer = RECV_BUFFER};
	struct sigaction sa = {.sa_handler = on_signal};

	parse(argc, argv, &o);
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	if (strcmp(o.verb, "recv") == 0)
		return run_receiver(&o);
	if (strcmp(o.verb, "send") != 0 || !o.to)
		usage();
	return run_sender(&o);
}
