// SPDX-License-Identifier: BSD-3-Clause
//
// What every verb uses: complaints on stderr, and the signal that ends a verb in good order.
#include "ctl.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	stopped = 1;
}

bool ctl_stopped(void)
{
	return stopped;
}

void ctl_catch_signals(void)
{
	// Without SA_RESTART, so that a blocked read ends and the verb can say good-bye.
	struct sigaction sa = {.sa_handler = on_signal};

	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
}

int ctl_error(int status, const char *format, ...)
{
	va_list ap;

	fflush(stdout);
	fputs("straitctl: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
	return status;
}
