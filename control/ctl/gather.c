// SPDX-License-Identifier: BSD-3-Clause
//
// The contract's dumps as JSON. Ages that mean "never" are null. Nothing is printed from here but the
// reason why the data plane cannot be asked.
#include "gather.h"

#include "../addr.h"
#include "list.h"

#include <cjson/cJSON.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

int gather_status(int err, const struct ctl *c)
{
	if (!err)
		return CTL_OK;
	return ctl_error(err == -EACCES || err == -EPERM ? CTL_FAILED : CTL_AWAY, "%s",
		dpclient_explain(err, c->run_dir));
}

int gather_open(struct dpclient *dp, const struct ctl *c)
{
	return gather_status(dpclient_open(dp, c->run_dir), c);
}

// ---- names -----------------------------------------------------------------------------------------

static void take_name(struct gather_names *n, uint32_t if_id, const char name[ST_NAME_MAX])
{
	if (if_id >= ST_MAX_IFACES)
		return;
	memcpy(n->names[if_id], name, ST_NAME_MAX);
	n->names[if_id][ST_NAME_MAX - 1] = 0;
}

static void on_port(const void *body, void *arg)
{
	const struct st_port *p = body;

	take_name(arg, p->key.if_id, p->name);
}

static void on_wgif(const void *body, void *arg)
{
	const struct st_wgif *w = body;

	take_name(arg, w->key.if_id, w->name);
}

int gather_names(struct dpclient *dp, struct gather_names *ret)
{
	int err;

	memset(ret, 0, sizeof(*ret));
	err = dpclient_dump(dp, ST_PORT, sizeof(struct st_port), on_port, ret);
	return err ? err : dpclient_dump(dp, ST_WGIF, sizeof(struct st_wgif), on_wgif, ret);
}

const char *gather_name(const struct gather_names *n, uint32_t if_id)
{
	if (!if_id)
		return "-";
	return if_id < ST_MAX_IFACES && *n->names[if_id] ? n->names[if_id] : "?";
}

// ---- interfaces, lcores, pools, drops --------------------------------------------------------------

static void add_text(cJSON *o, const char *key, const char *text, size_t size)
{
	char copy[128];
	size_t n = strnlen(text, size);

	n = n < sizeof(copy) ? n : sizeof(copy) - 1;
	memcpy(copy, text, n);
	copy[n] = 0;
	cJSON_AddStringToObject(o, key, copy);
}

static void on_iface(const void *body, void *arg)
{
	const struct st_stat_iface *s = body;
	cJSON *o = cJSON_CreateObject();
	char mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", s->mac[0], s->mac[1], s->mac[2],
		s->mac[3], s->mac[4], s->mac[5]);
	add_text(o, "name", s->name, sizeof(s->name));
	cJSON_AddStringToObject(o, "kind", s->is_wg ? "wireguard" : "port");
	cJSON_AddNumberToObject(o, "if_id", s->if_id);
	add_text(o, "driver", s->driver, sizeof(s->driver));
	cJSON_AddStringToObject(o, "mac", s->is_wg ? "" : mac);
	cJSON_AddNumberToObject(o, "mtu", s->mtu);
	cJSON_AddBoolToObject(o, "link_up", s->link_up != 0);
	cJSON_AddNumberToObject(o, "speed_mbps", s->speed_mbps);
	cJSON_AddNumberToObject(o, "rx_queues", s->rx_queues);
	cJSON_AddNumberToObject(o, "tx_queues", s->tx_queues);
	list_json_add(o, "rx_packets", s->rx_packets);
	list_json_add(o, "rx_bytes", s->rx_bytes);
	list_json_add(o, "tx_packets", s->tx_packets);
	list_json_add(o, "tx_bytes", s->tx_bytes);
	list_json_add(o, "rx_missed", s->rx_missed);
	list_json_add(o, "rx_errors", s->rx_errors);
	list_json_add(o, "tx_errors", s->tx_errors);
	list_json_add(o, "host_rx_packets", s->host_rx_packets);
	list_json_add(o, "host_tx_packets", s->host_tx_packets);
	cJSON_AddItemToArray(arg, o);
}

int gather_ifaces(struct dpclient *dp, struct cJSON *array)
{
	return dpclient_dump(dp, ST_STAT_IFACE, sizeof(struct st_stat_iface), on_iface, array);
}

static void on_lcore(const void *body, void *arg)
{
	const struct st_stat_lcore *s = body;
	cJSON *o = cJSON_CreateObject();

	cJSON_AddNumberToObject(o, "lcore", s->lcore);
	cJSON_AddNumberToObject(o, "cpu", s->cpu);
	cJSON_AddNumberToObject(o, "busy_percent",
		s->total_cycles ? 100.0 * (double)s->busy_cycles / (double)s->total_cycles : 0);
	list_json_add(o, "loops", s->loops);
	list_json_add(o, "busy_loops", s->busy_loops);
	list_json_add(o, "sleeps", s->sleeps);
	list_json_add(o, "busy_cycles", s->busy_cycles);
	list_json_add(o, "total_cycles", s->total_cycles);
	list_json_add(o, "handoff_in", s->handoff_in);
	list_json_add(o, "handoff_out", s->handoff_out);
	list_json_add(o, "tsc_hz", s->tsc_hz);
	cJSON_AddItemToArray(arg, o);
}

// Into the object of its lcore.
static void on_stall(const void *body, void *arg)
{
	const struct st_stat_stall *s = body;
	cJSON *o = cJSON_GetArrayItem(arg, (int)s->lcore), *longest;

	if (!o)
		return;
	list_json_add(o, "stalls", s->stalls);
	list_json_add(o, "stalled_ms", s->total_ms);
	longest = cJSON_AddObjectToObject(o, "longest_stall");
	list_json_add(longest, "ms", s->longest_ms);
	add_text(longest, "in", s->longest_in, sizeof(s->longest_in));
	list_json_add(longest, "ran_ms", s->longest_ran_ms);
	list_json_add(longest, "waited_for_cpu_ms", s->longest_waited_ms);
	list_json_add(longest, "stolen_ms", s->longest_stolen_ms);
	list_json_add(longest, "main_late_ms", s->longest_main_ms);
	if (s->stalls)
		list_json_add(longest, "age_ms", s->longest_age_ms);
}

int gather_lcores(struct dpclient *dp, struct cJSON *array)
{
	int err = dpclient_dump(dp, ST_STAT_LCORE, sizeof(struct st_stat_lcore), on_lcore, array);

	return err ? err
		   : dpclient_dump(dp, ST_STAT_STALL, sizeof(struct st_stat_stall), on_stall, array);
}

static void on_pool(const void *body, void *arg)
{
	const struct st_stat_pool *s = body;
	cJSON *o = cJSON_CreateObject();

	add_text(o, "name", s->name, sizeof(s->name));
	cJSON_AddNumberToObject(o, "size", s->size);
	cJSON_AddNumberToObject(o, "available", s->available);
	cJSON_AddItemToArray(arg, o);
}

int gather_pools(struct dpclient *dp, struct cJSON *array)
{
	return dpclient_dump(dp, ST_STAT_POOL, sizeof(struct st_stat_pool), on_pool, array);
}

static void on_drop(const void *body, void *arg)
{
	const struct st_stat_drop *s = body;

	*(uint64_t *)arg += s->packets;
}

int gather_drop_total(struct dpclient *dp, uint64_t *ret)
{
	*ret = 0;
	return dpclient_dump(dp, ST_STAT_DROP, sizeof(struct st_stat_drop), on_drop, ret);
}
