// SPDX-License-Identifier: BSD-3-Clause
//
// Sends ChannelData as fast as it can over connected UDP sockets that it inherits, each with a channel
// bound already. A message is repeated in one buffer and cut by UDP segmentation offload, so that the
// generator costs less than what it measures.
//   usage: turn_load SECONDS PAYLOAD FD NUMBER [FD NUMBER]...
#include <errno.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define FLOWS_MAX 1024
#define AT_ONCE   40 // messages of one send; the kernel cuts at most 64

struct flow {
	int fd;
	uint16_t number;
};

static uint8_t buf[65000];
static struct flow flows[FLOWS_MAX];

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static uint32_t fill(const struct flow *f, uint32_t payload, uint32_t messages)
{
	uint32_t len = 4 + payload;

	for (uint32_t i = 0; i < messages; i++) {
		uint8_t *at = buf + i * len;

		at[0] = (uint8_t)(f->number >> 8);
		at[1] = (uint8_t)f->number;
		at[2] = (uint8_t)(payload >> 8);
		at[3] = (uint8_t)payload;
	}
	return len * messages;
}

int main(int argc, char **argv)
{
	double end = now() + (argc > 1 ? atof(argv[1]) : 0);
	uint32_t payload = argc > 2 ? (uint32_t)atoi(argv[2]) : 0, messages = AT_ONCE, nb = 0;
	unsigned long long sent = 0, refused = 0;

	if (argc < 5 || payload == 0 || payload > 1400) {
		fprintf(stderr, "usage: turn_load SECONDS PAYLOAD FD NUMBER [FD NUMBER]...\n");
		return 2;
	}
	while (messages * (payload + 4) > sizeof(buf))
		messages--;
	for (int i = 3; i + 1 < argc && nb < FLOWS_MAX; i += 2, nb++) {
		int segment = (int)payload + 4;

		flows[nb] = (struct flow){atoi(argv[i]), (uint16_t)strtoul(argv[i + 1], NULL, 0)};
		if (setsockopt(flows[nb].fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof(segment)) <
			0) {
			perror("turn_load: UDP_SEGMENT");
			return 1;
		}
	}
	for (uint32_t i = 0; now() < end; i = i + 1 < nb ? i + 1 : 0) {
		if (send(flows[i].fd, buf, fill(&flows[i], payload, messages), 0) >= 0)
			sent += messages;
		else
			refused++;
	}
	printf("%llu sent, %llu sends refused\n", sent, refused);
	return 0;
}
