// SPDX-License-Identifier: BSD-3-Clause
//
// What wg(8) changed, over restarts and reloads: real interfaces of straitd with a run directory of their own,
// before a double of the data plane.
#include "../../../../control/addr.h"
#include "../../../../control/config/config.h"
#include "../../../../control/config/overlay.h"
#include "../../../../control/wg/wg_internal.h"
#include "../../../../crypto/keys.h"
#include "../../suite.h"
#include "../dp_double.h"

#include <glib/gstdio.h>

#include <string.h>
#include <unistd.h>

#define PORT            "58213"
#define OTHER_PORT      58214
#define OTHER_PORT_TEXT "58214"
#define KEY1            "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg="
#define KEY2            "TrMvSoP4jYQlY6RIzBgbssQqY3vxI2Pi+y71lOWWXX0="
#define PEER1           "{\"name\": \"one\", \"public_key\": \"" KEY1 "\", \"allowed_ips\": [\"10.0.0.0/8\"]}"
#define PEER2           "{\"name\": \"two\", \"public_key\": \"" KEY2 "\"}"
#define PEER2_HERE                                                                                 \
	"{\"name\": \"two\", \"public_key\": \"" KEY2 "\", \"allowed_ips\": [\"10.2.0.0/16\"]}"

static struct dp *dp;
static struct wg *wg;
static struct wg_iface *iface;
static struct config *file;
static char *dir, *path, *bad;

static struct config *parse(const char *text)
{
	char *error = NULL;
	struct config *c = config_parse("test", text, &error);

	if (error)
		fprintf(stderr, "%s\n", error);
	g_free(error);
	CU_ASSERT_PTR_NOT_NULL_FATAL(c);
	return c;
}

#define INTERFACE(name, port, peers)                                                               \
	"{\"name\": \"" name "\", \"private_key\": "                                               \
	"\"YAnSXJIUQTXTyUQ1VScjWvYgbwZjEGzLAfNSQPWuvlY=\", \"listen_port\": " port                 \
	", \"peers\": [" peers "]}"

static struct config *document(const char *peers)
{
	g_autofree char *text =
		g_strdup_printf("{\"wireguard\": [" INTERFACE("wgo", PORT, "%s") "]}", peers);

	return parse(text);
}

static int apply_config(const struct config *c)
{
	char *error = NULL;
	int r = wg_apply(wg, c, &error);

	CU_ASSERT_EQUAL(r != 0, error != NULL);
	g_free(error);
	iface = wg_iface_find(wg, "wgo");
	return r;
}

static int apply(const char *peers)
{
	struct config *old = file;
	int r;

	file = document(peers);
	r = apply_config(file);
	if (!r)
		wg_config_settled(wg);
	config_free(old);
	return r;
}

static void up(void)
{
	dp = dp_double_new();
	wg = wg_new(dp, NULL, dir);
	g_free(wg->uapi_dir);
	wg->uapi_dir = g_strdup(dir);
	wg_dp_connected(wg, false);
	wg_dp_recovered(wg);
}

static void down(void)
{
	wg_free(wg);
	dp_double_free(dp);
	config_free(file);
	file = NULL;
}

static void restart(const char *peers)
{
	down();
	up();
	CU_ASSERT_EQUAL_FATAL(apply(peers), 0);
}

static void begin(const char *peers)
{
	g_unlink(path);
	g_unlink(bad);
	up();
	CU_ASSERT_EQUAL_FATAL(apply(peers), 0);
}

static struct peer *peer_of(const char *key_text)
{
	uint8_t key[32];

	CU_ASSERT_TRUE(key_from_base64(key, key_text));
	return wg_iface_peer(iface, key);
}

static struct peer *add(const char *key_text, const char *allowed)
{
	struct st_prefix prefix;
	struct peer *p;
	uint8_t key[32];

	CU_ASSERT_TRUE(key_from_base64(key, key_text));
	p = peer_new(iface, key, key_text);
	CU_ASSERT_PTR_NOT_NULL_FATAL(p);
	CU_ASSERT_TRUE(prefix_parse(&prefix, NULL, allowed));
	CU_ASSERT_EQUAL(peer_add_allowed(p, &prefix), 0);
	return p;
}

static void nothing_changed_leaves_no_file(void)
{
	begin(PEER1);
	wg_overlay_note(wg);
	CU_ASSERT_EQUAL(g_access(path, F_OK), -1);
	CU_ASSERT_STRING_EQUAL(wg_overlay_source(peer_of(KEY1)), "config");
	down();
}

static void changes_outlive_a_restart_and_a_reload(void)
{
	static const uint8_t psk[32] = {7};
	struct peer *p;

	begin(PEER1);
	p = add(KEY2, "10.2.0.0/16");
	peer_set_psk(p, psk);
	peer_configure_endpoint(p, "192.0.2.7", 77);
	peer_set_keepalive(peer_of(KEY1), 21);
	CU_ASSERT_EQUAL(wg_iface_set_port(iface, OTHER_PORT), 0);
	wg_overlay_note(wg);
	for (int n = 0; n < 3; n++) {
		if (n == 1) {
			CU_ASSERT_EQUAL(apply(PEER1), 0);
		} else {
			restart(PEER1);
		}
		p = peer_of(KEY2);
		CU_ASSERT_PTR_NOT_NULL_FATAL(p);
		CU_ASSERT_EQUAL(memcmp(p->noise.preshared_key, psk, 32), 0);
		CU_ASSERT_STRING_EQUAL(p->endpoint.host, "192.0.2.7");
		CU_ASSERT_EQUAL(p->allowed.length, 1);
		CU_ASSERT_EQUAL(peer_of(KEY1)->timers.persistent, 21);
		CU_ASSERT_EQUAL(iface->port, OTHER_PORT);
		CU_ASSERT_STRING_EQUAL(wg_overlay_source(p), "wg");
		CU_ASSERT_STRING_EQUAL(wg_overlay_source(peer_of(KEY1)), "config, changed by wg");
	}
	down();
}

static void a_removed_peer_stays_removed(void)
{
	begin(PEER1 "," PEER2);
	peer_free(peer_of(KEY1));
	wg_overlay_note(wg);
	restart(PEER1 "," PEER2);
	CU_ASSERT_PTR_NULL(peer_of(KEY1));
	CU_ASSERT_PTR_NOT_NULL(peer_of(KEY2));
	// The file has it no more: the removal is done with.
	CU_ASSERT_EQUAL(apply(PEER2), 0);
	CU_ASSERT_EQUAL(g_access(path, F_OK), -1);
	CU_ASSERT_EQUAL(apply(PEER1 "," PEER2), 0);
	CU_ASSERT_PTR_NOT_NULL(peer_of(KEY1));
	down();
}

static void a_prefix_that_moved_stays_where_it_went(void)
{
	struct peer *one;

	begin(PEER1);
	add(KEY2, "10.0.0.0/8");
	wg_overlay_note(wg);
	restart(PEER1);
	one = peer_of(KEY1);
	CU_ASSERT_EQUAL(one->allowed.length, 0);
	CU_ASSERT_EQUAL(peer_of(KEY2)->allowed.length, 1);
	down();
}

static void what_the_file_took_over_is_no_change_any_more(void)
{
	begin(PEER1);
	add(KEY2, "10.2.0.0/16");
	wg_overlay_note(wg);
	CU_ASSERT_EQUAL(apply(PEER1 "," PEER2_HERE), 0);
	CU_ASSERT_EQUAL(g_access(path, F_OK), -1);
	CU_ASSERT_STRING_EQUAL(peer_of(KEY2)->name, "two");
	down();
}

static void dropping_goes_back_to_the_file(void)
{
	char *error = NULL;
	struct peer *one;
	uint64_t serial;

	begin(PEER1);
	one = peer_of(KEY1);
	serial = one->serial;
	add(KEY2, "10.2.0.0/16");
	peer_set_keepalive(one, 21);
	CU_ASSERT_EQUAL(wg_iface_set_port(iface, OTHER_PORT), 0);
	wg_overlay_note(wg);
	CU_ASSERT_EQUAL(wg_overlay_drop(wg, &error), 0);
	CU_ASSERT_EQUAL(g_access(path, F_OK), -1);
	CU_ASSERT_PTR_NULL(peer_of(KEY2));
	CU_ASSERT_EQUAL(one->timers.persistent, 0);
	CU_ASSERT_EQUAL(one->serial, serial); // the same peer, with its sessions
	CU_ASSERT_EQUAL(iface->port, atoi(PORT));
	down();
}

static void an_overlay_that_does_not_fit_gives_way_to_the_file(void)
{
	int taken;

	begin(PEER1);
	add(KEY2, "10.2.0.0/16");
	CU_ASSERT_EQUAL(wg_iface_set_port(iface, OTHER_PORT), 0);
	wg_overlay_note(wg);
	down();
	taken = wg_socket_open(WG_V4, OTHER_PORT, 0);
	CU_ASSERT_TRUE_FATAL(taken >= 0);
	up();
	CU_ASSERT_EQUAL(apply(PEER1), 0);
	CU_ASSERT_EQUAL(iface->port, atoi(PORT));
	CU_ASSERT_PTR_NULL(peer_of(KEY2));
	CU_ASSERT_PTR_NOT_NULL(peer_of(KEY1));
	CU_ASSERT_EQUAL(g_access(bad, F_OK), 0);
	close(taken);
	down();
}

static void a_port_that_is_taken_costs_no_peer_its_session(void)
{
	struct config *second = parse("{\"wireguard\": [" INTERFACE(
		"wgo", PORT, PEER1) "," INTERFACE("wgp", OTHER_PORT_TEXT, "") "]}");
	int taken = wg_socket_open(WG_V4, OTHER_PORT, 0);
	uint64_t one, two;

	CU_ASSERT_TRUE_FATAL(taken >= 0);
	begin(PEER1);
	one = peer_of(KEY1)->serial;
	two = add(KEY2, "10.2.0.0/16")->serial;
	wg_overlay_note(wg);
	CU_ASSERT_NOT_EQUAL(apply_config(second), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(peer_of(KEY2));
	CU_ASSERT_EQUAL(apply_config(file), 0);
	CU_ASSERT_PTR_NOT_NULL_FATAL(peer_of(KEY2));
	CU_ASSERT_EQUAL(peer_of(KEY1)->serial, one);
	CU_ASSERT_EQUAL(peer_of(KEY2)->serial, two);
	CU_ASSERT_STRING_EQUAL(wg_overlay_source(peer_of(KEY2)), "wg");
	config_free(second);
	close(taken);
	down();
}

// By ICE or the relay, which come after WireGuard.
static void what_a_refused_file_took_over_is_wgs_again(void)
{
	struct config *refused = document(PEER1 "," PEER2_HERE);
	uint64_t serial;

	begin(PEER1);
	serial = add(KEY2, "10.2.0.0/16")->serial;
	wg_overlay_note(wg);
	CU_ASSERT_EQUAL(apply_config(refused), 0);
	CU_ASSERT_EQUAL(apply_config(file), 0);
	wg_config_gone(wg, refused);
	config_free(refused);
	CU_ASSERT_PTR_NOT_NULL_FATAL(peer_of(KEY2));
	CU_ASSERT_EQUAL(peer_of(KEY2)->serial, serial);
	restart(PEER1);
	CU_ASSERT_PTR_NOT_NULL(peer_of(KEY2));
	down();
}

static void an_overlay_that_does_not_fit_a_refused_file_stays(void)
{
	struct config *refused;
	int taken;

	begin(PEER1);
	add(KEY2, "10.2.0.0/16");
	CU_ASSERT_EQUAL(wg_iface_set_port(iface, OTHER_PORT), 0);
	wg_overlay_note(wg);
	refused = parse("{\"wireguard\": [" INTERFACE("wgo", PORT, PEER1) "]}");
	wg_iface_free(iface);
	taken = wg_socket_open(WG_V4, OTHER_PORT, 0);
	CU_ASSERT_TRUE_FATAL(taken >= 0);
	CU_ASSERT_EQUAL(apply_config(refused), 0);
	CU_ASSERT_PTR_NULL(peer_of(KEY2));
	close(taken);
	CU_ASSERT_EQUAL(apply_config(file), 0);
	CU_ASSERT_PTR_NOT_NULL(peer_of(KEY2));
	CU_ASSERT_EQUAL(g_access(path, F_OK), 0);
	CU_ASSERT_NOT_EQUAL(g_access(bad, F_OK), 0);
	config_free(refused);
	down();
}

// straitd rolls back to the former document; where that fails too, none is left to compare with.
static void without_a_document_changes_are_not_noted_nor_dropped(void)
{
	char *error = NULL;

	begin(PEER1);
	wg_config_gone(wg, file);
	config_free(file);
	file = NULL;
	add(KEY2, "10.2.0.0/16");
	wg_overlay_note(wg);
	CU_ASSERT_NOT_EQUAL(g_access(path, F_OK), 0);
	CU_ASSERT_NOT_EQUAL(wg_overlay_drop(wg, &error), 0);
	CU_ASSERT_PTR_NOT_NULL(error);
	g_free(error);
	CU_ASSERT_PTR_NOT_NULL(peer_of(KEY2));
	CU_ASSERT_EQUAL(apply(PEER1 "," PEER2), 0);
	CU_ASSERT_PTR_NOT_NULL(peer_of(KEY2));
	down();
}

static void a_changed_private_key_outlives_a_restart(void)
{
	static const uint8_t key[NOISE_KEY_LEN] = {42};
	uint8_t public_key[NOISE_KEY_LEN];

	begin(PEER1);
	wg_iface_set_key(iface, key);
	memcpy(public_key, iface->public_key, sizeof(public_key));
	wg_overlay_note(wg);
	restart(PEER1);
	CU_ASSERT_EQUAL(memcmp(iface->public_key, public_key, sizeof(public_key)), 0);
	down();
}

int main(void)
{
	CU_TestInfo tests[] = {
		{"nothing changed leaves no file", nothing_changed_leaves_no_file},
		{"changes outlive a restart and a reload", changes_outlive_a_restart_and_a_reload},
		{"a removed peer stays removed", a_removed_peer_stays_removed},
		{"a prefix that moved stays where it went", a_prefix_that_moved_stays_where_it_went},
		{"what the file took over is no change any more",
			what_the_file_took_over_is_no_change_any_more},
		{"dropping goes back to the file", dropping_goes_back_to_the_file},
		{"an overlay that does not fit gives way to the file",
			an_overlay_that_does_not_fit_gives_way_to_the_file},
		{"a port that is taken costs no peer its session",
			a_port_that_is_taken_costs_no_peer_its_session},
		{"what a refused file took over is wg's again",
			what_a_refused_file_took_over_is_wgs_again},
		{"an overlay that does not fit a refused file stays",
			an_overlay_that_does_not_fit_a_refused_file_stays},
		{"without a document changes are not noted nor dropped",
			without_a_document_changes_are_not_noted_nor_dropped},
		{"a changed private key outlives a restart", a_changed_private_key_outlives_a_restart},
		CU_TEST_INFO_NULL,
	};
	static const char *const names[] = {"overlay.json", "overlay.json.bad", "seal.key", "stamps"};
	int ret;

	dir = g_dir_make_tmp("strait-overlay-XXXXXX", NULL);
	if (!dir)
		return 99;
	path = g_build_filename(dir, OVERLAY_NAME, NULL);
	bad = g_strconcat(path, ".bad", NULL);
	ret = run_tests("wg_overlay", tests);
	for (size_t n = 0; n < G_N_ELEMENTS(names); n++) {
		g_autofree char *name = g_build_filename(dir, names[n], NULL);

		g_unlink(name);
	}
	g_rmdir(dir);
	g_free(bad);
	g_free(path);
	g_free(dir);
	return ret;
}
