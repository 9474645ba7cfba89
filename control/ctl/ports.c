// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl ports: what the data plane has open, and which configured ports it has not.
#include "adminclient.h"
#include "ctl.h"
#include "gather.h"
#include "human.h"
#include "list.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void format_queues(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	snprintf(out, size, "%.0f/%.0f", cJSON_GetNumberValue(value),
		cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(row, "tx_queues")));
}

static void format_link(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	const char *state = list_json_text(row, "state");

	if (cJSON_IsBool(value))
		snprintf(out, size, "%s", cJSON_IsTrue(value) ? "up" : "down");
	else
		snprintf(out, size, "%s", *state ? state : "-");
}

static void format_missed(char *out, size_t size, const cJSON *value, const cJSON *row)
{
	uint64_t n = list_json_u64(value) +
		     list_json_u64(cJSON_GetObjectItemCaseSensitive(row, "rx_errors")) +
		     list_json_u64(cJSON_GetObjectItemCaseSensitive(row, "tx_errors"));

	snprintf(out, size, "%llu", (unsigned long long)n);
}

static const struct list_column columns[] = {
	{"NAME", "name", false, NULL},
	{"KIND", "kind", false, NULL},
	{"DRIVER", "driver", false, NULL},
	{"LINK", "link_up", false, format_link},
	{"MAC", "mac", false, NULL},
	{"MTU", "mtu", true, NULL},
	{"RXQ/TXQ", "rx_queues", true, format_queues},
	{"RX PACKETS", "rx_packets", true, NULL},
	{"RX", "rx_bytes", true, human_format_bytes},
	{"TX PACKETS", "tx_packets", true, NULL},
	{"TX", "tx_bytes", true, human_format_bytes},
	{"FROM HOST", "host_rx_packets", true, NULL},
	{"TO HOST", "host_tx_packets", true, NULL},
	{"LOST", "rx_missed", true, format_missed},
	{NULL, NULL, false, NULL},
};

static cJSON *find(const cJSON *array, const char *name)
{
	cJSON *v;

	cJSON_ArrayForEach (v, array)
		if (!strcmp(list_json_text(v, "name"), name))
			return v;
	return NULL;
}

// The configured ports add their state; one that the data plane does not have becomes a row.
static void join(cJSON *array, cJSON *configured)
{
	cJSON *p, *next;

	for (p = configured ? configured->child : NULL; p; p = next) {
		cJSON *row = find(array, list_json_text(p, "name"));

		next = p->next;
		if (!row) {
			cJSON_AddStringToObject(p, "kind", "port");
			cJSON_AddItemToArray(array, cJSON_DetachItemViaPointer(configured, p));
			continue;
		}
		for (const char *const *k = (const char *const[]){"devargs", "host_device", "guard",
			     "state", "error", NULL};
			*k; k++) {
			cJSON *v = cJSON_DetachItemFromObjectCaseSensitive(p, *k);

			if (v)
				cJSON_AddItemToObject(row, *k, v);
		}
	}
}

static void explain_failures(const cJSON *array)
{
	const cJSON *v;

	cJSON_ArrayForEach (v, array) {
		const char *error = list_json_text(v, "error");

		if (*error)
			ctl_error(0, "port %s (%s) is not open: %s", list_json_text(v, "name"),
				list_json_text(v, "devargs"), error);
	}
}

int ports_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *array = cJSON_CreateArray(), *straitd = NULL;
	char *error = NULL;
	struct dpclient dp;
	int status = gather_open(&dp, c), a;

	if (!status) {
		status = gather_status(gather_ifaces(&dp, array), c);
		dpclient_close(&dp);
	}
	a = adminclient_ask(c->run_dir, adminclient_request("ports"), &straitd, &error);
	if (a)
		ctl_error(0, "%s", error ? error : adminclient_explain(a, c->run_dir));
	free(error);
	if (!a)
		status = status ? CTL_PARTLY : CTL_OK;
	else
		status = status ? CTL_AWAY : CTL_PARTLY;
	join(array, cJSON_GetObjectItemCaseSensitive(straitd, "ports"));
	if (status != CTL_AWAY && c->json) {
		struct list *l = list_new("ports", columns, true);

		while (array->child)
			list_add(l, cJSON_DetachItemViaPointer(array, array->child));
		list_end(l);
	} else if (status != CTL_AWAY) {
		list_print(columns, array);
		explain_failures(array);
	}
	cJSON_Delete(straitd);
	cJSON_Delete(array);
	return status;
}
