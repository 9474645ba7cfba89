// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl capture: hands strait-dp a file or a pipe, into which it writes pcapng until we hang up.
#include "ctl.h"
#include "gather.h"
#include "list.h"
#include "pcapng.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct find {
	const char *name;
	uint32_t peer_id, if_id;
	bool found;
};

static void on_peer(const void *body, void *arg)
{
	const struct st_peer *p = body;
	struct find *f = arg;

	if (strncmp(p->name, f->name, sizeof(p->name)))
		return;
	f->peer_id = p->key.peer_id;
	f->if_id = p->if_id;
	f->found = true;
}

static int resolve(
	const struct ctl *c, struct dpclient *dp, int argc, char **argv, struct st_capture *ret)
{
	struct find f = {.name = argv[argc - 1]};
	struct gather_names names;
	int err;

	ret->peer_id = ST_NO_PEER;
	if (argc == 2 && strcmp(argv[0], "peer"))
		return ctl_error(CTL_USAGE, "usage: straitctl capture PORT|IFACE|peer NAME");
	if (argc == 1) {
		err = gather_names(dp, &names);
		for (uint32_t i = 1; i < ST_MAX_IFACES && !err && !ret->if_id; i++)
			if (!strcmp(names.names[i], argv[0]))
				ret->if_id = i;
		if (err)
			return gather_status(err, c);
		return ret->if_id ? CTL_OK
				  : ctl_error(CTL_FAILED,
					    "no port or interface %s; straitctl ports "
					    "lists them",
					    argv[0]);
	}
	err = dpclient_dump(dp, ST_PEER, sizeof(struct st_peer), on_peer, &f);
	if (err)
		return gather_status(err, c);
	if (!f.found)
		return ctl_error(CTL_FAILED, "no peer %s; straitctl peers lists them", f.name);
	ret->if_id = f.if_id;
	ret->peer_id = f.peer_id;
	return CTL_OK;
}

static int open_target(const struct ctl *c, int *ret)
{
	bool to_stdout = !c->write || !strcmp(c->write, "-");
	struct stat st;
	// Opened for reading as well a pipe would never see its reader go away.
	int fd = to_stdout ? STDOUT_FILENO
			   : open(c->write,
				     (c->json ? O_RDWR : O_WRONLY) | O_CREAT | O_TRUNC | O_CLOEXEC,
				     0600);

	if (fd < 0)
		return ctl_error(CTL_FAILED, "cannot write %s: %s", c->write, strerror(errno));
	if (to_stdout && isatty(fd))
		return ctl_error(CTL_USAGE, "pcapng is not for a terminal: give -w FILE, or pipe "
					    "it: straitctl capture ... "
					    "| tcpdump -r -");
	if (fstat(fd, &st) || !(S_ISREG(st.st_mode) || (S_ISFIFO(st.st_mode) && !c->json))) {
		if (!to_stdout)
			close(fd);
		return ctl_error(CTL_FAILED, "%s is %s", to_stdout ? "standard output" : c->write,
			c->json ? "not a file, which --json needs to count"
				: "neither a file nor a pipe");
	}
	*ret = fd;
	return CTL_OK;
}

// Waits for the end: Ctrl-C, the count, a reader that went away, or strait-dp's end.
static int wait_end(const struct ctl *c, struct dpclient *dp, const struct st_capture *cap, int fd)
{
	for (;;) {
		const struct st_msg *m;
		struct st_ev_expired ev;
		int err = dpclient_event(dp, -1, fd, &m);

		if (err == -EINTR || err == -EPIPE)
			break;
		if (err)
			return gather_status(err, c);
		if (m->kind != ST_EV_EXPIRED || m->body_len < sizeof(ev))
			continue;
		memcpy(&ev, dp->buf + sizeof(*m), sizeof(ev));
		if (ev.kind == ST_CAPTURE)
			return CTL_OK; // the count is reached, all is written
	}
	// The answer comes when the last packet is written.
	dpclient_del(dp, ST_CAPTURE, &cap->key, sizeof(cap->key));
	return CTL_OK;
}

static int print_json(const struct ctl *c, int fd, const char *what)
{
	struct pcapng_count count;
	int err = pcapng_count(fd, &count);
	cJSON *o;

	if (err)
		return ctl_error(
			CTL_FAILED, "cannot count the packets in %s: %s", c->write, strerror(-err));
	o = cJSON_CreateObject();
	cJSON_AddStringToObject(o, "captured", what);
	cJSON_AddStringToObject(o, "file", c->write);
	list_json_add(o, "packets", count.packets);
	list_json_add(o, "bytes", count.bytes);
	list_json_add(o, "original_bytes", count.original_bytes);
	list_json_print(o);
	return CTL_OK;
}

int capture_run(const struct ctl *c, int argc, char **argv)
{
	struct st_capture cap = {.key = {.id = 1}, .snaplen = c->snaplen, .max_count = c->count};
	struct dpclient dp;
	int fd = -1, status, err;

	if (c->json && (!c->write || !strcmp(c->write, "-")))
		return ctl_error(
			CTL_USAGE, "capture --json tells what went into a file: give -w FILE");
	status = gather_open(&dp, c);
	if (status)
		return status;
	status = resolve(c, &dp, argc, argv, &cap);
	if (!status)
		status = open_target(c, &fd);
	if (!status) {
		ctl_catch_signals();
		err = dpclient_set(&dp, ST_CAPTURE, &cap, sizeof(cap), fd);
		if (err) {
			status = ctl_error(
				CTL_FAILED, "strait-dp refused the capture: %s", strerror(-err));
		} else {
			fprintf(stderr, "straitctl: capturing %s, Ctrl-C ends\n", argv[argc - 1]);
			status = wait_end(c, &dp, &cap, fd);
		}
	}
	if (!status && c->json)
		status = print_json(c, fd, argv[argc - 1]);
	if (fd > STDERR_FILENO)
		close(fd);
	dpclient_close(&dp);
	return status;
}
