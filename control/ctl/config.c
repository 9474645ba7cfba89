// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl config check, config dp-args, reload, log-level and host remove: what concerns the document
// and the host. The document is read by the same reader as straitd's.
#include "../config/config.h"

#include "../host/host.h"
#include "../log.h"
#include "adminclient.h"
#include "ctl.h"
#include "list.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct config *load(int argc, char **argv, char **ret_error)
{
	if (sodium_init() < 0) {
		*ret_error = g_strdup("libsodium does not start");
		return NULL;
	}
	return config_load(argc ? argv[0] : CTL_DEFAULT_CONFIG, ret_error);
}

int config_check_run(const struct ctl *c, int argc, char **argv)
{
	char *error = NULL;
	struct config *config = load(argc, argv, &error);
	int status = config ? CTL_OK : CTL_FAILED;

	if (c->json) {
		cJSON *doc = cJSON_CreateObject();

		cJSON_AddBoolToObject(doc, "good", config != NULL);
		if (error)
			cJSON_AddStringToObject(doc, "error", error);
		list_json_print(doc);
	} else if (config) {
		printf("%s: good, %u ports, %u WireGuard interfaces\n", config->file,
			config->ports->len, config->wgs->len);
	} else {
		ctl_error(0, "%s", error);
	}
	g_free(error);
	config_free(config);
	return status;
}

int config_dp_args_run(const struct ctl *c, int argc, char **argv)
{
	char *error = NULL, *args;
	struct config *config = load(argc, argv, &error);

	if (!config) {
		ctl_error(0, "%s", error);
		g_free(error);
		return CTL_FAILED;
	}
	args = config_dp_args(config);
	if (c->json) {
		cJSON *doc = cJSON_CreateObject();

		cJSON_AddStringToObject(doc, "args", args);
		list_json_print(doc);
	} else {
		puts(args);
	}
	g_free(args);
	config_free(config);
	return CTL_OK;
}

// The reply, or NULL with *ret_status and the reason told.
static cJSON *ask(const struct ctl *c, cJSON *request, int *ret_status)
{
	cJSON *reply = NULL;
	char *error = NULL;
	int r = adminclient_ask(c->run_dir, request, &reply, &error);

	if (r == 1)
		*ret_status = ctl_error(CTL_FAILED, "%s", error);
	else if (r)
		*ret_status = ctl_error(CTL_AWAY, "%s", adminclient_explain(r, c->run_dir));
	free(error);
	return reply;
}

int reload_run(const struct ctl *c, int argc, char **argv)
{
	int status = CTL_OK;
	cJSON *reply = ask(c, adminclient_request("reload"), &status);
	const cJSON *v;

	if (!reply)
		return status;
	if (c->json) {
		list_json_print(reply);
		return CTL_OK;
	}
	puts("reloaded");
	cJSON_ArrayForEach (v, cJSON_GetObjectItemCaseSensitive(reply, "needs_restart"))
		printf("needs a restart to take effect: %s\n",
			cJSON_IsString(v) ? v->valuestring : "?");
	cJSON_Delete(reply);
	return CTL_OK;
}

int overlay_show_run(const struct ctl *c, int argc, char **argv)
{
	static const struct list_column columns[] = {
		{"INTERFACE", "interface", false, NULL},
		{"PEER", "peer", false, NULL},
		{"CHANGE", "change", false, NULL},
		{"WHAT", "what", false, NULL},
		{NULL, NULL, false, NULL},
	};
	int status = CTL_OK;
	cJSON *reply = ask(c, adminclient_request("overlay-show"), &status), *changes;

	if (!reply)
		return status;
	if (c->json) {
		list_json_print(reply);
		return CTL_OK;
	}
	changes = cJSON_GetObjectItemCaseSensitive(reply, "changes");
	if (cJSON_GetArraySize(changes))
		list_print(columns, changes);
	else
		puts("nothing: all is as the configuration says");
	cJSON_Delete(reply);
	return CTL_OK;
}

int overlay_drop_run(const struct ctl *c, int argc, char **argv)
{
	int status = CTL_OK;
	cJSON *reply = ask(c, adminclient_request("overlay-drop"), &status);

	if (!reply)
		return status;
	if (c->json) {
		list_json_print(reply);
		return CTL_OK;
	}
	puts("dropped: all is as the configuration says");
	cJSON_Delete(reply);
	return CTL_OK;
}

int log_level_run(const struct ctl *c, int argc, char **argv)
{
	cJSON *request = adminclient_request("log-level"), *reply;
	int status = CTL_OK;

	if (argc)
		cJSON_AddStringToObject(request, "level", argv[0]);
	reply = ask(c, request, &status);
	if (!reply)
		return status;
	if (c->json) {
		list_json_print(reply);
		return CTL_OK;
	}
	puts(list_json_text(reply, "level"));
	cJSON_Delete(reply);
	return CTL_OK;
}

int host_remove_run(const struct ctl *c, int argc, char **argv)
{
	char *error = NULL;
	struct config *config = load(argc, argv, &error);
	int err;

	if (!config) {
		ctl_error(0, "%s", error);
		g_free(error);
		return CTL_FAILED;
	}
	if (strcmp(c->run_dir, CTL_DEFAULT_RUN_DIR)) {
		g_free(config->run_dir);
		config->run_dir = g_strdup(c->run_dir);
	}
	log_init(); // what host removes or cannot remove it says itself
	err = host_remove_all(config);
	if (!err && c->json) {
		cJSON *doc = cJSON_CreateObject();

		cJSON_AddBoolToObject(doc, "removed", true);
		list_json_print(doc);
	}
	config_free(config);
	return err ? ctl_error(CTL_FAILED, "cannot remove the host devices: %s", strerror(-err))
		   : CTL_OK;
}
