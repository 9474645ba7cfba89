// SPDX-License-Identifier: BSD-3-Clause
//
// ICE of straitd without the rest of it: many agents on one port, signalling by lines on stdin and stdout, so
// that a script or another program can be the other side.
//
//   in:   start ID controlling|controlled|relay-controlling|relay-controlled    creds ID UFRAG PWD
//         cand ID CANDIDATE    silence ID (data goes out, nothing comes)    noise ID    drop ID    stats
//         raw HOST PORT HEX    save ID    load ID    again (as after kill -9 of straitd)
//   out:  creds ID UFRAG PWD    cand ID CANDIDATE    nominated ID LOCAL-TYPE REMOTE-TYPE LOCAL REMOTE RTT CHANNEL
//         moved ID ... (as nominated)    failed ID WHY    lost ID WHY    regained ID    stats {...}    wg ID LENGTH
//
// usage: icepeer PORT [--server URL USER PASSWORD]... [--blob FILE]
//   --blob: pairs are written to FILE.ID at "save", and taken up from it by "load"
#include "../../control/addr.h"
#include "../../control/ice/ice.h"
#include "../../control/wg/wg_socket.h"

#include <cjson/cJSON.h>
#include <gio/gio.h>
#include <glib-unix.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAX_SERVERS 8

struct session {
	unsigned int id;
	struct ice_agent *agent;
	struct ice_keep *keep;
	guint silence;
};

static struct ice *ice;
static int sockets[WG_FAMILIES] = {-1, -1};
static uint16_t port;
static GHashTable *sessions;
static GMainLoop *loop;
static const char *blob_file;
static char **arguments;

// ---- what the interface lends --------------------------------------------------------------------------

static int env_send(const struct st_addr *local, const struct st_addr *remote,
	uint16_t remote_port_be, const void *data, size_t len, void *arg)
{
	struct wg_to to = {.local = local, .remote = remote, .remote_port_be = remote_port_be};
	int fd = sockets[wg_family_of(remote)];

	return fd < 0 ? -EAFNOSUPPORT : wg_socket_send(fd, &to, data, len);
}

static uint16_t env_port(void *arg)
{
	return port;
}

static void env_wireguard(uint32_t peer_id, const struct wg_datagram *d, void *arg)
{
	printf("wg %u %u\n", peer_id, d->len);
}

// What the data plane does for straitd: descriptors that live on. Here they pass an exec by themselves.
static int env_take_socket(uint32_t socket_id, void *arg)
{
	char *name = g_strdup_printf("ICEPEER_SOCKET_%u", socket_id);
	const char *fd = g_getenv(name);

	g_free(name);
	return fd ? atoi(fd) : -1;
}

static void received(const struct wg_datagram *d, void *arg)
{
	if (!ice_receive(ice, d))
		printf("other %u\n", d->len);
}

static gboolean readable(gint fd, GIOCondition cond, gpointer arg)
{
	wg_socket_receive(fd, received, NULL);
	return G_SOURCE_CONTINUE;
}

// ---- ops -----------------------------------------------------------------------------------------------

static void print_path(const char *what, unsigned int id, const struct ice_path *p)
{
	char local[TUPLE_TEXT_MAX], remote[TUPLE_TEXT_MAX];

	printf("%s %u %s %s %s %s %u %u\n", what, id, ice_type_name(p->local_type),
		ice_type_name(p->remote_type),
		tuple_text(local, &p->local_candidate, p->local_candidate_port_be),
		tuple_text(remote, &p->remote, p->remote_port_be), p->rtt_us,
		p->relay.channel_ready ? p->relay.channel : 0U);
}

static void on_lost(const char *why, void *arg)
{
	struct session *s = arg;

	printf("lost %u %s\n", s->id, why);
}

static void on_regained(void *arg)
{
	struct session *s = arg;

	printf("regained %u\n", s->id);
}

static void on_moved(const struct ice_path *path, void *arg)
{
	struct session *s = arg;

	print_path("moved", s->id, path);
}

static void on_rtt(uint32_t us, void *arg)
{
}

static const struct ice_keep_ops keep_ops = {on_lost, on_regained, on_moved, on_rtt, NULL};

static void on_candidate(const char *candidate, void *arg)
{
	struct session *s = arg;

	printf("cand %u %s\n", s->id, candidate);
}

static void on_nominated(const struct ice_path *path, void *arg)
{
	struct session *s = arg;

	print_path("nominated", s->id, path);
	if (s->keep)
		return;
	s->keep = ice_keep_new(ice, s->id, path, &keep_ops, s);
	if (!s->keep)
		printf("failed %u no keep: %s\n", s->id, strerror(errno));
	ice_agent_free(s->agent);
	s->agent = NULL;
}

static void on_failed(const char *why, void *arg)
{
	struct session *s = arg;

	printf("failed %u %s\n", s->id, why);
	ice_agent_free(s->agent);
	s->agent = NULL;
}

static const struct ice_agent_ops agent_ops = {on_candidate, on_nominated, on_failed};

// ---- commands ------------------------------------------------------------------------------------------

static struct session *session_get(unsigned int id)
{
	struct session *s = g_hash_table_lookup(sessions, GUINT_TO_POINTER(id));

	if (!s) {
		s = g_new0(struct session, 1);
		s->id = id;
		g_hash_table_insert(sessions, GUINT_TO_POINTER(id), s);
	}
	return s;
}

static void start(struct session *s, const char *role)
{
	struct ice_attempt attempt = {
		.peer_id = s->id,
		.controlling = g_str_has_suffix(role, "controlling"),
		.relay_only = g_str_has_prefix(role, "relay-"),
	};

	s->agent = ice_agent_new(ice, &attempt, &agent_ops, s);
	printf("creds %u %s %s\n", s->id, ice_agent_local(s->agent)->ufrag,
		ice_agent_local(s->agent)->pwd);
}

static gboolean on_silence(gpointer arg)
{
	struct st_activity a = {.flags = ST_ACT_DATA_SENT, .selected_received_age_ms = UINT32_MAX};
	struct session *s = arg;

	if (s->keep)
		ice_keep_activity(s->keep, &a);
	return G_SOURCE_CONTINUE;
}

static void stats(void)
{
	cJSON *o = cJSON_CreateObject();
	struct rusage self;
	char *text, *status = NULL;

	ice_status(ice, o);
	getrusage(RUSAGE_SELF, &self);
	cJSON_AddNumberToObject(o, "cpu_us",
		(double)(self.ru_utime.tv_sec + self.ru_stime.tv_sec) * 1e6 +
			(double)(self.ru_utime.tv_usec + self.ru_stime.tv_usec));
	if (g_file_get_contents("/proc/self/status", &status, NULL, NULL) &&
		strstr(status, "VmRSS:"))
		cJSON_AddNumberToObject(o, "rss_kb", atoi(strstr(status, "VmRSS:") + 6));
	text = cJSON_PrintUnformatted(o);
	printf("stats %s\n", text);
	cJSON_free(text);
	cJSON_Delete(o);
	g_free(status);
}

static void save(struct session *s)
{
	uint8_t blob[ICE_PATH_BLOB_MAX];
	int len = s->keep ? ice_keep_blob(s->keep, blob, sizeof(blob)) : -ENOENT;
	char *path = g_strdup_printf("%s.%u", blob_file, s->id);

	if (len > 0 && g_file_set_contents(path, (const char *)blob, len, NULL))
		printf("saved %u %d\n", s->id, len);
	else
		printf("failed %u save %d\n", s->id, len);
	g_free(path);
}

static void load(struct session *s)
{
	char *path = g_strdup_printf("%s.%u", blob_file, s->id), *blob = NULL;
	gsize len = 0;

	if (g_file_get_contents(path, &blob, &len, NULL))
		s->keep = ice_keep_from_blob(ice, s->id, (const uint8_t *)blob, len, &keep_ops, s);
	if (s->keep)
		print_path("loaded", s->id, ice_keep_path(s->keep));
	else
		printf("failed %u load %s\n", s->id, strerror(errno));
	g_free(blob);
	g_free(path);
}

static bool bound_to(int fd, const struct ice_relay *r)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct st_addr a;
	uint16_t port_be;

	return !getsockname(fd, (struct sockaddr *)&ss, &len) &&
	       addr_from_sockaddr(&a, &port_be, (struct sockaddr *)&ss) &&
	       port_be == r->base_port_be && !memcmp(&a, &r->base, sizeof(a));
}

static void hand_on(gpointer key, gpointer value, gpointer arg)
{
	const struct session *s = value;
	const struct ice_path *p = s->keep ? ice_keep_path(s->keep) : NULL;

	for (int fd = 3; p && p->relayed && fd < 1024; fd++) {
		char *name, *text;

		if (!bound_to(fd, &p->relay))
			continue;
		name = g_strdup_printf("ICEPEER_SOCKET_%u", p->relay.socket_id);
		text = g_strdup_printf("%d", dup(fd)); // without close-on-exec
		g_setenv(name, text, TRUE);
		g_free(name);
		g_free(text);
		return;
	}
}

// As after kill -9: nobody is told anything, and what was parked is there.
static void again(char **argv)
{
	g_hash_table_foreach(sessions, hand_on, NULL);
	execv("/proc/self/exe", argv);
	exit(1);
}

static void raw(const char *host, const char *to_port, const char *hex)
{
	uint8_t data[WG_SOCKET_PAYLOAD];
	size_t len = strlen(hex) / 2;
	struct st_addr to, any = {0};

	for (size_t n = 0; n < len && n < sizeof(data); n++)
		data[n] = (uint8_t)(g_ascii_xdigit_value(hex[2 * n]) << 4 |
				    g_ascii_xdigit_value(hex[2 * n + 1]));
	if (addr_parse(&to, host))
		(void)env_send(&any, &to, htons((uint16_t)atoi(to_port)), data, len, NULL);
}

// What looks like WireGuard data.
static int send_data(struct session *s, size_t len)
{
	uint8_t data[1500];

	memset(data, 4, sizeof(data));
	return ice_keep_send(s->keep, data, MIN(len, sizeof(data)));
}

static void command(char *line)
{
	char **w = g_strsplit(line, " ", 4);
	guint n = g_strv_length(w);
	struct session *s = n > 1 ? session_get((unsigned int)atoi(w[1])) : NULL;
	int r = 0;

	if (n == 3 && !strcmp(w[0], "start"))
		start(s, w[2]);
	else if (n == 4 && !strcmp(w[0], "creds") && s->agent)
		r = ice_agent_remote(s->agent, w[2], w[3]);
	else if (n >= 3 && !strcmp(w[0], "cand") && s->agent)
		r = ice_agent_candidate(s->agent, strchr(strchr(line, ' ') + 1, ' ') + 1);
	else if (n == 2 && !strcmp(w[0], "silence") && !s->silence)
		s->silence = g_timeout_add(50, on_silence, s);
	else if (n == 2 && !strcmp(w[0], "noise") && s->silence)
		g_source_remove(s->silence), s->silence = 0;
	else if (n == 2 && !strcmp(w[0], "drop"))
		ice_keep_free(s->keep), s->keep = NULL, ice_agent_free(s->agent), s->agent = NULL;
	else if (n == 3 && !strcmp(w[0], "wg") && s->keep)
		r = send_data(s, (size_t)atoi(w[2]));
	else if (n == 2 && !strcmp(w[0], "save"))
		save(s);
	else if (n == 2 && !strcmp(w[0], "load"))
		load(s);
	else if (n == 1 && !strcmp(w[0], "again"))
		again(arguments);
	else if (n == 1 && !strcmp(w[0], "stats"))
		stats();
	else if (n == 4 && !strcmp(w[0], "raw"))
		raw(w[1], w[2], w[3]);
	if (r)
		printf("refused %s %s %s\n", w[0], w[1], strerror(-r));
	g_strfreev(w);
}

static gboolean on_stdin(gint fd, GIOCondition cond, gpointer arg)
{
	static GString *pending;
	char buf[65536], *end;
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n <= 0) {
		g_main_loop_quit(loop);
		return G_SOURCE_REMOVE;
	}
	if (!pending)
		pending = g_string_new(NULL);
	g_string_append_len(pending, buf, n);
	while ((end = strchr(pending->str, '\n'))) {
		*end = 0;
		command(pending->str);
		g_string_erase(pending, 0, end - pending->str + 1);
	}
	return G_SOURCE_CONTINUE;
}

int main(int argc, char **argv)
{
	struct ice_server servers[MAX_SERVERS];
	struct ice_settings settings = {.servers = servers};
	struct ice_env env = {
		.name = "icepeer",
		.send = env_send,
		.port = env_port,
		.wireguard = env_wireguard,
		.take_socket = env_take_socket,
	};
	char *error = NULL;

	if (argc < 2)
		return 2;
	arguments = argv;
	setvbuf(stdout, NULL, _IOLBF, 0);
	port = (uint16_t)atoi(argv[1]);
	for (int n = 2; n < argc; n++) {
		if (!strcmp(argv[n], "--server") && n + 3 < argc &&
			settings.nb_servers < MAX_SERVERS) {
			servers[settings.nb_servers++] =
				(struct ice_server){argv[n + 1], argv[n + 2], argv[n + 3]};
			n += 3;
		} else if (!strcmp(argv[n], "--blob") && n + 1 < argc) {
			blob_file = argv[++n];
		} else if (!strcmp(argv[n], "--any-interface")) {
			static char *none[] = {(char *)"lo", NULL};

			settings.interface_blacklist = none;
		}
	}
	if (ice_settings_check(&settings, &error)) {
		fprintf(stderr, "%s\n", error);
		return 2;
	}
	loop = g_main_loop_new(NULL, FALSE);
	sessions = g_hash_table_new(NULL, NULL);
	for (int f = 0; f < WG_FAMILIES; f++) {
		sockets[f] = wg_socket_open((enum wg_family)f, port, 0);
		if (sockets[f] >= 0)
			g_unix_fd_add(sockets[f], G_IO_IN, readable, NULL);
	}
	ice = ice_new(&env, g_getenv("STRAIT_ICE"));
	ice_apply(ice, &settings);
	g_unix_fd_add(0, G_IO_IN | G_IO_HUP, on_stdin, NULL);
	g_main_loop_run(loop);
	ice_free(ice);
	return 0;
}
