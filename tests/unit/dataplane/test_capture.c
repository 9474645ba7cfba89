// SPDX-License-Identifier: BSD-3-Clause
//
// Captures: what a file or a pipe gets, readers that are slow, stop or go, and who is refused.
#include "rig.h"
#include "trace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT_S 20 // a main thread that waits for a reader would wait for ever

static const struct st_capture lan_capture = {
	.key = {.id = 1}, .if_id = RIG_LAN, .peer_id = ST_NO_PEER};

static void lan(uint32_t dst, uint32_t len)
{
	struct rte_mbuf *m = rig_udp4(RIG_LAN_HOST, dst, 1000, 2000, len);

	rig_ether(m, RIG_LAN);
	rig_rx(0, RIG_LAN, m);
	rig_passes(3);
}

// So many that a route swallows: one copy each.
static void swallowed(unsigned int n, uint32_t len)
{
	for (unsigned int i = 0; i < n; i++) {
		lan(0x0a0b0001, len);
		trace_poll();
	}
}

static void begin(void)
{
	rig_reset();
	rig_captures_ended = 0;
	CU_ASSERT_EQUAL_FATAL(trace_init(), 0);
	alarm(LIMIT_S);
}

static void end(void)
{
	alarm(0);
	trace_fini();
	rig_reset();
	CU_ASSERT(rig_pool_full());
}

// ---- pcapng ----------------------------------------------------------------------------------------

// Walks the blocks of a pcapng file: how many enhanced packet blocks, -1 when it is torn.
static int packet_blocks(FILE *f, uint32_t *ret_last_len)
{
	uint32_t head[2];
	size_t got;
	int n = 0;

	rewind(f);
	while ((got = fread(head, 1, sizeof(head), f)) == sizeof(head)) {
		uint32_t epb[5], tail;

		if (head[0] == 6) {
			if (fread(epb, sizeof(epb), 1, f) != 1 || fseek(f, -20, SEEK_CUR) != 0)
				return -1;
			*ret_last_len = epb[4];
			n++;
		}
		if (head[1] < 12 || head[1] % 4 != 0 || fseek(f, (long)head[1] - 12, SEEK_CUR) != 0 ||
			fread(&tail, sizeof(tail), 1, f) != 1 || tail != head[1])
			return -1;
	}
	return got == 0 ? n : -1;
}

// ---- files -----------------------------------------------------------------------------------------

static void captures_hold_what_went_by(void)
{
	struct st_capture c = lan_capture;
	FILE *f = tmpfile();
	uint32_t len = 0;

	begin();
	CU_ASSERT_EQUAL(capture_add(&c, dup(fileno(f)), 1), 0);
	lan(0x0a0b0001, 100);   // in
	lan(RIG_LAN_HOST, 100); // in, and out again by the same interface
	lan(0x0a0b0001, 100);
	trace_poll();
	CU_ASSERT_EQUAL(capture_remove(2, 1), -ENOENT);
	CU_ASSERT_EQUAL(capture_remove(1, 2), -ENOENT); // another client's
	CU_ASSERT_EQUAL(capture_remove(1, 1), 0);
	CU_ASSERT_EQUAL(atomic_load(&trace_flags), 0);
	CU_ASSERT_EQUAL(packet_blocks(f, &len), 4);
	CU_ASSERT_EQUAL(len, 114);
	fclose(f);
	end();
}

static void captures_of_a_tunnel_hold_the_inner_packets(void)
{
	struct st_capture c = {.key = {.id = 1}, .if_id = RIG_WG, .peer_id = RIG_PEER};
	struct st_capture other = {.key = {.id = 2}, .if_id = RIG_WG, .peer_id = 9, .max_count = 1};
	FILE *f = tmpfile(), *none = tmpfile();
	struct rte_mbuf *m;
	uint32_t len = 0;

	rig_peer(false);
	rig_key(RIG_INDEX, ST_KEY_INITIATOR);
	rig_passes(3);
	begin();
	CU_ASSERT_EQUAL(capture_add(&c, dup(fileno(f)), 1), 0);
	CU_ASSERT_EQUAL(capture_add(&other, dup(fileno(none)), 1), 0);
	lan(RIG_FAR_HOST, 100);
	m = rig_seal(rig_udp4(RIG_FAR_HOST, RIG_LAN_HOST, 1, 2, 90), RIG_INDEX, 0, false);
	rig_ether(m, RIG_WAN);
	rig_rx(0, RIG_WAN, m);
	rig_passes(3);
	trace_poll();
	capture_remove_client(1);
	CU_ASSERT_EQUAL(packet_blocks(f, &len), 2);
	CU_ASSERT_EQUAL(len, 14 + 90);
	CU_ASSERT_EQUAL(packet_blocks(none, &len), 0);
	fclose(f);
	fclose(none);
	rig_gone();
	end();
}

static void a_capture_ends_with_its_count(void)
{
	struct st_capture c = lan_capture;
	FILE *f = tmpfile();
	uint32_t len = 0;

	begin();
	c.max_count = 3;
	CU_ASSERT_EQUAL(capture_add(&c, dup(fileno(f)), 1), 0);
	swallowed(2, 100);
	CU_ASSERT_EQUAL(rig_captures_ended, 0);
	swallowed(3, 100);
	CU_ASSERT_EQUAL(rig_captures_ended, 1);
	CU_ASSERT_EQUAL(packet_blocks(f, &len), 3);
	fclose(f);
	end();
}

static void what_waits_is_written_before_a_capture_is_removed(void)
{
	struct st_capture c = lan_capture;
	FILE *f = tmpfile();
	uint32_t len = 0;

	begin();
	CU_ASSERT_EQUAL(capture_add(&c, dup(fileno(f)), 1), 0);
	for (int i = 0; i < 900; i++)
		lan(0x0a0b0001, 100);
	CU_ASSERT_EQUAL(capture_remove(1, 1), 0);
	CU_ASSERT_EQUAL(packet_blocks(f, &len), 900);
	fclose(f);
	end();
}

// ---- pipes -----------------------------------------------------------------------------------------

struct reader {
	int fd[2];
	FILE *got;
};

// The client's end is blocking whatever was done to it: it shares its flags with ours.
static void reader_begin(struct reader *r, uint32_t max_count)
{
	struct st_capture c = lan_capture;

	c.max_count = max_count;
	r->got = tmpfile();
	CU_ASSERT_EQUAL_FATAL(pipe(r->fd), 0);
	CU_ASSERT_EQUAL(capture_add(&c, dup(r->fd[1]), 1), 0);
	CU_ASSERT_EQUAL(fcntl(r->fd[1], F_SETFL, fcntl(r->fd[1], F_GETFL) & ~O_NONBLOCK), 0);
	CU_ASSERT_EQUAL(fcntl(r->fd[0], F_SETFL, O_NONBLOCK), 0);
}

// Until there is nothing any more.
static void reader_read(struct reader *r)
{
	static char buf[65536];
	ssize_t n;

	do {
		n = read(r->fd[0], buf, sizeof(buf));
		if (n > 0)
			CU_ASSERT_EQUAL(fwrite(buf, 1, (size_t)n, r->got), (size_t)n);
		trace_poll();
	} while (n > 0);
	fflush(r->got);
}

static void reader_end(struct reader *r)
{
	close(r->fd[0]);
	close(r->fd[1]);
	fclose(r->got);
}

static void a_pipe_gets_everything_at_once(void)
{
	struct reader r;
	uint32_t len = 0;

	begin();
	reader_begin(&r, 0);
	swallowed(5, 1400);
	reader_read(&r);
	CU_ASSERT_EQUAL(packet_blocks(r.got, &len), 5);
	CU_ASSERT_EQUAL(len, 1414);
	CU_ASSERT_EQUAL(capture_remove(1, 1), 0);
	reader_end(&r);
	end();
}

static void a_reader_that_does_not_read_holds_nothing_up(void)
{
	struct reader r;
	uint32_t len = 0;
	int held;

	begin();
	reader_begin(&r, 0);
	swallowed(2000, 1400); // more than both pipes hold
	CU_ASSERT_EQUAL(rig_captures_ended, 0);
	reader_read(&r);
	held = packet_blocks(r.got, &len); // -1 where one is torn
	CU_ASSERT(held > 30 && held < 2000);
	swallowed(3, 200); // it goes on behind the gap
	reader_read(&r);
	CU_ASSERT_EQUAL(packet_blocks(r.got, &len), held + 3);
	CU_ASSERT_EQUAL(len, 214);
	CU_ASSERT_EQUAL(capture_remove(1, 1), 0);
	reader_end(&r);
	end();
}

static void a_capture_ends_when_its_reader_can_have_all_of_it(void)
{
	struct reader r;
	uint32_t len = 0;

	begin();
	reader_begin(&r, 20);
	CU_ASSERT(fcntl(r.fd[1], F_SETPIPE_SZ, 4096) > 0);
	swallowed(30, 1400);
	CU_ASSERT_EQUAL(rig_captures_ended, 0);
	reader_read(&r);
	CU_ASSERT_EQUAL(rig_captures_ended, 1);
	CU_ASSERT_EQUAL(packet_blocks(r.got, &len), 20);
	reader_end(&r);
	end();
}

static void a_reader_that_goes_ends_the_capture(void)
{
	struct reader r;

	begin();
	reader_begin(&r, 0);
	swallowed(1, 100);
	close(r.fd[0]);
	swallowed(3, 100);
	CU_ASSERT_EQUAL(rig_captures_ended, 1);
	CU_ASSERT_EQUAL(capture_remove(1, 1), 0);
	close(r.fd[1]);
	fclose(r.got);
	end();
}

// ---- refused ---------------------------------------------------------------------------------------

static bool is_closed(int fd)
{
	return fcntl(fd, F_GETFD) < 0 && errno == EBADF;
}

static void expect_refusal(const struct st_capture *c, int fd, int client, int rc)
{
	CU_ASSERT_EQUAL(capture_add(c, fd, client), rc);
	CU_ASSERT(is_closed(fd));
}

static void what_cannot_be_written_to_is_refused(void)
{
	struct st_capture c = lan_capture;
	int p[2], s[2];

	begin();
	CU_ASSERT_EQUAL_FATAL(pipe(p), 0);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
	expect_refusal(&c, p[0], 1, -EBADF);
	expect_refusal(&c, s[0], 1, -EINVAL);
	expect_refusal(&c, open("/dev/null", O_WRONLY), 1, -EINVAL);
	c.if_id = 200; // there is none
	expect_refusal(&c, dup(p[1]), 1, -ENODEV);
	c.if_id = ST_MAX_IFACES;
	expect_refusal(&c, p[1], 1, -EINVAL);
	close(s[1]);
	CU_ASSERT_EQUAL(atomic_load(&trace_flags), 0);
	end();
}

static void captures_have_a_number_each_and_caps(void)
{
	struct st_capture c = lan_capture;
	FILE *f = tmpfile();

	begin();
	for (int client = 0; client < 8; client++) {
		for (c.key.id = 0; c.key.id < OBSERVED_MAX; c.key.id++)
			CU_ASSERT_EQUAL(capture_add(&c, dup(fileno(f)), client), 0);
		CU_ASSERT_EQUAL(capture_count(client), OBSERVED_MAX);
		expect_refusal(&c, dup(fileno(f)), client, -ENOSPC);
	}
	expect_refusal(&c, dup(fileno(f)), 8, -ENOSPC); // 64 in all
	CU_ASSERT_EQUAL(capture_remove(5, 1), 0);
	c.key.id = 6;
	expect_refusal(&c, dup(fileno(f)), 1, -EEXIST);
	c.key.id = 5;
	CU_ASSERT_EQUAL(capture_add(&c, dup(fileno(f)), 1), 0);
	fclose(f);
	end();
}

int main(void)
{
	static const struct rig_test tests[] = {
		{"captures hold what went by", captures_hold_what_went_by},
		{"captures of a tunnel hold the inner packets",
			captures_of_a_tunnel_hold_the_inner_packets},
		{"a capture ends with its count", a_capture_ends_with_its_count},
		{"what waits is written before a capture is removed",
			what_waits_is_written_before_a_capture_is_removed},
		{"a pipe gets everything at once", a_pipe_gets_everything_at_once},
		{"a reader that does not read holds nothing up",
			a_reader_that_does_not_read_holds_nothing_up},
		{"a capture ends when its reader can have all of it",
			a_capture_ends_when_its_reader_can_have_all_of_it},
		{"a reader that goes ends the capture", a_reader_that_goes_ends_the_capture},
		{"what cannot be written to is refused", what_cannot_be_written_to_is_refused},
		{"captures have a number each and caps", captures_have_a_number_each_and_caps},
	};

	signal(SIGPIPE, SIG_IGN);
	return rig_main("capture", tests, RTE_DIM(tests));
}
