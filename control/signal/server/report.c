// SPDX-License-Identifier: BSD-3-Clause
//
// One table of figures makes all three forms.
#include "report.h"

#include "../../scrape.h"

#include <cjson/cJSON.h>
#include <gio/gio.h>

#include <libsoup/soup.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct figure {
	const char *name, *help;
	size_t offset;
	bool gauge;
} figures[] = {
#define FIGURE(field, help, gauge)                                                                 \
	{                                                                                          \
#field, help, offsetof(struct server_stats, field), gauge                          \
	}
	FIGURE(streams, "keys registered", true),
	FIGURE(connections, "connections that sent or registered lately", true),
	FIGURE(queued_bytes, "bytes that wait for their receivers", true),
	FIGURE(registered, "streams registered", false),
	FIGURE(replaced, "streams ended because their key registered again", false),
	FIGURE(refused, "streams refused: no key, a bad key, or a limit", false),
	FIGURE(slow, "streams ended because they did not take their messages", false),
	FIGURE(sends, "messages that came", false),
	FIGURE(delivered, "messages delivered", false),
	FIGURE(bytes_delivered, "bytes of delivered messages", false),
	FIGURE(absent, "messages to keys that are not registered", false),
	FIGURE(queue_full, "messages dropped because the receiver is slow", false),
	FIGURE(queues_full, "messages dropped because all that wait together is too much", false),
	FIGURE(limited_connection, "messages refused by the rate limit of a connection", false),
	FIGURE(limited_key, "messages dropped by the rate limit of a receiving key", false),
	FIGURE(malformed, "messages refused: not an EncryptedMessage", false),
};

static uint64_t figure_of(const struct server_stats *s, const struct figure *f)
{
	return *(const uint64_t *)((const char *)s + f->offset);
}

void report_json(const struct report_source *source, struct cJSON *ret)
{
	struct cJSON *listen = cJSON_AddArrayToObject(ret, "listen");
	struct server_stats stats;

	for (const char *const *l = source->listen; *l; l++)
		cJSON_AddItemToArray(listen, cJSON_CreateString(*l));
	cJSON_AddBoolToObject(ret, "tls", source->tls);
	cJSON_AddStringToObject(ret, "version", STRAIT_VERSION);
	cJSON_AddNumberToObject(ret, "uptime_s",
		(double)((g_get_monotonic_time() - source->started) / G_USEC_PER_SEC));
	server_stats(source->server, &stats);
	for (size_t i = 0; i < G_N_ELEMENTS(figures); i++)
		cJSON_AddNumberToObject(ret, figures[i].name, (double)figure_of(&stats, &figures[i]));
}

void report_print(const struct cJSON *status)
{
	const struct cJSON *l;

	cJSON_ArrayForEach (l, cJSON_GetObjectItem(status, "listen"))
		printf("%-20s %s (%s)\n", "listens on", cJSON_GetStringValue(l),
			cJSON_IsTrue(cJSON_GetObjectItem(status, "tls")) ? "TLS" : "cleartext");
	printf("%-20s %.0f s\n", "up for",
		cJSON_GetNumberValue(cJSON_GetObjectItem(status, "uptime_s")));
	for (size_t i = 0; i < G_N_ELEMENTS(figures); i++)
		printf("%-20s %-12.0f %s\n", figures[i].name,
			cJSON_GetNumberValue(cJSON_GetObjectItem(status, figures[i].name)),
			figures[i].help);
}

// ---- Prometheus ---------------------------------------------------------------------------------

struct report_http {
	SoupServer *soup;
	struct scrape *scrape;
	const struct report_source *source;
};

static void on_metrics(SoupServer *soup, SoupServerMessage *message, const char *path,
	GHashTable *query, void *arg)
{
	const struct report_http *h = arg;
	GString *text;
	struct server_stats stats;

	if (g_strcmp0(soup_server_message_get_method(message), "GET")) {
		soup_server_message_set_status(message, SOUP_STATUS_METHOD_NOT_ALLOWED, NULL);
		return;
	}
	text = g_string_new(NULL);
	server_stats(h->source->server, &stats);
	for (size_t i = 0; i < G_N_ELEMENTS(figures); i++) {
		const struct figure *f = &figures[i];
		const char *suffix = f->gauge ? "" : "_total";

		g_string_append_printf(text,
			"# HELP strait_signal_%s%s %s\n# TYPE strait_signal_%s%s %s\n"
			"strait_signal_%s%s %" G_GUINT64_FORMAT "\n",
			f->name, suffix, f->help, f->name, suffix, f->gauge ? "gauge" : "counter",
			f->name, suffix, figure_of(&stats, f));
	}
	soup_server_message_set_status(message, SOUP_STATUS_OK, NULL);
	soup_server_message_set_response(
		message, "text/plain; version=0.0.4", SOUP_MEMORY_COPY, text->str, text->len);
	g_string_free(text, TRUE);
}

static GSocketAddress *address_parse(const char *text)
{
	GSocketConnectable *c = g_network_address_parse(text, 0, NULL);
	GSocketAddress *a = NULL;

	if (c && g_network_address_get_port(G_NETWORK_ADDRESS(c)) > 0)
		a = g_inet_socket_address_new_from_string(
			g_network_address_get_hostname(G_NETWORK_ADDRESS(c)),
			g_network_address_get_port(G_NETWORK_ADDRESS(c)));
	if (c)
		g_object_unref(c);
	return a;
}

struct report_http *report_http_new(
	const char *address, const struct report_source *source, char **ret_error)
{
	char *full =
		strchr(address, ':') ? g_strdup(address) : g_strconcat("127.0.0.1:", address, NULL);
	GSocketAddress *a = address_parse(full);
	struct report_http *h;
	GError *error = NULL;

	if (!a) {
		*ret_error = g_strdup_printf(
			"metrics: found \"%s\", allowed: PORT or ADDRESS:PORT", address);
		g_free(full);
		return NULL;
	}
	h = g_new0(struct report_http, 1);
	h->source = source;
	h->soup = soup_server_new("server-header", "strait-signal", NULL);
	soup_server_add_handler(h->soup, "/metrics", on_metrics, h, NULL);
	h->scrape = scrape_new(h->soup, a, &error);
	if (!h->scrape) {
		*ret_error =
			g_strdup_printf("metrics: cannot listen on %s: %s", full, error->message);
		g_error_free(error);
		report_http_free(h);
		h = NULL;
	}
	g_object_unref(a);
	g_free(full);
	return h;
}

void report_http_free(struct report_http *h)
{
	if (!h)
		return;
	scrape_free(h->scrape);
	soup_server_disconnect(h->soup);
	g_object_unref(h->soup);
	g_free(h);
}
