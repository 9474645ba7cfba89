// SPDX-License-Identifier: BSD-3-Clause
//
// control/config/overlay.c and overlay_json.c with real files and a real sealing key.
#include "../../../../control/addr.h"
#include "../../../../control/config/overlay.h"
#include "../../../../control/seal.h"
#include "../../suite.h"

#include <cjson/cJSON.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <sodium.h>

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *dir, *path, *bad;
static struct seal *seal;

static const uint8_t key_a[32] = {1}, key_b[32] = {2}, key_c[32] = {3}, secret[32] = {9, 8, 7};

static void allow(struct overlay_peer *p, const char *text)
{
	struct st_prefix prefix;

	CU_ASSERT_TRUE(prefix_parse(&prefix, NULL, text));
	if (!p->allowed)
		p->allowed = g_array_new(FALSE, FALSE, sizeof(prefix));
	p->has_allowed = true;
	g_array_append_val(p->allowed, prefix);
}

// One of everything: a is changed, b removed, c added.
static GPtrArray *sample(void)
{
	GPtrArray *ifaces = overlay_ifaces_new();
	struct overlay_iface *i = overlay_iface_new("wg0");
	struct overlay_peer *p = overlay_iface_add(i, key_a, OVERLAY_CHANGED);

	p->has_psk = true;
	memcpy(p->psk, secret, sizeof(p->psk));
	p->has_keepalive = true;
	p->keepalive = 25;
	overlay_iface_add(i, key_b, OVERLAY_REMOVED);
	p = overlay_iface_add(i, key_c, OVERLAY_ADDED);
	p->has_endpoint = true;
	p->host = g_strdup("2001:db8::7");
	p->port = 4711;
	allow(p, "10.7.0.0/16");
	allow(p, "fd07::/64");
	i->has_key = true;
	memcpy(i->private_key, secret, sizeof(i->private_key));
	i->has_port = true;
	i->port = 51999;
	i->has_fwmark = true;
	i->fwmark = UINT32_MAX;
	g_ptr_array_add(ifaces, i);
	return ifaces;
}

static void check_sample(const struct overlay *o)
{
	const struct overlay_iface *i = overlay_find(o, "wg0");
	const struct overlay_peer *a, *b, *c;

	CU_ASSERT_PTR_NOT_NULL_FATAL(i);
	a = overlay_find_peer(o, "wg0", key_a);
	b = overlay_find_peer(o, "wg0", key_b);
	c = overlay_find_peer(o, "wg0", key_c);
	CU_ASSERT_FATAL(a && b && c);
	CU_ASSERT_TRUE(i->has_key && i->has_port && i->has_fwmark);
	CU_ASSERT_EQUAL(i->port, 51999);
	CU_ASSERT_EQUAL(i->fwmark, UINT32_MAX);
	CU_ASSERT_EQUAL(memcmp(i->private_key, secret, 32), 0);
	CU_ASSERT_EQUAL(a->change, OVERLAY_CHANGED);
	CU_ASSERT_TRUE(a->has_psk && a->has_keepalive && !a->has_endpoint && !a->has_allowed);
	CU_ASSERT_EQUAL(memcmp(a->psk, secret, 32), 0);
	CU_ASSERT_EQUAL(a->keepalive, 25);
	CU_ASSERT_EQUAL(b->change, OVERLAY_REMOVED);
	CU_ASSERT_EQUAL(c->change, OVERLAY_ADDED);
	CU_ASSERT_STRING_EQUAL(c->host, "2001:db8::7");
	CU_ASSERT_EQUAL(c->port, 4711);
	CU_ASSERT_EQUAL(c->allowed->len, 2);
}

static void write_sample(void)
{
	struct overlay *o = overlay_new(dir, seal);

	overlay_replace(o, sample());
	overlay_free(o);
}

static void what_wg_changed_outlives_the_process(void)
{
	struct overlay *o;
	struct stat st;

	write_sample();
	CU_ASSERT_EQUAL_FATAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
	o = overlay_new(dir, seal);
	check_sample(o);
	// Nothing left: no file.
	overlay_replace(o, overlay_ifaces_new());
	CU_ASSERT_EQUAL(g_access(path, F_OK), -1);
	overlay_free(o);
}

static void keys_are_not_in_the_file(void)
{
	g_autofree char *text = NULL;
	char base64[64], hex[65];

	write_sample();
	CU_ASSERT_TRUE_FATAL(g_file_get_contents(path, &text, NULL, NULL));
	sodium_bin2base64(base64, sizeof(base64), secret, 32, sodium_base64_VARIANT_ORIGINAL);
	sodium_bin2hex(hex, sizeof(hex), secret, 32);
	CU_ASSERT_PTR_NULL(strstr(text, base64));
	CU_ASSERT_PTR_NULL(strstr(text, hex));
}

static void check_kept_aside(const char *text)
{
	struct overlay *o;

	g_unlink(bad);
	CU_ASSERT_TRUE(g_file_set_contents(path, text, -1, NULL));
	o = overlay_new(dir, seal);
	CU_ASSERT_TRUE(overlay_is_empty(o));
	CU_ASSERT_EQUAL(g_access(bad, F_OK), 0);
	CU_ASSERT_EQUAL(g_access(path, F_OK), -1);
	overlay_free(o);
}

static void a_broken_file_is_kept_aside_whole(void)
{
	static const char *const texts[] = {
		"",
		"{",
		"[]",
		"{\"interfaces\": []}",
		"{\"version\": 2, \"interfaces\": []}",
		"{\"version\": 1}",
		"{\"version\": 1, \"interfaces\": [], \"more\": 1}",
		"{\"version\": 1, \"interfaces\": [{}]}",
		"{\"version\": 1, \"interfaces\": [{\"name\": \"a-name-that-is-too-long\"}]}",
		"{\"version\": 1, \"interfaces\": [{\"name\": \"wg0\", \"listen_port\": 65536}]}",
		"{\"version\": 1, \"interfaces\": [{\"name\": \"wg0\", \"private_key\": "
		"\"AAAA\"}]}",
		"{\"version\": 1, \"interfaces\": [{\"name\": \"wg0\", \"peers\": [{}]}]}",
		"{\"version\": 1, \"interfaces\": [{\"name\": \"wg0\", \"peers\": {}}]}",
		"{\"version\": 1, \"interfaces\": [{\"name\": \"wg0\", \"peers\": "
		"[{\"public_key\": "
		"\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\", \"change\": \"other\"}]}]}",
		"{\"version\": 1, \"interfaces\": [{\"name\": \"wg0\", \"peers\": "
		"[{\"public_key\": "
		"\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\", \"allowed_ips\": [\"x\"]}]}]}",
	};

	for (size_t n = 0; n < G_N_ELEMENTS(texts); n++)
		check_kept_aside(texts[n]);
}

static void every_cut_of_a_file_is_kept_aside_or_read_whole(void)
{
	g_autofree char *text = NULL;
	size_t len;

	write_sample();
	CU_ASSERT_TRUE_FATAL(g_file_get_contents(path, &text, &len, NULL));
	for (size_t n = len - 1; n > 0; n -= n > 40 ? 37 : 1) {
		text[n] = 0;
		check_kept_aside(text);
	}
}

static void keys_of_another_place_do_not_open(void)
{
	g_autofree char *text = NULL;
	g_auto(GStrv) parts = NULL;
	g_autofree char *moved = NULL;

	write_sample();
	CU_ASSERT_TRUE_FATAL(g_file_get_contents(path, &text, NULL, NULL));
	parts = g_strsplit(text, "\"wg0\"", -1);
	moved = g_strjoinv("\"wg1\"", parts);
	check_kept_aside(moved);
}

static void without_a_key_file_nothing_is_read_or_written(void)
{
	struct overlay *o = overlay_new(dir, NULL);

	g_unlink(path);
	overlay_replace(o, sample());
	check_sample(o);
	CU_ASSERT_EQUAL(g_access(path, F_OK), -1);
	overlay_keep_aside(o);
	CU_ASSERT_TRUE(overlay_is_empty(o));
	overlay_free(o);
}

static struct config_peer *file_peer(const uint8_t key[32], const char *name)
{
	struct config_peer *p = g_new0(struct config_peer, 1);

	memcpy(p->public_key, key, 32);
	p->name = g_strdup(name);
	p->endpoint_host = g_strdup("192.0.2.1");
	p->endpoint_port = 1;
	p->allowed_ips = g_array_new(FALSE, FALSE, sizeof(struct st_prefix));
	return p;
}

static void file_peer_free(void *arg)
{
	struct config_peer *p = arg;

	g_free(p->name);
	g_free(p->endpoint_host);
	g_array_free(p->allowed_ips, TRUE);
	g_free(p);
}

static const struct config_peer *merged_peer(const struct config_wg *m, const uint8_t key[32])
{
	for (guint n = 0; n < m->peers->len; n++) {
		const struct config_peer *p = m->peers->pdata[n];

		if (!memcmp(p->public_key, key, 32))
			return p;
	}
	return NULL;
}

static void the_overlay_wins_over_the_file(void)
{
	static const uint8_t key_d[32] = {4};
	struct config_wg file = {.name = (char *)"wg0", .listen_port = 1, .fwmark = 2, .mtu = 1400};
	struct overlay *o = overlay_new(dir, NULL);
	const struct config_peer *a, *c;
	struct config_wg *m;

	file.peers = g_ptr_array_new_with_free_func(file_peer_free);
	g_ptr_array_add(file.peers, file_peer(key_a, "a"));
	g_ptr_array_add(file.peers, file_peer(key_b, "b"));
	g_ptr_array_add(file.peers, file_peer(key_d, "d"));
	m = overlay_merge(o, &file);
	CU_ASSERT_EQUAL(m->peers->len, 3);
	CU_ASSERT_PTR_EQUAL(m->peers->pdata[0], file.peers->pdata[0]);
	overlay_merged_free(m, &file);
	overlay_replace(o, sample());
	m = overlay_merge(o, &file);
	CU_ASSERT_EQUAL(m->listen_port, 51999);
	CU_ASSERT_EQUAL(m->fwmark, UINT32_MAX);
	CU_ASSERT_EQUAL(m->mtu, 1400);
	CU_ASSERT_EQUAL(memcmp(m->private_key, secret, 32), 0);
	CU_ASSERT_EQUAL(m->peers->len, 3);
	CU_ASSERT_PTR_NULL(merged_peer(m, key_b));
	CU_ASSERT_PTR_EQUAL(merged_peer(m, key_d), file.peers->pdata[2]);
	a = merged_peer(m, key_a);
	c = merged_peer(m, key_c);
	CU_ASSERT_FATAL(a && c);
	CU_ASSERT_STRING_EQUAL(a->name, "a");
	CU_ASSERT_STRING_EQUAL(a->endpoint_host, "192.0.2.1");
	CU_ASSERT_TRUE(a->has_preshared_key);
	CU_ASSERT_EQUAL(a->keepalive, 25);
	CU_ASSERT_STRING_EQUAL(c->endpoint_host, "2001:db8::7");
	CU_ASSERT_FALSE(c->has_preshared_key);
	CU_ASSERT_EQUAL(c->allowed_ips->len, 2);
	overlay_merged_free(m, &file);
	// A change to a peer that the file has no more makes no peer.
	g_ptr_array_remove_index(file.peers, 0);
	m = overlay_merge(o, &file);
	CU_ASSERT_PTR_NULL(merged_peer(m, key_a));
	overlay_merged_free(m, &file);
	g_ptr_array_free(file.peers, TRUE);
	overlay_free(o);
}

// More than a process could have locked blocks.
static void many_peers_are_added(void)
{
	struct config_wg file = {.name = (char *)"wg0", .peers = g_ptr_array_new()};
	struct overlay_iface *i = overlay_iface_new("wg0");
	struct overlay *o = overlay_new(dir, NULL);
	GPtrArray *ifaces = overlay_ifaces_new();
	struct config_wg *m;

	for (uint32_t n = 1; n <= 30000; n++) {
		uint8_t key[32] = {0};

		memcpy(key, &n, sizeof(n));
		overlay_iface_add(i, key, OVERLAY_ADDED);
	}
	g_ptr_array_add(ifaces, i);
	overlay_replace(o, ifaces);
	m = overlay_merge(o, &file);
	CU_ASSERT_EQUAL(m->peers->len, 30000);
	overlay_merged_free(m, &file);
	g_ptr_array_free(file.peers, TRUE);
	overlay_free(o);
}

static void people_are_told_without_secrets(void)
{
	struct overlay *o = overlay_new(dir, NULL);
	struct cJSON *reply = cJSON_CreateObject();
	char *text;

	overlay_replace(o, sample());
	overlay_describe(o, reply);
	text = cJSON_PrintUnformatted(reply);
	CU_ASSERT_EQUAL(cJSON_GetArraySize(cJSON_GetObjectItem(reply, "changes")), 6);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "listen_port 51999"));
	CU_ASSERT_PTR_NOT_NULL(
		strstr(text, "endpoint [2001:db8::7]:4711, allowed_ips 10.7.0.0/16"));
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "\"preshared_key, persistent_keepalive 25\""));
	CU_ASSERT_PTR_NULL(strstr(text, "CQgHAAAA")); // base64 of the secret
	cJSON_free(text);
	cJSON_Delete(reply);
	overlay_free(o);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"what wg changed outlives the process", what_wg_changed_outlives_the_process},
		{"keys are not in the file", keys_are_not_in_the_file},
		{"a broken file is kept aside whole", a_broken_file_is_kept_aside_whole},
		{"every cut of a file is kept aside", every_cut_of_a_file_is_kept_aside_or_read_whole},
		{"keys of another place do not open", keys_of_another_place_do_not_open},
		{"without a key file nothing is read or written",
			without_a_key_file_nothing_is_read_or_written},
		{"the overlay wins over the file", the_overlay_wins_over_the_file},
		{"many peers are added", many_peers_are_added},
		{"people are told without secrets", people_are_told_without_secrets},
		CU_TEST_INFO_NULL,
	};

	g_autofree char *key = NULL;
	char *error = NULL;
	int ret;

	dir = g_dir_make_tmp("strait-overlay-XXXXXX", NULL);
	if (!dir || sodium_init() < 0 || !(seal = seal_new(dir, &error)))
		return 99;
	path = g_build_filename(dir, OVERLAY_NAME, NULL);
	bad = g_strconcat(path, ".bad", NULL);
	key = g_build_filename(dir, SEAL_KEY_NAME, NULL);
	ret = run_tests("overlay", tests);
	seal_free(seal);
	g_unlink(path);
	g_unlink(bad);
	g_unlink(key);
	g_rmdir(dir);
	g_free(bad);
	g_free(path);
	g_free(dir);
	return ret;
}
