// SPDX-License-Identifier: BSD-3-Clause
//
// sd_notify's protocol is one datagram; no library is needed for it. main only.
#include "notify.h"

#include "log.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void notify_send(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t len = path == NULL ? 0 : strlen(path);
	int fd;

	if (len == 0 || len >= sizeof(sa.sun_path))
		return;
	memcpy(sa.sun_path, path, len);
	if (sa.sun_path[0] == '@')
		sa.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return;
	if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&sa,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		log_warning("main: systemd was not told error=%s", strerror(errno));
	close(fd);
}

void notify_alive(uint64_t now_ms)
{
	static uint64_t every_ms = UINT64_MAX, next_ms;

	if (every_ms == UINT64_MAX) {
		const char *us = getenv("WATCHDOG_USEC");

		every_ms = us == NULL ? 0 : strtoull(us, NULL, 10) / 2000;
	}
	if (every_ms == 0 || now_ms < next_ms)
		return;
	next_ms = now_ms + every_ms;
	notify_send("WATCHDOG=1");
}
