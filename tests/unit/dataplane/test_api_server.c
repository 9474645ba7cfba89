// SPDX-License-Identifier: BSD-3-Clause
//
// The contract's server behind a real socket, with kinds of its own: roles, malformed messages, held
// answers, dumps to a slow reader, events and their overflow, descriptors.
#include "api/st_send.h"
#include "env.h"
#include "server/api_server.h"
#include "server/object.h"
#include "server/park.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

struct thing {
	uint32_t id;
	uint32_t value;
};

// One that keeps its value is refreshed where it is.
static int thing_set(const void *body, const void *old)
{
	if (old != NULL && ((const struct thing *)old)->value == ((const struct thing *)body)->value)
		object_set_in_place();
	return ((const struct thing *)body)->value == 13 ? -EDOM : 0;
}

static void thing_del(const void *body)
{
}

const struct object_kind object_kinds[] = {
	{.kind = ST_PORTMAP,
		.name = "thing",
		.key_len = 4,
		.body_len = 8,
		.max = 100000,
		.set = thing_set,
		.del = thing_del},
	{.kind = ST_SOCKET,
		.name = "socket",
		.key_len = sizeof(struct st_socket_key),
		.body_len = sizeof(struct st_socket),
		.max = 8,
		.flags = KIND_F_KEEP,
		.set = socket_set,
		.del = socket_del},
	{.kind = 0},
};

static char path[64];
static uint32_t seq;
static int server_fd;

struct answer {
	struct st_msg hdr;
	uint8_t data[ST_MSG_MAX];
	int fd;
};

static int connected(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	memcpy(sa.sun_path, path, sizeof(path));
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static int dial(void)
{
	int fd = connected();

	api_server_poll();
	return fd;
}

static void raw(int fd, const void *data, size_t len)
{
	CU_ASSERT_EQUAL(send(fd, data, len, 0), (ssize_t)len);
	api_server_poll();
}

static void ask_fd(int fd, struct st_msg hdr, const void *body, const void *blob, int pass)
{
	struct iovec iov[3] = {{&hdr, sizeof(hdr)}, {(void *)(uintptr_t)body, hdr.body_len},
		{(void *)(uintptr_t)blob, hdr.blob_len}};

	hdr.seq = ++seq;
	CU_ASSERT_EQUAL(st_send(fd, iov, 3, pass, MSG_DONTWAIT), 0);
	api_server_poll();
}

static void ask(int fd, struct st_msg hdr, const void *body, const void *blob)
{
	ask_fd(fd, hdr, body, blob, -1);
}

// False: nothing there (or the end).
static bool hear(int fd, struct answer *ret)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov[2] = {{&ret->hdr, sizeof(ret->hdr)}, {ret->data, sizeof(ret->data)}};
	struct msghdr mh = {.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	ssize_t n;

	api_server_poll();
	n = recvmsg(fd, &mh, MSG_DONTWAIT);
	ret->fd = -1;
	if (n < (ssize_t)sizeof(ret->hdr))
		return false;
	if (CMSG_FIRSTHDR(&mh) != NULL)
		memcpy(&ret->fd, CMSG_DATA(CMSG_FIRSTHDR(&mh)), sizeof(int));
	return true;
}

static int status(int fd)
{
	struct answer a;

	if (!hear(fd, &a))
		return 1;
	CU_ASSERT(a.hdr.op == ST_OP_REPLY || a.hdr.op == ST_OP_HELLO);
	return a.hdr.status;
}

static int greet(int fd, uint32_t role)
{
	struct st_hello h = {.version = ST_API_VERSION, .role = role};

	ask(fd, (struct st_msg){.op = ST_OP_HELLO, .body_len = sizeof(h)}, &h, NULL);
	return status(fd);
}

static int set_thing(int fd, uint32_t id, uint32_t value)
{
	struct thing t = {id, value};

	ask(fd, (struct st_msg){.op = ST_OP_SET, .kind = ST_PORTMAP, .body_len = sizeof(t)}, &t,
		NULL);
	return status(fd);
}

static bool closed(int fd)
{
	char c;

	api_server_poll();
	return recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void begin(void)
{
	struct st_hello self = {.version = ST_API_VERSION, .instance = 42, .aead = "none"};

	CU_ASSERT_EQUAL_FATAL(objects_init(), 0);
	server_fd = api_server_init(path, (uint32_t)-1, &self);
	CU_ASSERT_FATAL(server_fd >= 0);
}

static void end(void)
{
	api_server_fini();
	objects_fini();
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

static void the_first_message_must_be_hello(void)
{
	int fd;

	begin();
	fd = dial();
	CU_ASSERT_EQUAL(set_thing(fd, 1, 1), -EPROTO);
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), -EPROTO);
	CU_ASSERT_EQUAL(set_thing(fd, 1, 1), 0);
	close(fd);
	end();
}

static void another_version_is_told_and_closed(void)
{
	struct st_hello h = {.version = ST_API_VERSION + 1, .role = ST_ROLE_CONTROLLER};
	struct answer a;
	int fd;

	begin();
	fd = dial();
	ask(fd, (struct st_msg){.op = ST_OP_HELLO, .body_len = sizeof(h)}, &h, NULL);
	CU_ASSERT_TRUE_FATAL(hear(fd, &a));
	CU_ASSERT_EQUAL(a.hdr.status, -EPROTONOSUPPORT);
	memcpy(&h, a.data, sizeof(h));
	CU_ASSERT_EQUAL(h.version, ST_API_VERSION);
	CU_ASSERT_TRUE(closed(fd));
	close(fd);
	end();
}

static void observers_may_look_but_not_touch(void)
{
	struct thing t = {1, 1};
	int fd;

	begin();
	fd = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_OBSERVER), 0);
	CU_ASSERT_EQUAL(set_thing(fd, 1, 1), -EPERM);
	ask(fd, (struct st_msg){.op = ST_OP_DEL, .kind = ST_PORTMAP, .body_len = 4}, &t, NULL);
	CU_ASSERT_EQUAL(status(fd), -EPERM);
	for (uint16_t op = ST_OP_SYNC_BEGIN; op <= ST_OP_PACKET_OUT; op++) {
		ask(fd, (struct st_msg){.op = op}, NULL, NULL);
		CU_ASSERT_EQUAL(status(fd), -EPERM);
	}
	ask(fd, (struct st_msg){.op = ST_OP_STAGED_DROP}, NULL, NULL);
	CU_ASSERT_EQUAL(status(fd), -EPERM);
	ask(fd, (struct st_msg){.op = ST_OP_DUMP, .kind = ST_PORTMAP}, NULL, NULL);
	CU_ASSERT_EQUAL(status(fd), 0);
	close(fd);
	end();
}

static void there_is_one_controller_and_a_dead_one_is_replaced(void)
{
	int a, b;

	begin();
	a = dial();
	b = dial();
	CU_ASSERT_EQUAL(greet(a, ST_ROLE_CONTROLLER), 0);
	CU_ASSERT_EQUAL(greet(b, ST_ROLE_CONTROLLER), -EBUSY);
	CU_ASSERT_EQUAL(set_thing(a, 1, 1), 0);
	close(a);
	CU_ASSERT_EQUAL(greet(b, ST_ROLE_CONTROLLER), 0);
	CU_ASSERT_EQUAL(set_thing(b, 2, 1), 0);
	close(b);
	end();
}

static void malformed_messages_are_answered_and_survived(void)
{
	static uint8_t big[ST_MSG_MAX + 100];
	struct {
		struct st_msg hdr;
		uint8_t data[64];
	} m = {.hdr = {.op = ST_OP_SET, .kind = ST_PORTMAP, .seq = 5, .body_len = 65}};
	int fd;

	begin();
	fd = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	raw(fd, &m, sizeof(m)); // body_len one too long
	CU_ASSERT_EQUAL(status(fd), -EINVAL);
	m.hdr.body_len = 63;
	raw(fd, &m, sizeof(m)); // and one too short
	CU_ASSERT_EQUAL(status(fd), -EINVAL);
	m.hdr.body_len = 64;
	raw(fd, &m, sizeof(m)); // consistent, but not this kind's
	CU_ASSERT_EQUAL(status(fd), -EINVAL);
	raw(fd, &m, 3);
	CU_ASSERT_EQUAL(status(fd), -EINVAL);
	raw(fd, &m, sizeof(m.hdr) - 1);
	CU_ASSERT_EQUAL(status(fd), -EINVAL);
	raw(fd, big, sizeof(big));
	CU_ASSERT_EQUAL(status(fd), -EMSGSIZE);
	ask(fd, (struct st_msg){.op = 99}, NULL, NULL);
	CU_ASSERT_EQUAL(status(fd), -ENOTSUP);
	ask(fd, (struct st_msg){.op = ST_OP_SET, .kind = 63}, NULL, NULL);
	CU_ASSERT_EQUAL(status(fd), -ENOTSUP);
	ask(fd, (struct st_msg){.op = ST_OP_DUMP, .kind = 63}, NULL, NULL);
	CU_ASSERT_EQUAL(status(fd), -ENOTSUP);
	ask(fd, (struct st_msg){.op = ST_OP_DUMP, .kind = ST_PORTMAP, .body_len = 1}, "x", NULL);
	CU_ASSERT_EQUAL(status(fd), -EINVAL);
	CU_ASSERT_EQUAL(set_thing(fd, 1, 13), -EDOM);
	CU_ASSERT_EQUAL(set_thing(fd, 1, 1), 0);
	close(fd);
	end();
}

static void an_answer_waits_for_the_lcores(void)
{
	struct thing t = {1, 1}, bad = {2, 13};
	struct answer a;
	int fd;

	begin();
	rte_rcu_qsbr_thread_register(lcores.qsbr, ENV_READER);
	rte_rcu_qsbr_thread_online(lcores.qsbr, ENV_READER);
	fd = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	ask(fd, (struct st_msg){.op = ST_OP_SET, .kind = ST_PORTMAP, .body_len = 8}, &t, NULL);
	ask(fd, (struct st_msg){.op = ST_OP_SET, .kind = ST_PORTMAP, .body_len = 8}, &bad, NULL);
	CU_ASSERT_FALSE(hear(fd, &a));
	CU_ASSERT_TRUE(api_server_holding());
	rte_rcu_qsbr_quiescent(lcores.qsbr, ENV_READER);
	CU_ASSERT_EQUAL(status(fd), 0); // in the order of the requests
	CU_ASSERT_EQUAL(status(fd), -EDOM);
	CU_ASSERT_FALSE(api_server_holding());
	CU_ASSERT_EQUAL(set_thing(fd, 1, 1), 0); // refreshed: at once, no lcore has passed
	t.value = 2;
	ask(fd, (struct st_msg){.op = ST_OP_SET, .kind = ST_PORTMAP, .body_len = 8}, &t, NULL);
	CU_ASSERT_EQUAL(set_thing(fd, 1, 2), 1); // but never before an answer that waits
	rte_rcu_qsbr_quiescent(lcores.qsbr, ENV_READER);
	CU_ASSERT_EQUAL(status(fd), 0);
	CU_ASSERT_EQUAL(status(fd), 0);
	rte_rcu_qsbr_thread_offline(lcores.qsbr, ENV_READER);
	rte_rcu_qsbr_thread_unregister(lcores.qsbr, ENV_READER);
	close(fd);
	end();
}

static void the_largest_blob_comes_back_whole(void)
{
	static uint8_t blob[ST_BLOB_MAX + 1];
	struct thing t = {1, 1};
	struct answer a;
	int fd;

	for (unsigned int i = 0; i < sizeof(blob); i++)
		blob[i] = (uint8_t)(i * 7);
	begin();
	fd = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	ask(fd,
		(struct st_msg){.op = ST_OP_SET,
			.kind = ST_PORTMAP,
			.body_len = 8,
			.blob_len = ST_BLOB_MAX + 1},
		&t, blob);
	CU_ASSERT_EQUAL(status(fd), -EINVAL);
	ask(fd,
		(struct st_msg){
			.op = ST_OP_SET, .kind = ST_PORTMAP, .body_len = 8, .blob_len = ST_BLOB_MAX},
		&t, blob);
	CU_ASSERT_EQUAL(status(fd), 0);
	ask(fd, (struct st_msg){.op = ST_OP_DUMP, .kind = ST_PORTMAP}, NULL, NULL);
	CU_ASSERT_TRUE_FATAL(hear(fd, &a));
	CU_ASSERT_EQUAL(a.hdr.blob_len, ST_BLOB_MAX);
	CU_ASSERT_EQUAL(memcmp(a.data + a.hdr.body_len, blob, ST_BLOB_MAX), 0);
	CU_ASSERT_EQUAL(status(fd), 0);
	close(fd);
	end();
}

// All of it stands in the socket before the server looks. Each dump has the objects that were set before it, and with each
// comes a descriptor that nobody wants.
static void what_is_asked_behind_a_dump_waits_for_it(void)
{
	enum { PAIRS = 50 };
	struct st_msg set = {.op = ST_OP_SET, .kind = ST_PORTMAP, .body_len = sizeof(struct thing)};
	struct st_msg dump = {.op = ST_OP_DUMP, .kind = ST_PORTMAP};
	unsigned int items = 0, wrong = 0;
	uint32_t first;
	struct answer a;
	int fd;

	begin();
	fd = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	first = seq;
	for (uint32_t i = 0; i < PAIRS; i++) {
		struct thing t = {i, 1};
		struct iovec one[2] = {{&set, sizeof(set)}, {&t, sizeof(t)}},
			     two[1] = {{&dump, sizeof(dump)}};

		set.seq = ++seq;
		wrong += st_send(fd, one, 2, -1, MSG_DONTWAIT) != 0;
		dump.seq = ++seq;
		wrong += st_send(fd, two, 1, STDERR_FILENO, MSG_DONTWAIT) != 0;
	}
	for (uint32_t next = first + 1; next <= seq && wrong == 0;) {
		if (!hear(fd, &a))
			continue;
		if (a.hdr.op == ST_OP_ITEM) {
			items++;
			continue;
		}
		wrong += a.hdr.op != ST_OP_REPLY || a.hdr.status != 0 || a.hdr.seq != next;
		if ((next - first) % 2 == 0)
			wrong += items != (next - first) / 2;
		items = 0;
		next++;
	}
	CU_ASSERT_EQUAL(wrong, 0);
	close(fd);
	end();
}

static void a_client_that_goes_leaves_no_descriptor_behind(void)
{
	struct st_msg dump = {.op = ST_OP_DUMP, .kind = ST_PORTMAP};
	struct iovec iov = {&dump, sizeof(dump)};
	int fd, before, after;

	begin();
	before = dup(0);
	close(before);
	fd = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	for (int i = 0; i < 40; i++)
		CU_ASSERT_EQUAL(st_send(fd, &iov, 1, STDERR_FILENO, MSG_DONTWAIT), 0);
	api_server_poll();
	close(fd);
	for (int i = 0; i < 100; i++)
		api_server_poll();
	after = dup(0);
	close(after);
	CU_ASSERT_EQUAL(after, before);
	end();
}

static void a_dump_to_a_slow_reader_is_complete(void)
{
	unsigned int n = 0, wrong = 0, idle = 0;
	int fd, size = 1, other;
	struct answer a;

	begin();
	for (uint32_t i = 0; i < 5000; i++) {
		struct thing t = {i, 1};

		wrong += object_set(ST_PORTMAP, &t, sizeof(t), "b", 1, 0) != 0;
	}
	fd = dial();
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	other = dial();
	CU_ASSERT_EQUAL(greet(other, ST_ROLE_OBSERVER), 0);
	ask(fd, (struct st_msg){.op = ST_OP_DUMP, .kind = ST_PORTMAP}, NULL, NULL);
	ask(other, (struct st_msg){.op = ST_OP_DUMP, .kind = ST_SOCKET}, NULL, NULL);
	CU_ASSERT_EQUAL(status(other), 0); // is not kept waiting
	for (;;) {
		uint32_t id;

		if (!hear(fd, &a)) {
			if (++idle > 1000)
				break;
			continue;
		}
		if (a.hdr.op == ST_OP_REPLY)
			break;
		memcpy(&id, a.data, 4);
		wrong += a.hdr.op != ST_OP_ITEM || a.hdr.seq != seq - 1 || id != n ||
			 a.hdr.blob_len != 1;
		n++;
		if (n == 2500) { // one that is still to come goes, another comes
			uint32_t gone = 4000;
			struct thing t = {9999, 1};

			object_del(ST_PORTMAP, &gone, 4);
			object_set(ST_PORTMAP, &t, sizeof(t), NULL, 0, 0);
			break;
		}
	}
	CU_ASSERT_EQUAL(n, 2500);
	CU_ASSERT_EQUAL(wrong, 0);
	while (hear(fd, &a) && a.hdr.op == ST_OP_ITEM)
		n++;
	CU_ASSERT_EQUAL(a.hdr.op, ST_OP_REPLY);
	CU_ASSERT_EQUAL(n, 5000);
	close(fd);
	close(other);
	end();
}

static void observers_get_no_blobs_and_no_descriptors(void)
{
	struct st_socket s = {.key = {3}, .purpose = "x"};
	struct answer a;
	int fd, other;

	begin();
	fd = dial();
	other = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	CU_ASSERT_EQUAL(greet(other, ST_ROLE_OBSERVER), 0);
	ask(fd, (struct st_msg){.op = ST_OP_SET, .kind = ST_SOCKET, .body_len = sizeof(s)}, &s, NULL);
	CU_ASSERT_EQUAL(status(fd), -EBADF);
	ask_fd(fd,
		(struct st_msg){
			.op = ST_OP_SET, .kind = ST_SOCKET, .body_len = sizeof(s), .blob_len = 4},
		&s, "blob", STDIN_FILENO);
	CU_ASSERT_EQUAL(status(fd), 0);
	ask(fd, (struct st_msg){.op = ST_OP_DUMP, .kind = ST_SOCKET}, NULL, NULL);
	CU_ASSERT_TRUE_FATAL(hear(fd, &a));
	CU_ASSERT_EQUAL(a.hdr.op, ST_OP_ITEM);
	CU_ASSERT_EQUAL(a.hdr.blob_len, 4);
	CU_ASSERT(a.fd >= 0);
	if (a.fd >= 0)
		close(a.fd);
	ask(other, (struct st_msg){.op = ST_OP_DUMP, .kind = ST_SOCKET}, NULL, NULL);
	CU_ASSERT_TRUE_FATAL(hear(other, &a));
	CU_ASSERT_EQUAL(a.hdr.op, ST_OP_ITEM);
	CU_ASSERT_EQUAL(a.hdr.blob_len, 0);
	CU_ASSERT_EQUAL(a.fd, -1);
	close(fd);
	close(other);
	end();
}

static void descriptors_that_nobody_wants_are_closed(void)
{
	struct thing t = {1, 1};
	int fd, before, after;

	begin();
	fd = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	before = dup(STDIN_FILENO);
	close(before);
	for (int i = 0; i < 20; i++) {
		ask_fd(fd, (struct st_msg){.op = ST_OP_SET, .kind = ST_PORTMAP, .body_len = 8}, &t,
			NULL, STDIN_FILENO);
		CU_ASSERT_EQUAL(status(fd), 0);
	}
	after = dup(STDIN_FILENO);
	close(after);
	CU_ASSERT_EQUAL(before, after);
	close(fd);
	end();
}

static void lost_events_are_told(void)
{
	struct st_ev_peer ev = {.peer_id = 1};
	unsigned int events = 0;
	uint64_t lost = 0;
	struct answer a;
	int fd;

	begin();
	api_server_event(ST_EV_KEY_NEEDED, &ev, sizeof(ev), NULL, 0); // nobody is there: dropped
	fd = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	CU_ASSERT_FALSE(hear(fd, &a));
	for (int i = 0; i < 20000; i++)
		api_server_event(ST_EV_KEY_NEEDED, &ev, sizeof(ev), NULL, 0);
	while (hear(fd, &a)) {
		CU_ASSERT_EQUAL_FATAL(a.hdr.op, ST_OP_EVENT);
		if (a.hdr.kind == ST_EV_OVERRUN) {
			uint64_t n;

			memcpy(&n, a.data, sizeof(n));
			lost += n;
		} else {
			events++;
		}
	}
	CU_ASSERT(lost > 0);
	CU_ASSERT_EQUAL(events + lost, 20000);
	CU_ASSERT_EQUAL(set_thing(fd, 1, 1), 0);
	close(fd);
	end();
}

static void a_sync_over_the_socket_sweeps(void)
{
	int fd;

	begin();
	fd = dial();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_CONTROLLER), 0);
	CU_ASSERT_EQUAL(set_thing(fd, 1, 1), 0);
	CU_ASSERT_EQUAL(set_thing(fd, 2, 1), 0);
	ask(fd, (struct st_msg){.op = ST_OP_SYNC_BEGIN}, NULL, NULL);
	CU_ASSERT_EQUAL(status(fd), 0);
	CU_ASSERT_EQUAL(set_thing(fd, 2, 1), 0);
	ask(fd, (struct st_msg){.op = ST_OP_SYNC_END}, NULL, NULL);
	CU_ASSERT_EQUAL(status(fd), 0);
	CU_ASSERT_EQUAL(object_count(ST_PORTMAP), 1);
	close(fd);
	end();
}

static void the_seventeenth_client_is_turned_away(void)
{
	int fds[17];

	begin();
	for (int i = 0; i < 17; i++)
		fds[i] = dial();
	CU_ASSERT_TRUE(closed(fds[16]));
	CU_ASSERT_FALSE(closed(fds[15]));
	close(fds[0]);
	api_server_poll();
	close(fds[16]);
	fds[16] = dial();
	CU_ASSERT_EQUAL(greet(fds[16], ST_ROLE_OBSERVER), 0);
	for (int i = 1; i < 17; i++)
		close(fds[i]);
	end();
}

static void observers_leave_a_place_for_the_controller(void)
{
	int fds[15], controller;

	begin();
	for (int i = 0; i < 14; i++) {
		fds[i] = dial();
		CU_ASSERT_EQUAL(greet(fds[i], ST_ROLE_OBSERVER), 0);
	}
	fds[14] = dial();
	CU_ASSERT_EQUAL(greet(fds[14], ST_ROLE_OBSERVER), -EBUSY);
	controller = dial();
	CU_ASSERT_EQUAL(greet(controller, ST_ROLE_CONTROLLER), 0);
	CU_ASSERT_EQUAL(set_thing(controller, 1, 1), 0);
	close(fds[0]);
	api_server_poll();
	CU_ASSERT_EQUAL(greet(fds[14], ST_ROLE_OBSERVER), 0);
	for (int i = 1; i < 15; i++)
		close(fds[i]);
	close(controller);
	end();
}

// Those that may not control do not get the last two places, whether they say HELLO or not.
static void strangers_do_not_get_the_last_places(void)
{
	int fds[15], own;

	if (geteuid() != 0)
		return; // nobody else to be
	begin();
	CU_ASSERT_EQUAL(chmod(path, 0666), 0);
	for (int i = 0; i < 15; i++) {
		CU_ASSERT_EQUAL_FATAL(seteuid(65534), 0);
		fds[i] = connected();
		CU_ASSERT_EQUAL_FATAL(seteuid(0), 0);
		api_server_poll();
	}
	CU_ASSERT_FALSE(closed(fds[13]));
	CU_ASSERT_TRUE(closed(fds[14]));
	own = dial();
	CU_ASSERT_EQUAL(greet(own, ST_ROLE_CONTROLLER), 0);
	for (int i = 0; i < 15; i++)
		close(fds[i]);
	close(own);
	end();
}

static void who_is_silent_for_long_is_closed(void)
{
	struct st_trace t = {.key = {.id = 1}, .count = 1, .one_in = 1};
	int mute, babbling, idle, busy, tracing, controller;
	uint64_t now = 1000;

	begin();
	api_server_clock(now);
	mute = dial();
	babbling = dial();
	idle = dial();
	busy = dial();
	tracing = dial();
	controller = dial();
	CU_ASSERT_EQUAL(greet(idle, ST_ROLE_OBSERVER), 0);
	CU_ASSERT_EQUAL(greet(busy, ST_ROLE_OBSERVER), 0);
	CU_ASSERT_EQUAL(greet(tracing, ST_ROLE_OBSERVER), 0);
	CU_ASSERT_EQUAL(greet(controller, ST_ROLE_CONTROLLER), 0);
	ask(tracing, (struct st_msg){.op = ST_OP_SET, .kind = ST_TRACE, .body_len = sizeof(t)}, &t,
		NULL);
	CU_ASSERT_EQUAL(status(tracing), 0);
	for (int i = 0; i < 5; i++, now += 999) {
		CU_ASSERT_EQUAL(set_thing(babbling, 1, 1), -EPROTO); // no HELLO
		api_server_clock(now);
	}
	CU_ASSERT_FALSE(closed(mute));
	api_server_clock(now = 6000);
	CU_ASSERT_TRUE(closed(mute));
	CU_ASSERT_TRUE(closed(babbling));
	api_server_clock(now = 50000);
	CU_ASSERT_EQUAL(set_thing(busy, 1, 1), -EPERM);
	CU_ASSERT_FALSE(closed(idle));
	api_server_clock(now = 70000);
	CU_ASSERT_TRUE(closed(idle));
	CU_ASSERT_FALSE(closed(busy));
	api_server_clock(now = 70000 + 60000);
	CU_ASSERT_TRUE(closed(busy));
	CU_ASSERT_FALSE(closed(tracing));
	CU_ASSERT_EQUAL(set_thing(controller, 1, 1), 0);
	close(mute);
	close(babbling);
	close(idle);
	close(busy);
	close(tracing);
	close(controller);
	end();
}

static bool keeps_main_awake(void)
{
	struct pollfd p = {.fd = server_fd, .events = POLLIN};

	return poll(&p, 1, 0) > 0;
}

static void without_a_descriptor_left_main_rests(void)
{
	struct rlimit was, none;
	int fd;

	begin();
	api_server_clock(1000);
	fd = connected();
	CU_ASSERT_TRUE(keeps_main_awake());
	CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = (rlim_t)fd; // those that are open stay
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &none), 0);
	api_server_poll();
	CU_ASSERT_FALSE(keeps_main_awake());
	api_server_clock(1000 + 199);
	CU_ASSERT_FALSE(keeps_main_awake());
	api_server_clock(1000 + 200);
	CU_ASSERT_TRUE(keeps_main_awake());
	api_server_poll();
	CU_ASSERT_FALSE(keeps_main_awake());
	CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &was), 0);
	api_server_clock(1000 + 400);
	api_server_poll();
	CU_ASSERT_EQUAL(greet(fd, ST_ROLE_OBSERVER), 0);
	close(fd);
	end();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"the first message must be HELLO", the_first_message_must_be_hello},
		{"another version is told and closed", another_version_is_told_and_closed},
		{"observers may look but not touch", observers_may_look_but_not_touch},
		{"there is one controller, and a dead one is replaced",
			there_is_one_controller_and_a_dead_one_is_replaced},
		{"malformed messages are answered and survived",
			malformed_messages_are_answered_and_survived},
		{"an answer waits for the lcores", an_answer_waits_for_the_lcores},
		{"what is asked behind a dump waits for it", what_is_asked_behind_a_dump_waits_for_it},
		{"a client that goes leaves no descriptor behind",
			a_client_that_goes_leaves_no_descriptor_behind},
		{"a dump to a slow reader is complete", a_dump_to_a_slow_reader_is_complete},
		{"observers get no blobs and no descriptors",
			observers_get_no_blobs_and_no_descriptors},
		{"descriptors that nobody wants are closed", descriptors_that_nobody_wants_are_closed},
		{"the largest blob comes back whole", the_largest_blob_comes_back_whole},
		{"lost events are told", lost_events_are_told},
		{"a sync over the socket sweeps", a_sync_over_the_socket_sweeps},
		{"the seventeenth client is turned away", the_seventeenth_client_is_turned_away},
		{"observers leave a place for the controller",
			observers_leave_a_place_for_the_controller},
		{"strangers do not get the last places", strangers_do_not_get_the_last_places},
		{"who is silent for long is closed", who_is_silent_for_long_is_closed},
		TEST(without_a_descriptor_left_main_rests),
		CU_TEST_INFO_NULL,
	};

	snprintf(path, sizeof(path), "/tmp/strait-test-api-%d.sock", (int)getpid());
	if (env_qsbr() < 0)
		return 1;
	return run_tests("api_server", tests);
}
