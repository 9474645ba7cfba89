// SPDX-License-Identifier: BSD-3-Clause
//
// What the admin socket answers. Main loop thread. Each verb fills the reply or returns an error text.
#include "conn/conn.h"
#include "conn/events.h"
#include "daemon.h"
#include "log.h"
#include "turn/server.h"

#include <cjson/cJSON.h>
#include <glib.h>

#include <unistd.h>

static char *run_status(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	cJSON_AddStringToObject(reply, "version", STRAIT_VERSION);
	cJSON_AddNumberToObject(reply, "pid", getpid());
	cJSON_AddStringToObject(reply, "log_level", log_level());
	daemon_status(arg, reply);
	daemon_wg_status(arg, reply);
	daemon_conn_status(arg, reply);
	return NULL;
}

static char *run_peers(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	daemon_wg_status(arg, reply);
	cJSON_DeleteItemFromObjectCaseSensitive(reply, "interfaces");
	return NULL;
}

static char *run_interfaces(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	daemon_wg_status(arg, reply);
	cJSON_DeleteItemFromObjectCaseSensitive(reply, "peers");
	return NULL;
}

static struct conn *conn_of(const struct cJSON *request, void *arg, char **ret_error)
{
	const cJSON *peer = cJSON_GetObjectItemCaseSensitive(request, "peer");

	if (cJSON_IsString(peer))
		return daemon_conn(arg, peer->valuestring, ret_error);
	*ret_error = g_strdup("\"peer\" is missing or not a string");
	return NULL;
}

static char *run_peer_candidates(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	char *error = NULL;
	struct conn *c = conn_of(request, arg, &error);

	if (c)
		conn_candidates(c, reply);
	return error;
}

static char *run_peer_reconnect(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	char *error = NULL;
	struct conn *c = conn_of(request, arg, &error);

	if (c)
		conn_reconnect(c);
	return error;
}

static char *run_events(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	const cJSON *since = cJSON_GetObjectItemCaseSensitive(request, "since");
	bool all = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "follow"));
	double n = cJSON_IsNumber(since) ? since->valuedouble : 0;

	daemon_events(
		arg, n > 0 && n < 9e15 ? (uint64_t)n : 0, all ? EVENTS_MAX : EVENTS_REPLY, reply);
	return NULL;
}

static char *run_ports(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	daemon_ports_status(arg, reply);
	return NULL;
}

static char *run_reload(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	char *error = NULL;

	if (!daemon_reload(arg, reply, &error))
		return NULL;
	return error ? error : g_strdup("reload failed");
}

static char *run_overlay_show(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	daemon_overlay_status(arg, reply);
	return NULL;
}

static char *run_overlay_drop(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	char *error = NULL;

	if (!daemon_overlay_drop(arg, &error))
		return NULL;
	return error ? error : g_strdup("the configuration file could not be applied");
}

static char *run_log_level(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	const cJSON *level = cJSON_GetObjectItemCaseSensitive(request, "level");

	if (level && (!cJSON_IsString(level) || !log_set_level(level->valuestring)))
		return g_strdup("\"level\" is one of error, warning, notice, info, debug");
	cJSON_AddStringToObject(reply, "level", log_level());
	return NULL;
}

// ---- the TURN server -------------------------------------------------------------------------------

// While straitd starts the relay has neither its configuration nor the sessions that lcores hold.
static struct turn *turn_of(void *arg, char **ret_error)
{
	*ret_error = daemon_starting(arg);
	return *ret_error ? NULL : daemon_turn(arg);
}

static char *run_turn_stats(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	char *error;
	struct turn *t = turn_of(arg, &error);

	if (t)
		turn_status(t, reply);
	return error;
}

static char *run_turn_sessions(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	char *error;
	struct turn *t = turn_of(arg, &error);

	if (t)
		turn_sessions(t, reply);
	return error;
}

static bool read_id(const struct cJSON *request, uint32_t *ret)
{
	const cJSON *id = cJSON_GetObjectItemCaseSensitive(request, "id");

	if (!cJSON_IsNumber(id) || id->valuedouble < 1 || id->valuedouble > UINT32_MAX)
		return false;
	*ret = (uint32_t)id->valuedouble;
	return true;
}

static char *run_turn_session(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	struct turn *t;
	char *error;
	uint32_t id;

	if (!read_id(request, &id))
		return g_strdup("\"id\" is the number of a session");
	t = turn_of(arg, &error);
	return t ? turn_session(t, id, reply) : error;
}

static char *run_turn_kick(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	struct turn *t;
	char *error;
	uint32_t id;

	if (!read_id(request, &id))
		return g_strdup("\"id\" is the number of a session");
	t = turn_of(arg, &error);
	return t ? turn_kick(t, id) : error;
}

static char *run_turn_drain(const struct cJSON *request, struct cJSON *reply, void *arg)
{
	const cJSON *on = cJSON_GetObjectItemCaseSensitive(request, "on");
	bool wanted = cJSON_IsTrue(on);
	struct turn *t;
	char *error;

	if (on && !cJSON_IsBool(on))
		return g_strdup("\"on\" is true or false");
	t = turn_of(arg, &error);
	return t ? turn_drain(t, on ? &wanted : NULL, reply) : error;
}

const struct admin_verb daemon_verbs[] = {
	{"status", run_status, false},
	{"peers", run_peers, false},
	{"interfaces", run_interfaces, false},
	{"ports", run_ports, false},
	{"peer-candidates", run_peer_candidates, false},
	{"peer-reconnect", run_peer_reconnect, false},
	{"events", run_events, true},
	{"reload", run_reload, false},
	{"overlay-show", run_overlay_show, false},
	{"overlay-drop", run_overlay_drop, false},
	{"log-level", run_log_level, false},
	{"turn-stats", run_turn_stats, false},
	{"turn-sessions", run_turn_sessions, false},
	{"turn-session", run_turn_session, false},
	{"turn-kick", run_turn_kick, false},
	{"turn-drain", run_turn_drain, false},
	{NULL, NULL, false},
};
