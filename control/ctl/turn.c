// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl turn ...: sessions of the relay. straitd knows who and until when, strait-dp what was relayed; either
// alone gives what it has.
#include "adminclient.h"
#include "ctl.h"
#include "dpclient.h"
#include "human.h"
#include "list.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void format_relayed(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	const cJSON *r;
	size_t n = 0;

	snprintf(out, size, "-");
	cJSON_ArrayForEach (r, value) {
		int k = snprintf(
			out + n, size - n, "%s%s", n ? " " : "", list_json_text(r, "external"));

		if (k < 0 || (size_t)k >= size - n)
			return;
		n += (size_t)k;
	}
}

static void format_seconds(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	char text[HUMAN_MAX];

	snprintf(out, size, "%s", human_span(text, list_json_u64(value)));
}

// The last address to end is the end of the session.
static void format_expires(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	char text[HUMAN_MAX];
	uint64_t most = 0;
	const cJSON *r;

	cJSON_ArrayForEach (r, value) {
		uint64_t s = list_json_u64(cJSON_GetObjectItemCaseSensitive(r, "expires_s"));

		most = s > most ? s : most;
	}
	snprintf(out, size, "%s", human_span(text, most));
}

static const struct list_column columns[] = {
	{"ID", "id", true, NULL},
	{"USER", "user", false, NULL},
	{"BY", "transport", false, NULL},
	{"CLIENT", "client", false, NULL},
	{"RELAYED", "relayed", false, format_relayed},
	{"AGE", "age_s", false, format_seconds},
	{"EXPIRES IN", "relayed", false, format_expires},
	{"PERMISSIONS", "permissions", true, NULL},
	{"CHANNELS", "channels", true, NULL},
	{"TO PEERS", "bytes_to_peer", true, human_format_bytes},
	{"TO CLIENT", "bytes_to_client", true, human_format_bytes},
	{NULL, NULL, false, NULL},
};

static int ask(const struct ctl *c, cJSON *request, cJSON **ret)
{
	char *error = NULL;
	int e = adminclient_ask(c->run_dir, request, ret, &error);

	if (!e)
		return CTL_OK;
	ctl_error(0, "%s", error ? error : adminclient_explain(e, c->run_dir));
	free(error);
	return e > 0 ? CTL_FAILED : CTL_AWAY;
}

static int print_json(const cJSON *doc)
{
	char *text = cJSON_PrintUnformatted(doc);

	if (!text)
		abort();
	puts(text);
	cJSON_free(text);
	return CTL_OK;
}

// ---- counters --------------------------------------------------------------------------------------

static void add_to(cJSON *row, const char *key, uint64_t more)
{
	uint64_t had = list_json_u64(cJSON_GetObjectItemCaseSensitive(row, key));

	cJSON_DeleteItemFromObjectCaseSensitive(row, key);
	list_json_add(row, key, had + more);
}

// STAT_RELAY of one relayed address: its session may have two.
static void on_relay(const void *body, void *arg)
{
	const struct st_stat_relay *s = body;
	cJSON *row;

	cJSON_ArrayForEach (row, (cJSON *)arg) {
		if (list_json_u64(cJSON_GetObjectItemCaseSensitive(row, "id")) != s->alloc_id)
			continue;
		add_to(row, "packets_to_peer", s->packets[ST_TURN_TO_PEER]);
		add_to(row, "packets_to_client", s->packets[ST_TURN_TO_CLIENT]);
		add_to(row, "bytes_to_peer", s->bytes[ST_TURN_TO_PEER]);
		add_to(row, "bytes_to_client", s->bytes[ST_TURN_TO_CLIENT]);
		add_to(row, "dropped_to_peer", s->dropped[ST_TURN_TO_PEER]);
		add_to(row, "dropped_to_client", s->dropped[ST_TURN_TO_CLIENT]);
		return;
	}
}

static void begin_counters(cJSON *rows)
{
	static const char *const pairs[][2] = {{"kernel_packets_to_peer", "packets_to_peer"},
		{"kernel_packets_to_client", "packets_to_client"},
		{"kernel_bytes_to_peer", "bytes_to_peer"},
		{"kernel_bytes_to_client", "bytes_to_client"}};
	cJSON *row;

	cJSON_ArrayForEach (row, rows) {
		for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
			uint64_t v =
				list_json_u64(cJSON_GetObjectItemCaseSensitive(row, pairs[i][0]));

			cJSON_DeleteItemFromObjectCaseSensitive(row, pairs[i][0]);
			list_json_add(row, pairs[i][1], v);
		}
		list_json_add(row, "dropped_to_peer", 0);
		list_json_add(row, "dropped_to_client", 0);
	}
}

static int join_counters(const struct ctl *c, cJSON *rows)
{
	struct dpclient dp;
	int e = dpclient_open(&dp, c->run_dir);

	begin_counters(rows);
	if (!e) {
		e = dpclient_dump(&dp, ST_STAT_RELAY, sizeof(struct st_stat_relay), on_relay, rows);
		dpclient_close(&dp);
	}
	if (!e)
		return CTL_OK;
	ctl_error(0, "%s", dpclient_explain(e, c->run_dir));
	ctl_error(0, "what the lcores relayed is missing");
	return CTL_PARTLY;
}

// ---- verbs -----------------------------------------------------------------------------------------

int turn_sessions_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *reply = NULL, *rows;
	int status = ask(c, adminclient_request("turn-sessions"), &reply);

	if (status)
		return status;
	rows = cJSON_GetObjectItemCaseSensitive(reply, "sessions");
	status = join_counters(c, rows);
	if (c->json)
		print_json(reply);
	else
		list_print(columns, rows);
	cJSON_Delete(reply);
	return status;
}

static bool read_id(const char *text, double *ret)
{
	char *end;

	*ret = (double)strtoul(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && *ret >= 1 && *ret <= UINT32_MAX;
}

static int ask_about(const struct ctl *c, const char *verb, const char *text, cJSON **ret)
{
	cJSON *request;
	double id;

	if (!read_id(text, &id))
		return ctl_error(CTL_USAGE,
			"%s is no number of a session; see straitctl turn sessions", text);
	request = adminclient_request(verb);
	cJSON_AddNumberToObject(request, "id", id);
	return ask(c, request, ret);
}

static void print_lives(const cJSON *list, const char *head)
{
	const cJSON *e;

	if (!cJSON_GetArraySize(list))
		return;
	printf("%s\n", head);
	cJSON_ArrayForEach (e, list) {
		const cJSON *number = cJSON_GetObjectItemCaseSensitive(e, "number");
		char text[HUMAN_MAX];

		if (number)
			printf("  0x%04x  ", (unsigned int)number->valuedouble);
		else
			printf("  ");
		printf("%s, %s left\n", list_json_text(e, "peer"),
			human_span(text,
				list_json_u64(cJSON_GetObjectItemCaseSensitive(e, "expires_s"))));
	}
}

int turn_session_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *reply = NULL, *rows, *row;
	int status = ask_about(c, "turn-session", argv[0], &reply);

	if (status)
		return status;
	rows = cJSON_CreateArray();
	cJSON_AddItemToArray(rows, cJSON_DetachItemFromObjectCaseSensitive(reply, "session"));
	status = join_counters(c, rows);
	row = cJSON_GetArrayItem(rows, 0);
	if (c->json) {
		print_json(row);
	} else {
		list_print(columns, rows);
		print_lives(
			cJSON_GetObjectItemCaseSensitive(row, "permission_list"), "permissions");
		print_lives(cJSON_GetObjectItemCaseSensitive(row, "channel_list"), "channels");
	}
	cJSON_Delete(rows);
	cJSON_Delete(reply);
	return status;
}

int turn_kick_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *reply = NULL;
	int status = ask_about(c, "turn-kick", argv[0], &reply);

	if (!status && c->json)
		print_json(reply);
	else if (!status)
		printf("session %s ended\n", argv[0]);
	cJSON_Delete(reply);
	return status;
}

// True when nobody is left to wait for.
static bool print_drain(const struct ctl *c, const cJSON *reply)
{
	bool draining = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(reply, "draining"));
	uint64_t n = list_json_u64(cJSON_GetObjectItemCaseSensitive(reply, "sessions"));

	if (c->json)
		print_json(reply);
	else if (!draining)
		printf("new sessions are taken\n");
	else if (n)
		printf("draining, %llu sessions left\n", (unsigned long long)n);
	else
		printf("drained: no sessions\n");
	return !draining || !n;
}

// Watched, it begins or ends the draining once and then looks: somebody else may decide otherwise meanwhile.
int turn_drain_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *request = adminclient_request("turn-drain"), *reply = NULL;
	bool ended;
	int status;

	if (argc && strcmp(argv[0], "off") && strcmp(argv[0], "on")) {
		cJSON_Delete(request);
		return ctl_error(CTL_USAGE, "drain takes \"on\" (the default) or \"off\"");
	}
	if (!c->rounds)
		cJSON_AddBoolToObject(request, "on", !argc || strcmp(argv[0], "off"));
	status = ask(c, request, &reply);
	if (status)
		return status;
	ended = print_drain(c, reply);
	cJSON_Delete(reply);
	return c->watch && ended ? CTL_DONE : CTL_OK;
}

// ---- stats -----------------------------------------------------------------------------------------

static void on_turn(const void *body, void *arg)
{
	const struct st_stat_turn *s = body;
	cJSON *o = arg;

	list_json_add(o, "packets_to_peers", s->packets[ST_TURN_TO_PEER]);
	list_json_add(o, "packets_to_clients", s->packets[ST_TURN_TO_CLIENT]);
	list_json_add(o, "bytes_to_peers", s->bytes[ST_TURN_TO_PEER]);
	list_json_add(o, "bytes_to_clients", s->bytes[ST_TURN_TO_CLIENT]);
	list_json_add(o, "send_indications", s->send_indications);
	list_json_add(o, "data_indications", s->data_indications);
	list_json_add(o, "hairpin", s->hairpin);
	list_json_add(o, "binding_requests", s->binding_requests);
	list_json_add(o, "binding_limited", s->binding_limited);
	list_json_add(o, "relays", s->relays);
	list_json_add(o, "permissions", s->permissions);
	list_json_add(o, "channels", s->channels);
}

static void print_tree(const cJSON *o, int depth)
{
	const cJSON *v;

	cJSON_ArrayForEach (v, o) {
		if (cJSON_IsObject(v) || cJSON_IsArray(v)) {
			printf("%*s%s\n", 2 * depth, "", v->string ? v->string : "-");
			print_tree(v, depth + 1);
		} else if (cJSON_IsString(v)) {
			printf("%*s%-26s %s\n", 2 * depth, "", v->string, v->valuestring);
		} else if (cJSON_IsBool(v)) {
			printf("%*s%-26s %s\n", 2 * depth, "", v->string,
				cJSON_IsTrue(v) ? "yes" : "no");
		} else {
			printf("%*s%-26s %llu\n", 2 * depth, "", v->string,
				(unsigned long long)list_json_u64(v));
		}
	}
}

int turn_stats_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *reply = NULL, *turn;
	struct dpclient dp;
	int status = ask(c, adminclient_request("turn-stats"), &reply), e;

	if (status)
		return status;
	turn = cJSON_GetObjectItemCaseSensitive(reply, "turn");
	e = dpclient_open(&dp, c->run_dir);
	if (!e) {
		e = dpclient_dump(&dp, ST_STAT_TURN, sizeof(struct st_stat_turn), on_turn,
			cJSON_AddObjectToObject(turn, "lcores"));
		dpclient_close(&dp);
	}
	if (e)
		ctl_error(0, "%s", dpclient_explain(e, c->run_dir));
	if (c->json)
		print_json(turn);
	else
		print_tree(turn, 0);
	cJSON_Delete(reply);
	return e ? CTL_PARTLY : CTL_OK;
}
