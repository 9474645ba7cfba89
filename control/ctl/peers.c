// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl peers: all in a table, or everything about one. The data plane has counters and sessions,
// straitd has states and names; either alone gives what it has.
#include "adminclient.h"
#include "connections.h"
#include "ctl.h"
#include "gather.h"
#include "human.h"
#include "list.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void format_list(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	const cJSON *v;
	size_t n = 0;

	snprintf(out, size, "-");
	cJSON_ArrayForEach (v, value) {
		int k = snprintf(out + n, size - n, "%s%s", n ? ", " : "",
			cJSON_IsString(v) ? v->valuestring : "?");

		if (k < 0 || (size_t)k >= size - n) {
			snprintf(out + size - 4, 4, "...");
			return;
		}
		n += (size_t)k;
	}
}

static void format_state(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	const char *session = list_json_text(row, "session");

	// Without straitd the data plane still knows whether there is a session.
	if (cJSON_IsString(value))
		snprintf(out, size, "%s", value->valuestring);
	else
		snprintf(out, size, "%s", !strcmp(session, "current") ? "up" : "no session");
}

static const struct list_column columns[] = {
	{"PEER", "name", false, NULL},
	{"INTERFACE", "interface", false, NULL},
	{"STATE", "state", false, format_state},
	{"ENDPOINT", "endpoint", false, NULL},
	{"PATH", "ice", false, connections_format},
	{"HANDSHAKE", "handshake_age_ms", false, human_format_age_ms},
	{"RX", "rx_bytes", true, human_format_bytes},
	{"TX", "tx_bytes", true, human_format_bytes},
	{"HEARD", "any_received_age_ms", false, human_format_age_ms},
	{"ALLOWED IPS", "allowed_ips", false, format_list},
	{NULL, NULL, false, NULL},
};

static const struct list_column keypair_columns[] = {
	{"KEYPAIR", "slot", false, NULL},
	{"ROLE", "role", false, NULL},
	{"AGE", "age_ms", false, human_format_age_ms},
	{"INDEX", "index", true, NULL},
	{"THEIR INDEX", "remote_index", true, NULL},
	{"SENT", "sent", true, NULL},
	{"RECEIVED", "received", true, NULL},
	{NULL, NULL, false, NULL},
};

static void print_member(const cJSON *peer, const char *label, const char *key,
	void (*format)(char *, size_t, const cJSON *, const cJSON *))
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(peer, key);
	char text[512];

	if (!v || (cJSON_IsString(v) && !*v->valuestring))
		return;
	if (format)
		format(text, sizeof(text), v, peer);
	else if (cJSON_IsString(v) || cJSON_IsRaw(v))
		snprintf(text, sizeof(text), "%s", v->valuestring);
	else
		snprintf(text, sizeof(text), "%.15g", cJSON_GetNumberValue(v));
	printf("  %-18s %s\n", label, text);
}

static void print_one(const cJSON *peer)
{
	static const struct {
		const char *label, *key;
		void (*format)(char *, size_t, const cJSON *, const cJSON *);
	} members[] = {
		{"public key", "public_key", NULL},
		{"interface", "interface", NULL},
		{"state", "state", NULL},
		{"comes from", "source", NULL},
		{"last error", "last_error", NULL},
		{"endpoint", "endpoint", NULL},
		{"configured as", "endpoint_host", NULL},
		{"sent from", "local", NULL},
		{"leaves by", "port", NULL},
		{"path MTU", "path_mtu", NULL},
		{"allowed IPs", "allowed_ips", format_list},
		{"keepalive seconds", "keepalive", NULL},
		{"latest handshake", "handshake_age_ms", human_format_age_ms},
		{"handshakes", "handshakes", NULL},
		{"received", "rx_bytes", human_format_bytes},
		{"received packets", "rx_packets", NULL},
		{"last heard", "any_received_age_ms", human_format_age_ms},
		{"sent", "tx_bytes", human_format_bytes},
		{"sent packets", "tx_packets", NULL},
		{"last sent to", "any_sent_age_ms", human_format_age_ms},
		{"waiting packets", "staged", NULL},
		{"owner lcore", "owner_lcore", NULL},
	};
	const cJSON *keypairs = cJSON_GetObjectItemCaseSensitive(peer, "keypairs");

	printf("peer %s\n", list_json_text(peer, "name"));
	for (size_t i = 0; i < sizeof(members) / sizeof(*members); i++)
		print_member(peer, members[i].label, members[i].key, members[i].format);
	connections_print(cJSON_GetObjectItemCaseSensitive(peer, "ice"));
	if (cJSON_GetArraySize(keypairs) > 0) {
		putchar('\n');
		list_print(keypair_columns, keypairs);
	}
}

// Peers of both daemons in array. What is missing is said on stderr, where it does not harm a pipe.
static int gather(const struct ctl *c, cJSON *array)
{
	struct dpclient dp;
	cJSON *straitd = NULL;
	char *error = NULL;
	int a = adminclient_ask(c->run_dir, adminclient_request("peers"), &straitd, &error);
	int d = dpclient_open(&dp, c->run_dir);

	if (!d) {
		d = gather_peers(&dp, array);
		dpclient_close(&dp);
	}
	if (a)
		ctl_error(0, "%s", error ? error : adminclient_explain(a, c->run_dir));
	if (d)
		ctl_error(0, "%s", dpclient_explain(d, c->run_dir));
	if (a && !d)
		ctl_error(0, "this is what strait-dp knows");
	if (d && !a)
		ctl_error(0, "this is what straitd knows");
	gather_join_peers(array, cJSON_GetObjectItemCaseSensitive(straitd, "peers"));
	cJSON_Delete(straitd);
	free(error);
	return a && d ? CTL_AWAY : a || d ? CTL_PARTLY : CTL_OK;
}

static void keep_only(cJSON *array, const char *name)
{
	cJSON *next;

	for (cJSON *p = array->child; p; p = next) {
		next = p->next;
		if (strcmp(list_json_text(p, "name"), name) &&
			strcmp(list_json_text(p, "public_key"), name))
			cJSON_Delete(cJSON_DetachItemViaPointer(array, p));
	}
}

int peers_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *array = cJSON_CreateArray(), *p;
	int status = gather(c, array);

	if (argc)
		keep_only(array, argv[0]);
	if (status == CTL_AWAY || (argc && !array->child)) {
		cJSON_Delete(array);
		return status == CTL_AWAY
			       ? status
			       : ctl_error(CTL_FAILED, "no peer %s; straitctl peers lists them",
					 argv[0]);
	}
	if (c->json) {
		struct list *l = list_new("peers", columns, true);

		while (array->child)
			list_add(l, cJSON_DetachItemViaPointer(array, array->child));
		list_end(l);
	} else if (argc) {
		cJSON_ArrayForEach (p, array)
			print_one(p);
	} else {
		list_print(columns, array);
	}
	cJSON_Delete(array);
	return status;
}
