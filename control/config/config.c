// SPDX-License-Identifier: BSD-3-Clause
//
// The configuration as a whole: file, top level, data plane, routes, and what must be unique over the
// document. Ports, WireGuard interfaces and keys have files of their own. Main thread; reads the document
// and the key files it names, nothing else.
#include "config.h"

#include "../addr.h"
#include "config_read.h"

#include <cjson/cJSON.h>
#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_DIR_MAX     80 // sockets in it must fit sun_path
#define CPU_MAX         1023
#define LCORES_MAX      64
#define DEFAULT_TABLE   254
#define MBUF_BYTES      2560u // an mbuf with headroom and private data, rounded up
#define MEMORY_OTHER_MB 96u   // tables, rings and what DPDK takes for itself

// ---- shared by the readers ---------------------------------------------------------------------

int config_unique(struct config_reader *r, const struct json_at *at, const char *because,
	const char *what, ...)
{
	char *key, *found;
	const char *first;
	va_list ap;
	int ret;

	va_start(ap, what);
	key = g_strdup_vprintf(what, ap);
	va_end(ap);
	first = g_hash_table_lookup(r->taken, key);
	if (!first) {
		g_hash_table_insert(r->taken, key, json_path(at));
		return 0;
	}
	if (cJSON_IsString(at->item))
		found = g_strdup_printf("\"%.80s\", as at %s", at->item->valuestring, first);
	else if (cJSON_IsNumber(at->item))
		found = g_strdup_printf("%.15g, as at %s", at->item->valuedouble, first);
	else
		found = g_strdup_printf("the same as at %s", first);
	ret = json_error(at, found, "%s", because);
	g_free(found);
	g_free(key);
	return ret;
}

int config_read_ifname(const struct json_at *at, char **ret)
{
	static const char *const reserved[] = {"lo", "all", "default", ".", ".."};
	static const char allowed[] = "an interface name of 1 to 15 letters, digits, '.', '-' or "
				      "'_', other than lo, all, default";
	const char *text = NULL, *c;
	int r = json_text(at, allowed, &text);
	size_t i;

	if (r)
		return r;
	for (c = text; g_ascii_isalnum(*c) || (*c && strchr(".-_", *c)); c++)
		;
	if (*c || strlen(text) >= ST_NAME_MAX || text[0] == '-')
		return json_error(at, NULL, "%s", allowed);
	for (i = 0; i < G_N_ELEMENTS(reserved); i++) {
		if (!strcmp(reserved[i], text))
			return json_error(at, NULL, "%s", allowed);
	}
	*ret = g_strdup(text);
	return 0;
}

static bool address_usable(const struct st_addr *a)
{
	bool multicast = addr_is_v4(a) ? a->b[12] >= 224 : a->b[0] == 0xff;

	return !addr_is_zero(a) && !multicast;
}

static int read_address(struct config_reader *r, const struct json_at *at, GPtrArray *ret)
{
	static const char allowed[] = "an address with prefix length such as 192.0.2.1/24";
	struct config_address *a;
	const char *text = NULL;
	struct st_prefix prefix;
	struct st_addr addr;
	char clean[ADDR_TEXT_MAX];
	int e = json_text(at, allowed, &text);

	if (e)
		return e;
	if (!strchr(text, '/') || !prefix_parse(&prefix, &addr, text) || !address_usable(&addr))
		return json_error(at, NULL, "%s", allowed);
	e = config_unique(r, at, "each address once", "address %s", addr_text(clean, &addr));
	if (e)
		return e;
	a = g_new0(struct config_address, 1);
	a->addr = addr;
	a->prefix = prefix;
	g_ptr_array_add(ret, a);
	return 0;
}

int config_read_addresses(struct config_reader *r, const struct json_at *at, GPtrArray *ret)
{
	struct json_at list = json_member(at, "addresses");
	const struct cJSON *item;
	int index = 0, e;

	if (!list.item)
		return 0;
	e = json_check_list(&list, "a list of addresses such as [\"192.0.2.1/24\"]");
	cJSON_ArrayForEach (item, list.item) {
		struct json_at child = json_element(&list, item, index++);

		if (!e)
			e = read_address(r, &child, ret);
	}
	return e;
}

// ---- data plane ----------------------------------------------------------------------------------

// "0,2-3": each CPU once. Returns how many, 0 if malformed.
static unsigned int cpu_list_count(const char *text)
{
	bool seen[CPU_MAX + 1] = {false};
	unsigned int n = 0;

	for (;;) {
		char *end;
		guint64 lo, hi;

		if (!g_ascii_isdigit(*text))
			return 0;
		lo = hi = g_ascii_strtoull(text, &end, 10);
		if (*end == '-') {
			text = end + 1;
			if (!g_ascii_isdigit(*text))
				return 0;
			hi = g_ascii_strtoull(text, &end, 10);
		}
		if (lo > hi || hi > CPU_MAX)
			return 0;
		for (; lo <= hi; lo++, n++) {
			if (seen[lo])
				return 0;
			seen[lo] = true;
		}
		if (!*end)
			return n;
		if (*end != ',')
			return 0;
		text = end + 1;
	}
}

static int read_lcores(struct config_reader *r, const struct json_at *at, struct config_dataplane *d)
{
	static const char allowed[] =
		"a list of at most 64 CPUs such as \"1,2\" or \"2-5\", each once";
	struct json_at child = json_member(at, "lcores");
	const char *text = d->lcores;
	int e = json_read_text(at, "lcores", allowed, &text);

	if (e)
		return e;
	r->lcores = cpu_list_count(text);
	if (!r->lcores || r->lcores > LCORES_MAX)
		return json_error(&child, NULL, "%s", allowed);
	if (text != d->lcores) {
		g_free(d->lcores);
		d->lcores = g_strdup(text);
	}
	return 0;
}

static int read_main_cpu(const struct json_at *at, struct config_dataplane *d)
{
	struct json_at child = json_member(at, "main_cpu");
	uint32_t cpu = 0;
	int e;

	if (!child.item || (cJSON_IsNumber(child.item) && child.item->valuedouble == -1))
		return 0;
	e = json_read_uint(at, "main_cpu", 0, CPU_MAX, &cpu);
	if (e)
		return e;
	d->main_cpu = (int)cpu;
	return 0;
}

static int read_word(const struct json_at *at, const char *key, const char *const *choices, char **ret)
{
	unsigned int n = UINT32_MAX;
	int e = json_read_choice(at, key, choices, &n);

	if (e || n == UINT32_MAX)
		return e;
	g_free(*ret);
	*ret = g_strdup(choices[n]);
	return 0;
}

static int check_memory(const struct json_at *at, const struct config_dataplane *d)
{
	uint32_t need = (uint32_t)((uint64_t)d->packets * MBUF_BYTES >> 20) + MEMORY_OTHER_MB;
	struct json_at child = json_member(at, "memory_mb");

	if (d->memory_mb >= need)
		return 0;
	return json_error(child.item ? &child : at, NULL,
		"\"memory_mb\" of at least %u for %u packets, or fewer \"packets\"", need,
		d->packets);
}

static int read_dataplane(struct config_reader *r, const struct json_at *root)
{
	static const char *const keys[] = {
		"lcores", "main_cpu", "hugepages", "memory_mb", "packets", "idle", "aead", NULL};
	static const char *const hugepages[] = {"auto", "yes", "no", NULL};
	static const char *const idle[] = {"adaptive", "poll", NULL};
	static const char *const aead[] = {"auto", "ipsec_mb", "sodium", NULL};
	struct config_dataplane *d = &r->c->dataplane;
	struct json_at at = json_member(root, "dataplane");
	unsigned int poll = 0;
	int e;

	if (!at.item)
		return 0;
	e = json_check_keys(&at, keys);
	if (!e)
		e = read_lcores(r, &at, d);
	if (!e)
		e = read_main_cpu(&at, d);
	if (!e)
		e = read_word(&at, "hugepages", hugepages, &d->hugepages);
	if (!e)
		e = json_read_uint(&at, "memory_mb", 128, 1u << 20, &d->memory_mb);
	if (!e)
		e = json_read_uint(&at, "packets", 4096, 1u << 22, &d->packets);
	if (!e)
		e = json_read_choice(&at, "idle", idle, &poll);
	if (!e)
		e = read_word(&at, "aead", aead, &d->aead);
	if (!e)
		e = check_memory(&at, d);
	d->adaptive = !poll;
	return e;
}

// ---- routes --------------------------------------------------------------------------------------

static int read_route_via(const struct json_at *at, struct config_route *route)
{
	struct json_at child = json_member(at, "via");
	const char *text = NULL;
	int e;

	if (!child.item)
		return 0;
	e = json_text(&child, "the address of a gateway", &text);
	if (e)
		return e;
	if (!addr_parse(&route->via, text) || !address_usable(&route->via) ||
		addr_is_v4(&route->via) != prefix_is_v4(&route->to))
		return json_error(&child, NULL, "the address of a gateway, of the family of \"to\"");
	return 0;
}

static int read_route_dev(
	struct config_reader *r, const struct json_at *at, struct config_route *route)
{
	struct json_at child = json_member(at, "dev");
	char *key;
	bool known;
	int e;

	if (!child.item)
		return 0;
	e = config_read_ifname(&child, &route->dev);
	if (e)
		return e;
	key = g_strdup_printf("interface %s", route->dev);
	known = g_hash_table_contains(r->taken, key);
	g_free(key);
	return known ? 0 : json_error(&child, NULL, "the name of a port or WireGuard interface here");
}

static int read_route_to(const struct json_at *at, struct config_route *route)
{
	static const char allowed[] =
		"an IPv4 or IPv6 prefix such as 10.0.0.0/8; 0.0.0.0/0 for all";
	struct json_at child = json_member(at, "to");
	char text_clean[PREFIX_TEXT_MAX];
	const char *text = NULL;
	struct st_addr host;
	int e = json_text(&child, allowed, &text);

	if (e)
		return e;
	if (!prefix_parse(&route->to, &host, text))
		return json_error(&child, NULL, "%s", allowed);
	if (memcmp(&host, &route->to.addr, sizeof(host)))
		return json_error(&child, NULL, "a prefix without host bits: %s",
			prefix_text(text_clean, &route->to));
	return 0;
}

static int read_route(struct config_reader *r, const struct json_at *at)
{
	static const char *const keys[] = {"to", "via", "dev", "table", "metric", NULL};
	struct config_route *route = g_new0(struct config_route, 1);
	char to[PREFIX_TEXT_MAX];
	int e = json_check_keys(at, keys);

	route->table = DEFAULT_TABLE;
	g_ptr_array_add(r->c->routes, route);
	if (!e)
		e = read_route_to(at, route);
	if (!e)
		e = read_route_via(at, route);
	if (!e)
		e = read_route_dev(r, at, route);
	if (!e)
		e = json_read_uint(at, "table", 1, CONFIG_TABLE_MAX, &route->table);
	if (!e)
		e = json_read_uint(at, "metric", 0, UINT32_MAX, &route->metric);
	if (!e && !route->dev && addr_is_zero(&route->via))
		e = json_error(at, "a route without \"via\" and \"dev\"", "one of them, or both");
	if (!e)
		e = config_unique(r, at, "each combination of table, prefix and metric once",
			"route %u %s %u", route->table, prefix_text(to, &route->to), route->metric);
	return e;
}

// ---- the document --------------------------------------------------------------------------------

// Goes into shell words and socket paths.
static bool plain_text(const char *text)
{
	for (; *text; text++) {
		if (!g_ascii_isalnum(*text) && !strchr("/._-", *text))
			return false;
	}
	return true;
}

static int read_names(const struct json_at *root, struct config *c)
{
	static const char dir_allowed[] =
		"an absolute path of at most 80 letters, digits, '/', '.', '-' and '_'";
	static const char group_allowed[] = "the name of a group, such as strait";
	struct json_at dir_at = json_member(root, "run_dir"), group_at = json_member(root, "group");
	const char *dir = "/run/strait", *group = "strait";
	int e = json_read_text(root, "run_dir", dir_allowed, &dir);

	if (!e && (dir[0] != '/' || strlen(dir) > RUN_DIR_MAX || !plain_text(dir)))
		e = json_error(&dir_at, NULL, "%s", dir_allowed);
	if (!e)
		e = json_read_text(root, "group", group_allowed, &group);
	if (!e && (strlen(group) > 31 || group[0] == '-' || strchr(group, '/') || !plain_text(group)))
		e = json_error(&group_at, NULL, "%s", group_allowed);
	if (e)
		return e;
	c->run_dir = g_strdup(dir);
	c->group = g_strdup(group);
	return 0;
}

static int read_timer_scale(const struct json_at *root, struct config *c)
{
	struct json_at at = json_member(root, "timer_scale");

	if (!at.item)
		return 0;
	if (!cJSON_IsNumber(at.item) || at.item->valuedouble < 1 || at.item->valuedouble > 1000)
		return json_error(&at, NULL, "a number from 1 to 1000");
	c->timer_scale = at.item->valuedouble;
	return 0;
}

static int read_list(struct config_reader *r, const struct json_at *root, const char *key,
	int (*read)(struct config_reader *r, const struct json_at *at))
{
	struct json_at list = json_member(root, key);
	const struct cJSON *item;
	int index = 0, e;

	if (!list.item)
		return 0;
	e = json_check_list(&list, "a list of objects [{...}]");
	cJSON_ArrayForEach (item, list.item) {
		struct json_at at = json_element(&list, item, index++);

		if (!e)
			e = read(r, &at);
	}
	return e;
}

static int check_count(const struct json_at *root, const struct config *c)
{
	if (c->ports->len + c->wgs->len < ST_MAX_IFACES)
		return 0;
	return json_error(root, "too many ports and WireGuard interfaces", "%d of both together",
		ST_MAX_IFACES - 1);
}

static int read_turn(struct config_reader *r, const struct json_at *root)
{
	struct json_at at = json_member(root, "turn");

	return at.item ? turn_config_read(r, &at, &r->c->turn) : 0;
}

static int read_document(struct config_reader *r, const struct json_at *root)
{
	static const char *const keys[] = {"run_dir", "group", "dataplane", "ports", "wireguard",
		"routes", "turn", "timer_scale", NULL};
	static const char *const nat[] = {"nat", "nat44", "nat64", "nat66", "snat", "dnat",
		"masquerade", "masq", "port_forward", "port_forwards", "port_forwarding", NULL};
	int e = json_forbid_keys(root, nat,
		"no address translation: strait forwards packets unchanged, and they do not pass "
		"the "
		"kernel's nftables either, so a masquerade rule there has no effect on them; route "
		"the "
		"prefixes instead");

	if (!e)
		e = json_check_keys(root, keys);
	if (!e)
		e = read_names(root, r->c);
	if (!e)
		e = read_timer_scale(root, r->c);
	if (!e)
		e = read_dataplane(r, root);
	if (!e)
		e = read_list(r, root, "ports", config_port_read);
	if (!e)
		e = read_list(r, root, "wireguard", config_wg_read);
	if (!e)
		e = check_count(root, r->c);
	if (!e)
		e = read_list(r, root, "routes", read_route);
	if (!e)
		e = read_turn(r, root);
	return e;
}

static void route_free(gpointer p)
{
	struct config_route *route = p;

	g_free(route->dev);
	g_free(route);
}

static struct config *config_new(const char *file)
{
	struct config *c = g_new0(struct config, 1);

	c->file = g_strdup(file);
	c->timer_scale = 1;
	c->dataplane = (struct config_dataplane){
		.lcores = g_strdup("0"),
		.main_cpu = -1,
		.hugepages = g_strdup("auto"),
		.memory_mb = 512,
		.packets = 65536,
		.adaptive = true,
		.aead = g_strdup("auto"),
	};
	c->ports = g_ptr_array_new_with_free_func((GDestroyNotify)config_port_free);
	c->wgs = g_ptr_array_new_with_free_func((GDestroyNotify)config_wg_free);
	c->routes = g_ptr_array_new_with_free_func(route_free);
	return c;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	g_ptr_array_free(c->ports, TRUE);
	g_ptr_array_free(c->wgs, TRUE);
	g_ptr_array_free(c->routes, TRUE);
	turn_config_free(c->turn);
	g_free(c->dataplane.lcores);
	g_free(c->dataplane.hugepages);
	g_free(c->dataplane.aead);
	g_free(c->run_dir);
	g_free(c->group);
	g_free(c->file);
	g_free(c);
}

// mode: of the file the text came from; 0 when it is not a file.
static struct config *parse(const char *file, const char *text, mode_t mode, char **ret_error)
{
	struct json_doc doc = {.file = file};
	struct config_reader r = {.lcores = 1};
	struct json_at root;
	struct cJSON *json;
	int e = 0;

	if (sodium_init() < 0) {
		*ret_error = g_strdup("libsodium does not start");
		return NULL;
	}
	json = json_parse(file, text, ret_error);
	if (!json)
		return NULL;
	root = json_root(&doc, json);
	r.root = &root;
	r.c = config_new(file);
	r.taken = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
	e = read_document(&r, &root);
	if (!e && r.inline_secrets && (mode & 077)) {
		char *found = g_strdup_printf("keys in a document of mode %04o", mode & 07777);

		e = json_error(&root,
			found, "mode 0600 or less (run: chmod 600 %s), or secrets in files of their own (private_key_file, secret_file)",
			file);
		g_free(found);
	}
	g_hash_table_destroy(r.taken);
	json_free(json);
	if (!e)
		return r.c;
	config_free(r.c);
	*ret_error = doc.error;
	return NULL;
}

struct config *config_parse(const char *file, const char *text, char **ret_error)
{
	return parse(file, text, 0, ret_error);
}

// The whole file with a NUL behind it; freed by the caller, after wiping *ret_len bytes.
static char *file_read(int fd, size_t *ret_len)
{
	size_t size = 65536, len = 0;
	char *text = g_malloc(size);

	for (;;) {
		ssize_t n = read(fd, text + len, size - len - 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			text[len] = 0;
			*ret_len = len;
			if (!n)
				return text;
			sodium_memzero(text, size);
			g_free(text);
			return NULL;
		}
		len += (size_t)n;
		if (len == size - 1) {
			char *bigger = size < CONFIG_FILE_MAX ? g_malloc(size * 2) : NULL;

			if (bigger)
				memcpy(bigger, text, len);
			sodium_memzero(text, size);
			g_free(text);
			if (!bigger) {
				errno = EFBIG;
				return NULL;
			}
			text = bigger;
			size *= 2;
		}
	}
}

struct config *config_load(const char *file, char **ret_error)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct config *c = NULL;
	char *text = NULL;
	struct stat st;
	size_t len = 0;

	if (fd < 0 || fstat(fd, &st) || !(text = file_read(fd, &len))) {
		*ret_error = g_strdup_printf(
			"%s: found %s, allowed: a file that can be read", file, g_strerror(errno));
	} else if (strlen(text) != len) {
		*ret_error = g_strdup_printf(
			"%s: found a NUL byte at offset %zu, allowed: JSON text", file, strlen(text));
	} else {
		// A pipe has no readers but us.
		c = parse(file, text, S_ISREG(st.st_mode) ? st.st_mode : 0, ret_error);
	}
	if (text) {
		sodium_memzero(text, len);
		g_free(text);
	}
	if (fd >= 0)
		close(fd);
	return c;
}

char *config_dp_args(const struct config *c)
{
	const struct config_dataplane *d = &c->dataplane;
	GString *out = g_string_new(NULL);
	guint i;

	g_string_printf(out,
		"--run-dir %s --lcores %s --main-cpu %d --hugepages %s --memory %u --packets %u "
		"--idle %s "
		"--aead %s --group %s",
		c->run_dir, d->lcores, d->main_cpu, d->hugepages, d->memory_mb, d->packets,
		d->adaptive ? "adaptive" : "poll", d->aead, c->group);
	// DPDK looks at the PCI bus at its start only, and only at what it is told.
	for (i = 0; i < c->ports->len; i++) {
		const struct config_port *p = g_ptr_array_index(c->ports, i);

		if (config_port_is_pci(p))
			g_string_append_printf(out, " --pci %s", p->devargs);
	}
	return g_string_free(out, FALSE);
}
