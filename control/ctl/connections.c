// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl peer NAME ..., straitctl events, and what straitctl peers shows of ICE. Everything comes from
// straitd; the data plane knows tuples alone.
#include "connections.h"

#include "adminclient.h"
#include "ctl.h"
#include "list.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double number(const cJSON *o, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, key);

	return cJSON_IsNumber(v) ? v->valuedouble : 0;
}

static bool truth(const cJSON *o, const char *key)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, key));
}

void connections_format(char *out, size_t size, const cJSON *ice, const cJSON *row)
{
	const cJSON *path = cJSON_GetObjectItemCaseSensitive(ice, "path");

	if (!cJSON_IsObject(ice))
		snprintf(out, size, "-");
	else if (!path)
		snprintf(out, size, "%s", list_json_text(ice, "state"));
	else
		snprintf(out, size, "%s %s>%s%s", truth(path, "relayed") ? "relayed" : "direct",
			list_json_text(path, "local_type"), list_json_text(path, "remote_type"),
			truth(path, "alive") ? "" : " (lost)");
}

static void print_path(const char *label, const cJSON *path)
{
	const char *server = list_json_text(path, "relay_server");
	char heard[48] = "never heard";

	if (!path)
		return;
	if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(path, "stun_age_ms")))
		snprintf(heard, sizeof(heard), "STUN heard %.1f s ago",
			number(path, "stun_age_ms") / 1000);
	printf("  %-18s %s%s, %s %s > %s %s\n", label, truth(path, "relayed") ? "relayed" : "direct",
		truth(path, "alive") ? "" : " (lost)", list_json_text(path, "local_type"),
		list_json_text(path, "local"), list_json_text(path, "remote_type"),
		list_json_text(path, "remote"));
	if (*server)
		printf("  %-18s %s\n", "  through", server);
	printf("  %-18s %.1f ms, %s, since %.0f s\n", "  round trip", number(path, "rtt_us") / 1000,
		heard, number(path, "age_s"));
}

void connections_print(const cJSON *ice)
{
	const cJSON *bytes = cJSON_GetObjectItemCaseSensitive(ice, "bytes");
	const cJSON *times = cJSON_GetObjectItemCaseSensitive(ice, "seconds_in"), *t;
	const char *failure = list_json_text(ice, "last_failure");

	if (!cJSON_IsObject(ice))
		return;
	printf("\nICE\n");
	printf("  %-18s %s (%s), %s\n", "state", list_json_text(ice, "state"),
		list_json_text(ice, "phase"), list_json_text(ice, "role"));
	print_path("path", cJSON_GetObjectItemCaseSensitive(ice, "path"));
	print_path("stands by", cJSON_GetObjectItemCaseSensitive(ice, "standby"));
	printf("  %-18s %.0f, %.0f attempts\n", "path changes", number(ice, "path_changes"),
		number(ice, "attempts"));
	printf("  %-18s direct %.0f in, %.0f out; relayed %.0f in, %.0f out\n", "bytes",
		number(bytes, "rx_direct"), number(bytes, "tx_direct"), number(bytes, "rx_relayed"),
		number(bytes, "tx_relayed"));
	printf("  %-18s offer %.0f ms, checks %.0f ms\n", "last attempt",
		number(ice, "last_offer_ms"), number(ice, "last_check_ms"));
	printf("  %-18s", "seconds in");
	cJSON_ArrayForEach (t, times)
		printf(" %s %.1f", t->string, t->valuedouble);
	putchar('\n');
	if (*failure)
		printf("  %-18s %s\n", "last failure", failure);
}

// NULL with *ret_status: said already.
static cJSON *ask(const struct ctl *c, cJSON *request, int *ret_status)
{
	cJSON *reply = NULL;
	char *error = NULL;
	int e = adminclient_ask(c->run_dir, request, &reply, &error);

	if (!e)
		return reply;
	*ret_status = ctl_error(e > 0 ? CTL_FAILED : CTL_AWAY, "%s",
		error ? error : adminclient_explain(e, c->run_dir));
	free(error);
	return NULL;
}

static void print_line(const cJSON *o)
{
	char *text = cJSON_PrintUnformatted(o);

	puts(text);
	cJSON_free(text);
}

static void print_candidates(const cJSON *reply, const char *side)
{
	const cJSON *v;

	printf("%s\n", side);
	cJSON_ArrayForEach (v, cJSON_GetObjectItemCaseSensitive(reply, side))
		printf("  %s\n", cJSON_IsString(v) ? v->valuestring : "?");
}

int peer_run(const struct ctl *c, int argc, char **argv)
{
	bool candidates = !strcmp(argv[1], "candidates");
	int status = CTL_OK;
	cJSON *request, *reply;

	if (!candidates && strcmp(argv[1], "reconnect"))
		return ctl_error(CTL_USAGE, "peer NAME candidates, or peer NAME reconnect");
	request = adminclient_request(candidates ? "peer-candidates" : "peer-reconnect");
	cJSON_AddStringToObject(request, "peer", argv[0]);
	reply = ask(c, request, &status);
	if (!reply)
		return status;
	if (c->json) {
		print_line(reply);
	} else if (candidates) {
		print_candidates(reply, "local");
		print_candidates(reply, "remote");
	}
	cJSON_Delete(reply);
	return CTL_OK;
}

// The reply has what happened so far; each line behind it is one event.
static void print_events(const cJSON *line, void *arg)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(line, "events"), *e;

	if (!cJSON_IsArray(list)) {
		print_line(line);
		return;
	}
	if (number(line, "missed") > 0)
		printf("{\"event\":\"missed\",\"count\":%.0f}\n", number(line, "missed"));
	cJSON_ArrayForEach (e, list)
		print_line(e);
}

// Lines as they come, until Ctrl-C or straitd ends.
int events_run(const struct ctl *c, int argc, char **argv)
{
	int e;

	ctl_catch_signals();
	setvbuf(stdout, NULL, _IOLBF, 0);
	e = adminclient_follow(c->run_dir, adminclient_request("events"), print_events, NULL);
	return e ? ctl_error(CTL_AWAY, "%s", adminclient_explain(e, c->run_dir)) : CTL_OK;
}
