// SPDX-License-Identifier: BSD-3-Clause
//
// straitctl credentials mint: a time-limited credential of the relay, made from the first secret of a
// configuration, to try the relay with or to give to a client. Needs no daemon, but the right to read secrets.
#include "../config/config.h"
#include "../turn/auth.h"
#include "ctl.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TTL_S 3600
#define TTL_MAX_S     (366ull * 86400)

// "90", "90s", "15m", "12h", "7d"; 0 = none of these.
static uint64_t parse_ttl(const char *text)
{
	unsigned long long n;
	uint64_t unit = 1;
	char *end;

	if (!g_ascii_isdigit(*text))
		return 0;
	n = strtoull(text, &end, 10);
	switch (*end) {
	case 'd':
		unit = 86400;
		break;
	case 'h':
		unit = 3600;
		break;
	case 'm':
		unit = 60;
		break;
	case 's':
	case 0:
		break;
	default:
		return 0;
	}
	if ((*end && end[1]) || n > TTL_MAX_S / unit)
		return 0;
	return n * unit;
}

static int print(const struct ctl *c, const char *name, const char *password, const char *realm,
	uint64_t ttl)
{
	cJSON *doc;
	char *text;

	if (!c->json) {
		printf("username %s\npassword %s\nrealm    %s\n", name, password, realm);
		return CTL_OK;
	}
	doc = cJSON_CreateObject();
	cJSON_AddStringToObject(doc, "username", name);
	cJSON_AddStringToObject(doc, "password", password);
	cJSON_AddStringToObject(doc, "realm", realm);
	cJSON_AddNumberToObject(doc, "ttl", (double)ttl);
	text = cJSON_PrintUnformatted(doc);
	if (!text)
		abort();
	puts(text);
	cJSON_free(text);
	cJSON_Delete(doc);
	return CTL_OK;
}

int credentials_mint_run(const struct ctl *c, int argc, char **argv)
{
	uint64_t ttl = c->ttl ? parse_ttl(c->ttl) : DEFAULT_TTL_S;
	const char *file = argc ? argv[0] : CTL_DEFAULT_CONFIG;
	char password[TURN_PASSWORD_LEN + 1], *name, *error = NULL;
	struct config *config;
	int status;

	if (!ttl)
		return ctl_error(CTL_USAGE,
			"--ttl %s: a time such as 90s, 15m, 12h or 7d, at most 366d", c->ttl);
	if (c->user && (!*c->user || strlen(c->user) > 400 || !g_utf8_validate(c->user, -1, NULL)))
		return ctl_error(CTL_USAGE, "--user: 1 to 400 bytes of UTF-8");
	if (sodium_init() < 0)
		return ctl_error(CTL_FAILED, "libsodium does not start");
	config = config_load(file, &error);
	if (!config) {
		status = ctl_error(CTL_FAILED, "%s", error);
		g_free(error);
		return status;
	}
	if (!config->turn || !config->turn->secrets->len) {
		config_free(config);
		return ctl_error(CTL_FAILED,
			"%s has no \"turn\" with \"secrets\": there is nothing to mint from", file);
	}
	name = g_strdup_printf("%lld%s%s",
		(long long)(g_get_real_time() / G_USEC_PER_SEC) + (long long)ttl,
		c->user ? ":" : "", c->user ? c->user : "");
	turn_auth_password(password, config->turn->secrets->pdata[0], name, strlen(name));
	status = print(c, name, password, config->turn->realm, ttl);
	sodium_memzero(password, sizeof(password));
	g_free(name);
	config_free(config);
	return status;
}
