// SPDX-License-Identifier: BSD-3-Clause
//
// gRPC's log; see grpc_log.h. Called from gRPC's threads, and GLib's log may be.
#include "grpc_log.h"

#include <glib.h>

#include <grpc/support/log.h>

// What it calls an error is mostly a connection that did not come about, which we tell ourselves.
static void on_log(gpr_log_func_args *args)
{
	GLogLevelFlags level =
		args->severity == GPR_LOG_SEVERITY_ERROR ? G_LOG_LEVEL_INFO : G_LOG_LEVEL_DEBUG;

	g_log(G_LOG_DOMAIN, level, "grpc: %s file=%s:%d", args->message, args->file, args->line);
}

void grpc_log_begin(void)
{
	gpr_set_log_function(on_log);
}
